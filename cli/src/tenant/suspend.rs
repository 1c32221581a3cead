//! `tenantry tenant suspend` and `resume`. Does I/O.

use kube::ResourceExt;
use serde_json::{Value, json};
use tenantry_api::tenant::{Tenant, TenantPhase};

use super::set::settled;
use crate::args::{Change, ConfirmAll, Targets};
use crate::change::patch::patched;
use crate::confirm::every;
use crate::error::{Exit, Problem};
use crate::instance::track;
use crate::listing;
use crate::progress::Progress;
use crate::session::Session;
use crate::target;
use crate::wait::Until;

#[derive(Debug, clap::Args)]
pub struct SuspendArgs {
    #[command(flatten)]
    pub targets: Targets,
    #[command(flatten)]
    pub sure: ConfirmAll,
    /// Why, for the page and the record
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    #[command(flatten)]
    pub change: Change,
}

#[derive(Debug, clap::Args)]
pub struct ResumeArgs {
    #[command(flatten)]
    pub targets: Targets,
    #[command(flatten)]
    pub sure: ConfirmAll,
    #[command(flatten)]
    pub change: Change,
}

pub async fn suspend(args: &SuspendArgs, session: &Session) -> Result<Exit, Problem> {
    let mut spec = json!({"suspended": true});
    if let Some(reason) = &args.reason {
        spec["suspendedReason"] = reason.clone().into();
    }
    let tenants = target::tenants(session, &args.targets, false).await?;
    let done = Done {
        phase: TenantPhase::Suspended,
        word: "suspended",
        remark: "its CRMs stop behind a page, all data stays",
        waited: "its CRMs are stopped behind a page, all data stays",
    };
    every(session, "suspend", &args.targets, args.change.dry, &tenants, &args.sure).await?;
    change(session, &tenants, &spec, args.change, &done).await
}

pub async fn resume(args: &ResumeArgs, session: &Session) -> Result<Exit, Problem> {
    let spec = json!({"suspended": null, "suspendedReason": null});
    let tenants = target::tenants(session, &args.targets, false).await?;
    let done = Done {
        phase: TenantPhase::Active,
        word: "resumed",
        remark: "its CRMs start with the data they had",
        waited: "people reach its CRMs again",
    };
    every(session, "resume", &args.targets, args.change.dry, &tenants, &args.sure).await?;
    change(session, &tenants, &spec, args.change, &done).await
}

/// Waits until people reach the instances of a tenant again, and shows how.
async fn back(session: &Session, tenant: &Tenant, until: Until) -> Result<(), Problem> {
    let Some(namespace) = tenant.status.as_ref().and_then(|s| s.namespace.clone()) else { return Ok(()) };
    let api = session.cluster.instances(&namespace);
    let all = session.cluster.list(&api, "instances", None).await?;
    let mut progress = Progress::new(&session.out);
    for instance in all.iter().filter(|i| i.metadata.deletion_timestamp.is_none()) {
        track::until_back(session, instance, tenant.metadata.generation, until, &mut progress).await?;
    }
    Ok(())
}

struct Done {
    phase: TenantPhase,
    word: &'static str,
    remark: &'static str,
    /// The remark when the command waited.
    waited: &'static str,
}

async fn change(
    session: &Session,
    tenants: &[Tenant],
    spec: &Value,
    how: Change,
    done: &Done,
) -> Result<Exit, Problem> {
    let (mut changed, _) = patched(session, tenants, spec, how.dry.dry_run).await?;
    if how.waits() {
        let until = Until::after(how.wait.timeout);
        changed = settled(session, &changed, &[done.phase], until).await?;
        for tenant in changed.iter().filter(|t| !t.spec.suspended) {
            back(session, tenant, until).await?;
        }
    }
    let lines: Vec<String> = tenants.iter().zip(&changed).map(|(b, a)| line(b, a, how, done)).collect();
    listing::changed(&session.out, &changed, &lines.join("\n"))
}

fn line(before: &Tenant, after: &Tenant, how: Change, done: &Done) -> String {
    let name = after.name_any();
    if before.spec.suspended == after.spec.suspended {
        let word = if after.spec.suspended { "suspended" } else { "not suspended" };
        format!("{name} was {word} already")
    } else if how.dry.dry_run {
        format!("{name} would be {} (dry run)", done.word)
    } else {
        format!("{name} is {}: {}", done.word, if how.wait.wait { done.waited } else { done.remark })
    }
}
