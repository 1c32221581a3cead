//! One reconcile of a CrmInstance: the straight road. Does I/O.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;
use tenantry_api::crm_instance::CrmInstance;
use tenantry_core::names;
use tenantry_plan::instance::phase_when_well;

use super::pass::Pass;
use super::{archive, expiry, integrations, live, reach, status, stop, turn};
use crate::context::Ctx;
use crate::error::Result;

/// Reconciles an instance. Returns when to look again. None means: when something changes.
///
/// # Errors
/// The error that stopped the reconcile while the status was written.
pub async fn reconcile(instance: Arc<CrmInstance>, ctx: &Ctx, now: Timestamp) -> Result<Option<Duration>> {
    if ctx.memory.is_stale(&instance.metadata) {
        return Ok(None);
    }
    let instance = (*instance).clone();
    if instance.metadata.deletion_timestamp.is_some() {
        if !instance.finalizers().iter().any(|f| f == names::FINALIZER) {
            return Ok(None);
        }
        // An instance that is being deleted exchanges nothing, however long the deletion takes.
        turn::call(ctx, &instance.uid().unwrap_or_default());
        return match archive::run(&instance, ctx, now).await {
            Ok(()) => Ok(None),
            Err(halt) => status::write_halted(&Pass::new(instance), ctx, halt, true, now).await,
        };
    }
    if crate::life::adopt::is_orphan(instance.annotations(), instance.spec.id.as_deref()) {
        // The client that made this object is about to delete it, which archives the data. If the instance were
        // started, it would work on the data.
        return Ok(None);
    }
    let ends = expiry::of(&instance);
    if let Some(at) = ends.filter(|at| *at <= now) {
        return expiry::end(ctx, &instance, at).await;
    }
    let uid = instance.uid().unwrap_or_default();
    // The pass reports what cannot be read now, and stops a suspended instance all the same.
    let fingerprint = live::fingerprint(ctx, &instance).await.unwrap_or_default();
    if let Some(print) = &fingerprint
        && ctx.memory.is_settled(&uid, print)
        && !ctx.memory.checks.wants(&uid, now)
    {
        return Ok(expiry::soonest(integrations::again(ctx, &instance, now), ends, now));
    }
    // Unsettled until its status is written: the finding of a check counts as reported already, and would never be
    // written if the write fails and nothing else changes.
    ctx.memory.unsettle(&uid);
    let mut pass = Pass::new(instance);
    // The future has many parts. On the heap, they do not take up the stack of everything that waits for them.
    match Box::pin(live::run(&mut pass, ctx, now)).await {
        Ok(()) => {
            let phase = phase_when_well(pass.suspended());
            status::write_well(&pass, ctx, phase, now).await?;
            let again = integrations::again(ctx, &pass.instance, now);
            if pass.reachable.as_ref().is_some_and(|(said, _)| said.status != Some(true)) {
                // The instance is Ready all the same, and this is asked again until people reach it.
                return Ok(expiry::soonest(Some(again.map_or(reach::AGAIN, |a| a.min(reach::AGAIN))), ends, now));
            }
            if let Some(print) = live::fingerprint_of(ctx, &pass).await? {
                ctx.memory.settle(&uid, print);
            }
            Ok(expiry::soonest(again, ends, now))
        }
        Err(halt) => {
            let halt = stop::after(&mut pass, ctx, halt).await;
            let has_turn = pass.instance.status.as_ref().is_some_and(|s| s.exchanging_since.is_some());
            let is_told = halt.is_told(ctx.memory.retries.failures(&uid));
            let has_used_it = pass.exchanging.is_some();
            if has_turn && !has_used_it && is_told {
                turn::give_back(ctx, &mut pass, &halt).await?;
            }
            let gives_back = !has_used_it && (!has_turn || pass.exchanging == Some(None));
            let again = status::write_halted(&pass, ctx, halt, false, now).await?;
            if gives_back {
                // The instance did not come far enough to use the turn that it was given, or may have been given: the
                // next instance gets that turn.
                turn::call(ctx, &uid);
            }
            Ok(expiry::soonest(again, ends, now))
        }
    }
}
