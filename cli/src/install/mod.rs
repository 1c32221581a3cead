//! `tenantry install`: the charts into the current cluster, through helm. Does I/O.

pub mod charts;
pub mod helm;
pub mod uninstall;

use std::ops::ControlFlow;
use std::path::PathBuf;

use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use serde_json::json;
use tenantry_core::names::SYSTEM_NAMESPACE;

use crate::args::{DryRun, NoWaitArgs};
use crate::error::{Exit, Problem};
use crate::output::text::duration;
use crate::progress::Progress;
use crate::session::Session;
use crate::wait::{Until, follow};
use charts::Charts;

/// Name of the operator's Deployment in the chart.
pub const OPERATOR: &str = "tenantry-operator";
/// The charts, in the order in which they are installed; also the names of their releases.
pub const CHARTS: [&str; 2] = ["tenantry-crds", "tenantry"];

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder with the charts tenantry-crds and tenantry; those inside this program when not given
    #[arg(long, value_name = "DIR")]
    pub charts: Option<PathBuf>,
    /// Id of this cluster as source of billing events; it can never change afterwards
    #[arg(long, value_name = "ID")]
    pub site_id: Option<String>,
    /// File with values of the chart tenantry; can be repeated
    #[arg(short = 'f', long = "values", value_name = "FILE")]
    pub values: Vec<PathBuf>,
    /// Single value of the chart tenantry; can be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Forgets the values of the last install. Otherwise they are kept, and only what is named here changes
    #[arg(long)]
    pub reset_values: bool,
    #[command(flatten)]
    pub wait: NoWaitArgs,
    #[command(flatten)]
    pub dry: DryRun,
}

pub async fn run(args: &Args, session: &Session) -> Result<Exit, Problem> {
    let helm = helm::Helm::find(&session.cluster.asked).await?;
    let charts = Charts::open(args.charts.as_deref())?;
    let (mut progress, begun) = (Progress::new(&session.out), tokio::time::Instant::now());
    session.leave.set(
        Problem::left("left; the installation may be half done")
            .safe("tenants are not touched; run the same command again and it goes on")
            .next("look", "doctor"),
    );
    for chart in CHARTS {
        let started = tokio::time::Instant::now();
        progress.now(chart, "installing the chart");
        helm.upgrade(chart, &charts.path(chart)?, &values(args, chart), args.dry.dry_run).await?;
        let word = if args.dry.dry_run { "would be installed (dry run)" } else { "installed" };
        progress.done(chart, word, started.elapsed());
        if args.dry.dry_run && chart == CHARTS[0] && !definitions_there(session).await {
            progress.end();
            session.out.say("the chart tenantry can only be tried when the definitions are there; nothing was changed");
            return Ok(Exit::DONE);
        }
    }
    if args.dry.dry_run {
        session.out.say("nothing was changed (dry run)");
        return Ok(Exit::DONE);
    }
    if !args.wait.no_wait {
        available(session, Until::after(args.wait.timeout), &mut progress).await?;
    }
    progress.end();
    if session.out.is_document() {
        session.out.document(
            &json!({"namespace": SYSTEM_NAMESPACE, "cluster": session.cluster.name, "available": !args.wait.no_wait}),
        )?;
    } else {
        let next = crate::program::command("doctor");
        let took = duration(begun.elapsed());
        session.out.say(&format!("Tenantry runs in {} ({took})\n  check it  {next}", session.cluster.name));
    }
    Ok(Exit::DONE)
}

fn values(args: &Args, chart: &str) -> Vec<String> {
    if chart != CHARTS[1] {
        return Vec::new();
    }
    // By itself, helm would forget every value of the last install as soon as one value is named. Values that were
    // never set take the new defaults of a newer chart.
    let mut all = vec![if args.reset_values { "--reset-values" } else { "--reset-then-reuse-values" }.to_owned()];
    for file in &args.values {
        all.extend(["--values".to_owned(), file.display().to_string()]);
    }
    for set in &args.set {
        all.extend(["--set".to_owned(), set.clone()]);
    }
    if let Some(id) = &args.site_id {
        all.extend(["--set-string".to_owned(), format!("site.id={id}")]);
    }
    all
}

async fn definitions_there(session: &Session) -> bool {
    session.cluster.list(&session.cluster.tenants(), "tenants", None).await.is_ok()
}

/// Waits until the operator is available.
async fn available(session: &Session, until: Until, progress: &mut Progress) -> Result<(), Problem> {
    let begun = tokio::time::Instant::now();
    let api: Api<Deployment> = Api::namespaced(session.cluster.client.clone(), SYSTEM_NAMESPACE);
    let end = follow(api, OPERATOR, until, |deployment| {
        let (done, text) = deployment.map_or((false, "not there yet".to_owned()), rollout);
        progress.now("operator", &text);
        if done { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    match end.await? {
        Some(()) => {
            progress.done("operator", "available", begun.elapsed());
            Ok(())
        }
        None => Err(Problem::timed_out(format!("the operator is not available after {}", duration(begun.elapsed())))
            .safe("the charts are installed; Kubernetes goes on trying to start it")
            .next("why", "doctor")),
    }
}

/// Whether a Deployment runs as its spec says, and how far the rollout is.
pub fn rollout(deployment: &Deployment) -> (bool, String) {
    let wanted = deployment.spec.as_ref().and_then(|s| s.replicas).unwrap_or(1);
    let status = deployment.status.clone().unwrap_or_default();
    let (updated, available) = (status.updated_replicas.unwrap_or(0), status.available_replicas.unwrap_or(0));
    let fresh = status.observed_generation >= deployment.metadata.generation;
    let stuck = status.conditions.iter().flatten().find(|c| c.status == "False" && c.type_ != "Available");
    let why = stuck.and_then(|c| c.message.clone()).map(|m| format!(": {m}")).unwrap_or_default();
    let done = fresh && wanted > 0 && updated >= wanted && available >= wanted;
    (done, format!("{available} of {wanted} available{why}"))
}

/// The version of the chart that installed the operator, from the Deployment's label.
pub fn chart_version(deployment: &Deployment) -> Option<String> {
    let label = deployment.metadata.labels.as_ref()?.get("helm.sh/chart")?;
    label.strip_prefix("tenantry-").map(ToOwned::to_owned)
}

/// The image that the operator runs.
pub fn operator_image(deployment: &Deployment) -> Option<String> {
    deployment.spec.as_ref()?.template.spec.as_ref()?.containers.first()?.image.clone()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn told(line: &[&str], chart: &str) -> Vec<String> {
        let line = Line::try_parse_from(std::iter::once(&"install").chain(line)).map(|l| l.args);
        values(&line.unwrap_or_else(|e| panic!("{e}")), chart)
    }

    #[test]
    fn values_of_the_last_install_are_kept_whatever_else_is_named() {
        assert_eq!(told(&[], "tenantry"), ["--reset-then-reuse-values"]);
        assert_eq!(told(&["--set", "replicas=2"], "tenantry"), ["--reset-then-reuse-values", "--set", "replicas=2"]);
        let site = ["--reset-then-reuse-values", "--set-string", "site.id=a.example"];
        assert_eq!(told(&["--site-id", "a.example"], "tenantry"), site);
    }

    #[test]
    fn they_are_forgotten_on_request_and_the_definitions_have_none() {
        assert_eq!(told(&["--reset-values"], "tenantry"), ["--reset-values"]);
        assert_eq!(told(&["--set", "replicas=2"], "tenantry-crds"), Vec::<String>::new());
    }

    #[test]
    fn the_version_of_the_chart_is_read_from_its_label() {
        let deployment = |label: &str| {
            let meta = json!({ "labels": { "helm.sh/chart": label } });
            serde_json::from_value::<Deployment>(json!({ "metadata": meta })).unwrap()
        };
        assert_eq!(chart_version(&deployment("tenantry-0.1.1")).as_deref(), Some("0.1.1"));
        assert_eq!(chart_version(&deployment("other-0.1.1")), None);
    }
}
