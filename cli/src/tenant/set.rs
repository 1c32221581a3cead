//! `tenantry tenant set`: changes the terms of tenants. Does I/O.

use kube::ResourceExt;
use serde_json::Value;
use tenantry_api::tenant::{Tenant, TenantPhase};

use super::{fields, follow};
use crate::args::{Change, ConfirmAll, Targets};
use crate::change::patch::patched;
use crate::confirm::every;
use crate::error::{Exit, Problem};
use crate::listing;
use crate::progress::Progress;
use crate::session::Session;
use crate::target::{self, PLAN};
use crate::wait::Until;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub targets: Targets,
    #[command(flatten)]
    pub sure: ConfirmAll,
    /// Plan
    #[arg(long, value_name = "NAME", add = crate::completion::plans())]
    pub plan: Option<String>,
    #[command(flatten)]
    pub terms: fields::Terms,
    #[command(flatten)]
    pub change: Change,
}

pub async fn run(args: &Args, session: &Session) -> Result<Exit, Problem> {
    let mut spec = args.terms.patch();
    if let Some(plan) = &args.plan {
        target::one(session, &session.cluster.plans(), PLAN, plan).await?;
        spec.insert("plan".into(), plan.clone().into());
    }
    if spec.is_empty() {
        return Err(Problem::usage("what should change? name at least one of --plan, --seats, --storage, ..."));
    }
    let tenants = target::tenants(session, &args.targets, false).await?;
    every(session, "change", &args.targets, args.change.dry, &tenants, &args.sure).await?;
    let (changed, text) = patched(session, &tenants, &Value::Object(spec), args.change.dry.dry_run).await?;
    let changed = if args.change.waits() {
        settled(
            session,
            &changed,
            &[TenantPhase::Active, TenantPhase::Suspended],
            Until::after(args.change.wait.timeout),
        )
        .await?
    } else {
        changed
    };
    listing::changed(&session.out, &changed, &text)
}

/// Waits for all tenants.
pub async fn settled(
    session: &Session,
    tenants: &[Tenant],
    phases: &[TenantPhase],
    until: Until,
) -> Result<Vec<Tenant>, Problem> {
    let mut progress = Progress::new(&session.out);
    let mut all = Vec::with_capacity(tenants.len());
    for tenant in tenants {
        let name = tenant.name_any();
        session.leave.goes_on("the work goes on", "look", &format!("tenant show {name}"));
        all.push(follow::phase(session, &name, phases, until, &mut progress).await?);
    }
    Ok(all)
}
