//! `tenantry version`: of this program, the operator and the cluster. Does I/O.

use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use serde_json::json;
use tenantry_core::names::SYSTEM_NAMESPACE;

use crate::cluster::{Cluster, Where};
use crate::error::{Exit, Problem};
use crate::install::{OPERATOR, chart_version, operator_image};
use crate::output::Out;
use crate::output::page::Page;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Does not ask the cluster
    #[arg(long)]
    pub client: bool,
}

/// Longest time to ask the cluster.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);

/// A cluster that cannot be reached is no error here: this command is used to find out why.
pub async fn run(args: &Args, place: &Where, out: &Out) -> Result<Exit, Problem> {
    let own = env!("CARGO_PKG_VERSION");
    let api = format!("{}/{}", tenantry_api::GROUP, tenantry_api::VERSION);
    let asked = if args.client { None } else { Some(ask(place).await) };
    if out.is_document() {
        let (cluster, error) = match &asked {
            Some(Ok(found)) => (Some(found), None),
            Some(Err(problem)) => (None, Some(problem.what.clone())),
            None => (None, None),
        };
        out.document(&json!({
            "client": own, "api": api,
            "cluster": cluster.map(|c| json!({"name": c.name, "proxy": c.proxy, "kubernetes": c.kubernetes, "operatorImage": c.image, "chart": c.chart})),
            "error": error,
        }))?;
        return Ok(Exit::DONE);
    }
    let mut page = Page::default();
    page.noted("tenantry", own, api);
    match asked {
        None => {}
        Some(Ok(found)) => {
            page.noted("cluster", found.name, found.proxy.map(|p| format!("through {p}")).unwrap_or_default());
            page.fact("kubernetes", found.kubernetes);
            match found.image {
                Some(image) => {
                    page.noted("operator", image, found.chart.map(|c| format!("chart {c}")).unwrap_or_default())
                }
                None => page.fact("operator", "not installed, or not visible to you"),
            };
        }
        Some(Err(problem)) => {
            let (name, proxy) = match Cluster::connect(place).await {
                Ok(cluster) => (cluster.name, cluster.via),
                Err(_) => ("none".to_owned(), None),
            };
            page.noted("cluster", name, proxy.map(|p| format!("through {p}")).unwrap_or_default());
            page.fact(
                "",
                format!("unknown: {}{}", problem.what, problem.why.map(|w| format!(": {w}")).unwrap_or_default()),
            );
        }
    }
    out.line(&page.render(&out.paint, out.columns));
    Ok(Exit::DONE)
}

struct Found {
    name: String,
    proxy: Option<String>,
    kubernetes: String,
    image: Option<String>,
    chart: Option<String>,
}

async fn ask(place: &Where) -> Result<Found, Problem> {
    let cluster = Cluster::connect(place).await?;
    let asked = tokio::time::timeout(PATIENCE, async {
        let version = cluster.client.apiserver_version().await;
        let deployments: Api<Deployment> = Api::namespaced(cluster.client.clone(), SYSTEM_NAMESPACE);
        (version, deployments.get_opt(OPERATOR).await.ok().flatten())
    });
    let (version, operator) = asked
        .await
        .map_err(|_| Problem::failed("the cluster does not answer").why(format!("{} waited 5 s", cluster.name)))?;
    let version = version.map_err(|e| crate::error::api::problem("ask for the version", &e))?;
    let (image, chart) = (operator.as_ref().and_then(operator_image), operator.as_ref().and_then(chart_version));
    let proxy = cluster.via.map(|p| p.to_string());
    Ok(Found { name: cluster.name, proxy, kubernetes: version.git_version, image, chart })
}
