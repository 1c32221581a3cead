//! Waiting for tenants: for the namespace, for a phase, for the end. Does I/O.

use std::ops::ControlFlow;

use kube::ResourceExt;
use tenantry_api::condition::find;
use tenantry_api::tenant::{Tenant, TenantPhase, TenantStatus};
use tenantry_core::names;

use crate::error::Problem;
use crate::output::text::duration;
use crate::progress::Progress;
use crate::progress::steps::said;
use crate::session::Session;
use crate::target::id_of;
use crate::wait::{Until, follow};

/// Waits until the namespace of a tenant is active.
pub async fn namespace(
    session: &Session,
    tenant: &Tenant,
    until: Until,
    progress: &mut Progress,
) -> Result<(), Problem> {
    let name = tenant.name_any();
    let namespace = names::namespace(&id_of(tenant)?);
    progress.now(&format!("tenant {name}"), &format!("waiting for namespace {namespace}"));
    let there = follow(session.cluster.namespaces(), &namespace, until, |n| {
        let active = n.is_some_and(|n| n.status.as_ref().is_some_and(|s| s.phase.as_deref() == Some("Active")));
        if active { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let refused = follow(session.cluster.tenants(), &name, until, |t| match t.map(cannot_be) {
        Some(Some(why)) => ControlFlow::Break(why),
        None => ControlFlow::Break("it was deleted meanwhile".to_owned()),
        Some(None) => ControlFlow::Continue(()),
    });
    tokio::select! {
        there = there => match there? {
            Some(()) => Ok(()),
            None => Err(no_namespace(&name)),
        },
        why = refused => match why? {
            Some(why) => Err(Problem::refused(format!("tenant {name} cannot be set up"))
                .safe("it is stored and has no CRM yet")
                .why(why)
                .next("look", format!("tenant show {name}"))
                .next("change", format!("tenant set {name} ..."))
                .next("undo", format!("tenant archive {name}"))),
            None => Err(no_namespace(&name)),
        },
    }
}

fn no_namespace(name: &str) -> Problem {
    Problem::timed_out(format!("tenant {name} is stored, but has no namespace yet"))
        .safe("nothing is lost: run the same command again and it goes on")
        .why("the operator makes the namespace; perhaps it does not run")
        .next("look", "doctor")
        .next("watch", format!("tenant show {name}"))
}

/// Why a tenant cannot be set up, when the operator says so of the present spec.
fn cannot_be(tenant: &Tenant) -> Option<String> {
    let status = tenant.status.as_ref().filter(|s| is_fresh(tenant, s))?;
    if status.phase != TenantPhase::Invalid {
        return None;
    }
    let order = ["PlanKnown", "NamespaceReady", "Ready"];
    let first = order.iter().find_map(|k| find(&status.conditions, k).filter(|c| c.status == "False"));
    Some(first.map_or_else(|| "the operator did not say why".to_owned(), said))
}

fn is_fresh(tenant: &Tenant, status: &TenantStatus) -> bool {
    status.observed_generation >= tenant.metadata.generation
}

/// Waits until a tenant has one of the phases, for the spec that is stored now.
pub async fn phase(
    session: &Session,
    name: &str,
    phases: &[TenantPhase],
    until: Until,
    progress: &mut Progress,
) -> Result<Tenant, Problem> {
    let begun = tokio::time::Instant::now();
    let end = follow(session.cluster.tenants(), name, until, |tenant| {
        let Some(tenant) = tenant else {
            return ControlFlow::Break(Err(Problem::not_found(format!("tenant {name} was deleted meanwhile"))));
        };
        if let Some(why) = cannot_be(tenant) {
            let problem = Problem::refused(format!("tenant {name} has an invalid spec"))
                .safe("its CRMs and data are as they were")
                .why(why)
                .next("look", format!("tenant show {name}"));
            return ControlFlow::Break(Err(problem));
        }
        let status = tenant.status.clone().unwrap_or_default();
        let ready = find(&status.conditions, "Ready");
        // While the operator is held up, the phase keeps its old value; only Ready tells that the operator got through.
        let through = ready.is_some_and(|c| c.status == "True" && c.observed_generation >= tenant.metadata.generation);
        if through && is_fresh(tenant, &status) && phases.contains(&status.phase) {
            return ControlFlow::Break(Ok(tenant.clone()));
        }
        let ready = ready.map(said).unwrap_or_default();
        progress.now(&format!("tenant {name}"), &format!("{:?} {ready}", status.phase));
        ControlFlow::Continue(())
    });
    match end.await? {
        Some(Ok(tenant)) => {
            let phase = tenant.status.as_ref().map(|s| format!("{:?}", s.phase)).unwrap_or_default();
            progress.done(&format!("tenant {name}"), &phase, begun.elapsed());
            Ok(tenant)
        }
        Some(Err(problem)) => Err(problem),
        None => Err(Problem::timed_out(format!(
            "tenant {name} is not done after {}; the work goes on",
            duration(begun.elapsed())
        ))
        .next("look", format!("tenant show {name}"))
        .next("is the operator well?", "doctor")),
    }
}
