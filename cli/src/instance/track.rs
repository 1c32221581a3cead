//! Follows an instance until it is ready, with progress. Does I/O.

use std::ops::ControlFlow;

use kube::ResourceExt;
use tenantry_api::condition::find;
use tenantry_api::crm_instance::CrmInstance;

use crate::error::Problem;
use crate::output::text::duration;
use crate::progress::Progress;
use crate::progress::steps::{self, Back, Change, End, Tracker};
use crate::session::Session;
use crate::target::address_of;
use crate::wait::{Until, follow};

/// Waits until an instance is verified and serves, or until it is clear that it will not.
pub async fn until_ready(
    session: &Session,
    instance: &CrmInstance,
    until: Until,
    progress: &mut Progress,
) -> Result<CrmInstance, Problem> {
    let (address, name) = (address_of(instance), instance.name_any());
    let again = format!("instance show {address} --wait");
    session.leave.goes_on(&format!("the operator goes on with {address}"), "come back", &again);
    let (begun, mut tracker) = (tokio::time::Instant::now(), Tracker::default());
    let api = session.cluster.instances(&instance.namespace().unwrap_or_default());
    let end = follow(api, &name, until, |seen| {
        for change in tracker.see(seen, begun.elapsed()) {
            match change {
                Change::Now { label, detail } => progress.now(label, &detail),
                Change::Done { label, detail, took } => progress.done(label, &detail, took),
            }
        }
        match (tracker.end(), seen) {
            (Some(End::Ready), Some(seen)) => ControlFlow::Break(Ok(seen.clone())),
            (Some(end), _) => ControlFlow::Break(Err(end.clone())),
            _ => ControlFlow::Continue(()),
        }
    });
    match end.await? {
        Some(Ok(ready)) => {
            // The instance is Ready all the same; that people do not reach it is only reported.
            let conditions = ready.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default();
            if let Some(missed) = find(conditions, "Reachable").filter(|c| c.status == "False") {
                progress.failed("reached", &steps::said(missed), begun.elapsed());
            }
            Ok(ready)
        }
        Some(Err(end)) => {
            if let End::Failed { label, why, .. } = &end {
                progress.failed(label, why, begun.elapsed());
            }
            progress.end();
            Err(ended(&address, end))
        }
        None => Err(Problem::timed_out(format!(
            "instance {address} is not ready after {}; the operator goes on",
            duration(begun.elapsed())
        ))
        .next("watch", again)
        .next("look", format!("instance show {address}"))
        .next("is the operator well?", "doctor")),
    }
}

/// Waits until an instance of a resumed tenant is back, for this generation of the tenant: an older report says nothing
/// about now. A step that failed for good ends the wait.
pub async fn until_back(
    session: &Session,
    instance: &CrmInstance,
    generation: Option<i64>,
    until: Until,
    progress: &mut Progress,
) -> Result<(), Problem> {
    let (address, name) = (address_of(instance), instance.name_any());
    session.leave.goes_on(&format!("the operator goes on with {address}"), "look", &format!("instance show {address}"));
    let begun = tokio::time::Instant::now();
    let (label, mut last) = (format!("instance {address}"), String::new());
    let api = session.cluster.instances(&instance.namespace().unwrap_or_default());
    let end = follow(api, &name, until, |seen| match seen.map(|i| steps::back(i, generation)) {
        Some(Back::Comes(how)) => {
            progress.now(&label, &how);
            last = how;
            ControlFlow::Continue(())
        }
        // The instance was deleted meanwhile: nobody waits for it.
        None => ControlFlow::Break(Ok(None)),
        Some(Back::Reached(how)) => ControlFlow::Break(Ok(Some(how))),
        Some(Back::Failed(why)) => ControlFlow::Break(Err(why)),
    });
    let look = format!("instance show {address}");
    match end.await? {
        Some(Ok(how)) => {
            progress.done(&label, how.as_deref().unwrap_or("deleted"), begun.elapsed());
            Ok(())
        }
        Some(Err(why)) => {
            progress.failed(&label, &why, begun.elapsed());
            progress.end();
            Err(Problem::failed(format!("instance {address} does not come back"))
                .safe("its tenant is resumed, and its data is kept")
                .why(why)
                .next("look", look)
                .next("logs", format!("instance logs {address}")))
        }
        None => Err(Problem::timed_out(format!(
            "instance {address} is not back after {}; the operator goes on",
            duration(begun.elapsed())
        ))
        .safe("its tenant is resumed, and its data is kept")
        .why(last)
        .next("look", look)
        .next("is the operator well?", "doctor")),
    }
}

fn ended(address: &str, end: End) -> Problem {
    match end {
        End::Failed { label, why, .. } => Problem::failed(format!("instance {address} failed at: {label}"))
            .safe("what was made so far is kept, and no other instance is touched")
            .why(why)
            .next("look", format!("instance show {address}"))
            .next("logs", format!("instance logs {address}"))
            .next("give up", format!("instance archive {address}")),
        End::Suspended | End::Ready => Problem::refused(format!("instance {address} is suspended with its tenant"))
            .safe("its data is kept")
            .next("resume", format!("tenant resume {}", address.split('/').next().unwrap_or(address))),
        End::Gone => Problem::not_found(format!("instance {address} was deleted meanwhile"))
            .safe("its data is kept in an archive")
            .next("look", "archive list"),
    }
}
