//! Follows a test's instance until it is Ready, or until it is clear that it will not be. Does I/O.

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::time::Duration;

use kube::ResourceExt;
use tenantry_api::condition::ConditionType;
use tenantry_api::crm_instance::CrmInstance;
use tokio::time::Instant;

use super::judge::{Made, Stopped, builds_template, not_verified, standing};
use super::points::Point;
use crate::error::Problem;
use crate::output::text::duration;
use crate::progress::Progress;
use crate::progress::steps::{Change, End, Tracker};
use crate::session::Session;
use crate::wait::{Until, follow};

/// How long a verification may fail when the blueprint names no time.
const PATIENCE: Duration = Duration::from_secs(120);
/// Pause between two looks at how long the verification has failed.
const TICK: Duration = Duration::from_millis(500);

/// Waits for an instance that was just created. `patience` is how long its verification may fail.
pub async fn ready(
    session: &Session,
    instance: &CrmInstance,
    patience: Option<Duration>,
    longest: Duration,
    progress: &mut Progress,
) -> Result<Result<Made, Stopped>, Problem> {
    let api = session.cluster.instances(&instance.namespace().unwrap_or_default());
    let name = instance.name_any();
    let (begun, mut tracker) = (Instant::now(), Tracker::default());
    let failing: RefCell<Option<(Instant, String)>> = RefCell::new(None);
    let (mut built, mut last) = (false, None);
    let seen = follow(api, &name, Until::after(longest), |seen| {
        for change in tracker.see(seen, begun.elapsed()) {
            if let Change::Now { label, detail } = change {
                progress.now(&format!("{name}: {label}"), &detail);
            }
        }
        let Some(seen) = seen else {
            return match tracker.end() {
                Some(end) => ControlFlow::Break(Err(end.clone())),
                None => ControlFlow::Continue(()),
            };
        };
        built |= builds_template(seen);
        let mut held = failing.borrow_mut();
        match not_verified(seen) {
            Some(why) => *held = Some((held.as_ref().map_or_else(Instant::now, |(since, _)| *since), why)),
            None => *held = None,
        }
        last = Some(seen.clone());
        match tracker.end() {
            Some(End::Ready) => ControlFlow::Break(Ok(seen.clone())),
            Some(end) => ControlFlow::Break(Err(end.clone())),
            None => ControlFlow::Continue(()),
        }
    });
    let ended = tokio::select! {
        ended = seen => ended?,
        why = out_of_patience(&failing, patience.unwrap_or(PATIENCE)) => {
            return Ok(Err(Stopped { at: Point::Verified, why }));
        }
    };
    Ok(match ended {
        Some(Ok(instance)) => Ok(Made { instance, took: begun.elapsed(), built }),
        Some(Err(End::Failed { at: condition, label, why })) => {
            let at = match condition {
                Some(ConditionType::Verified) => Point::Verified,
                Some(ConditionType::Neutralised) => Point::Neutralises,
                _ => Point::Installs,
            };
            Err(Stopped { at, why: format!("{label}: {why}") })
        }
        Some(Err(end)) => Err(Stopped { at: standing(last.as_ref()), why: format!("it ended as {end:?}") }),
        None => {
            let why = last.as_ref().and_then(not_verified).unwrap_or_else(|| "the operator goes on trying".into());
            let why = format!("not Ready after {}: {why}", duration(begun.elapsed()));
            Err(Stopped { at: standing(last.as_ref()), why })
        }
    })
}

/// Returns when the verification has failed for too long.
async fn out_of_patience(failing: &RefCell<Option<(Instant, String)>>, patience: Duration) -> String {
    loop {
        tokio::time::sleep(TICK).await;
        if let Some((since, why)) = failing.borrow().as_ref()
            && since.elapsed() > patience
        {
            return format!("after {} still {why}", duration(since.elapsed()));
        }
    }
}
