//! A tenant's status: written once, at the end, only when it differs. Does I/O (Kubernetes).

use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use tenantry_api::condition::{Said, holds, set};
use tenantry_api::tenant::{Tenant, TenantPhase, TenantStatus};
use tenantry_core::class::ErrorClass;
use tenantry_core::names;

use super::live::Pass;
use crate::cluster::notice;
use crate::context::Ctx;
use crate::error::{Error, Result};
use crate::halt::Halt;

/// Writes the status of a tenant that is as it should be. Returns whether it still waits for its instances.
///
/// # Errors
/// [`Error::Kube`].
pub async fn write_well(pass: &Pass, ctx: &Ctx, now: Timestamp) -> Result<bool> {
    let generation = pass.tenant.metadata.generation;
    let mut status = pass.tenant.status.clone().unwrap_or_default();
    status.observed_generation = generation;
    let mut ready = Said::yes("Ready", "SetUp", "ready for instances");
    if let (Some(wanted), Some(suspension)) = (&pass.wanted, &pass.suspension) {
        status.phase = if suspension.suspended { TenantPhase::Suspended } else { TenantPhase::Active };
        let names = || suspension.waits_for.join(", ");
        if wanted.suspended && !suspension.waits_for.is_empty() {
            let text = format!("it is to be suspended, and waits until these instances have stopped: {}", names());
            ready = Said::no("Ready", "Stopping", text);
        } else if !wanted.suspended && suspension.suspended {
            let text = format!("it is resumed, and waits until one of these instances is back: {}", names());
            ready = Said::no("Ready", "Resuming", text);
        }
        status.namespace = Some(wanted.namespace.clone());
        status.limits = Some(wanted.limits.clone());
    }
    for said in [
        Said::yes("PlanKnown", "Found", format!("plan {}", pass.tenant.spec.plan)),
        Said::yes("NamespaceReady", "Applied", "namespace, quota and network rules are as they should be"),
        ready,
    ] {
        set(&mut status.conditions, said, generation, now);
    }
    if let Some(uid) = &pass.tenant.metadata.uid {
        ctx.memory.recovered(uid);
    }
    let waits = !holds(&status.conditions, "Ready");
    write(&pass.tenant, ctx, status).await?;
    Ok(waits)
}

/// Writes the status of a tenant that is held up, and says when to look again.
///
/// # Errors
/// [`Error::Kube`].
pub async fn write_halted(
    tenant: &Tenant,
    ctx: &Ctx,
    halt: Halt,
    archiving: bool,
    now: Timestamp,
) -> Result<Option<Duration>> {
    let uid = tenant.metadata.uid.as_deref().unwrap_or_default();
    if !halt.is_told(ctx.memory.failures(uid)) {
        return Ok(Some(pause(ctx, uid, &halt)));
    }
    // Whatever was asked on the way: an object that goes has one condition that says how far it is.
    let halt = if archiving { Halt { condition: "Archived", ..halt } } else { halt };
    let generation = tenant.metadata.generation;
    let mut status = tenant.status.clone().unwrap_or_default();
    status.observed_generation = generation;
    let was = status.conditions.iter().find(|c| c.type_ == halt.condition).map(|c| c.reason.clone());
    status.phase = match halt.class {
        _ if archiving => TenantPhase::Archiving,
        Some(ErrorClass::Invalid) => TenantPhase::Invalid,
        _ if status.namespace.is_some() => status.phase,
        _ => TenantPhase::Pending,
    };
    set(&mut status.conditions, Said::no(halt.condition, &halt.reason, halt.message.clone()), generation, now);
    if halt.condition != "Ready" && !archiving {
        set(&mut status.conditions, Said::no("Ready", &halt.reason, halt.message.clone()), generation, now);
    }
    if halt.class.is_some() && was.as_deref() != Some(halt.reason.as_str()) {
        notice(ctx, &kube::Resource::object_ref(tenant, &()), true, &halt.reason, &halt.message).await;
    }
    write(tenant, ctx, status).await?;
    Ok(Some(pause(ctx, uid, &halt)))
}

/// How long to wait after a halt: what it says, or its class's growing pause.
#[must_use]
pub fn pause(ctx: &Ctx, uid: &str, halt: &Halt) -> Duration {
    let Some(class) = halt.class else {
        return slower(halt.again.unwrap_or(Duration::from_secs(30)), ctx.memory.waited(uid, &halt.reason));
    };
    // Called inside of the reconcile's own span.
    tracing::Span::current().record("tenantry.class", class.label());
    crate::process::traces::stopped(class);
    tracing::warn!(reason = %halt.reason, class = class.label(), message = %halt.message, "held up");
    after(class, halt.again, ctx.memory.failed(uid))
}

/// Looks after which the pauses of a wait begin to grow.
const SOON: u32 = 10;
/// Longest pause of a wait, unless it asked for a longer one from the start.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The pause after the `looks`-th look at a wait that lasts: as it asks, then doubled after every few looks. Most waits
/// are ended by a watch, long before; one that nothing ever ends is not to be asked every second for ever.
fn slower(asks: Duration, looks: u32) -> Duration {
    let doubled = 1_u32.checked_shl(looks.saturating_sub(1) / SOON).unwrap_or(u32::MAX);
    asks.saturating_mul(doubled).min(asks.max(LONGEST_WAIT))
}

/// The pause after the `failures`-th failure in a row.
fn after(class: ErrorClass, again: Option<Duration>, failures: u32) -> Duration {
    match again {
        Some(again) => slower(again, failures),
        // Most hiccups (a conflict, a binding that is not known yet) are over at once.
        None if class == ErrorClass::Transient && failures == 1 => Duration::from_millis(200),
        None => Duration::from_secs(class.backoff_seconds(failures)),
    }
}

#[tracing::instrument(target = "tenantry::trace", level = "debug", name = "status", skip_all)]
async fn write(tenant: &Tenant, ctx: &Ctx, status: TenantStatus) -> Result<()> {
    if tenant.status.as_ref() == Some(&status) {
        return Ok(());
    }
    let api: Api<Tenant> = Api::all(ctx.client.clone());
    let object = json!({
        "apiVersion": "tenantry.dev/v1alpha1",
        "kind": "Tenant",
        "metadata": { "name": tenant.name_any(), "uid": tenant.metadata.uid },
        "status": status,
    });
    let params = PatchParams::apply(names::MANAGED_BY).force();
    match api.patch_status(&tenant.name_any(), &params, &Patch::Apply(&object)).await {
        Ok(stored) => {
            ctx.memory.wrote(&stored.metadata);
            Ok(())
        }
        // It went while we looked.
        Err(kube::Error::Api(s)) if s.code == 404 => Ok(()),
        Err(e) => Err(Error::kube("write the tenant's status")(e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_that_nothing_ends_is_looked_at_less_and_less_but_never_never() {
        let seconds = Duration::from_secs;
        for (looks, pause) in [(1, 2), (10, 2), (11, 4), (21, 8), (51, 60), (u32::MAX, 60)] {
            assert_eq!(slower(seconds(2), looks), seconds(pause), "{looks}");
        }
        assert_eq!(slower(seconds(300), u32::MAX), seconds(300));
        let memory = crate::cluster::Memory::default();
        assert_eq!((memory.waited("a", "One"), memory.waited("a", "One"), memory.waited("b", "One")), (1, 2, 1));
        assert_eq!((memory.waited("a", "Two"), memory.waited("a", "One")), (1, 1), "it went on");
        memory.recovered("b");
        assert_eq!(memory.waited("b", "One"), 1);
    }

    #[test]
    fn a_failure_that_says_when_to_look_again_is_looked_at_then_and_later_when_it_lasts() {
        let seconds = Duration::from_secs;
        for (failures, pause) in [(1, 5), (10, 5), (11, 10), (50, 60), (u32::MAX, 60)] {
            assert_eq!(after(ErrorClass::Blocked, Some(seconds(5)), failures), seconds(pause), "{failures}");
        }
        // The rest of the pause before the next attempt is never made longer than a minute's net.
        assert_eq!(after(ErrorClass::Blocked, Some(seconds(900)), 50), seconds(900));
        assert_eq!(after(ErrorClass::Blocked, None, 50), Duration::from_secs(120));
        assert_eq!(after(ErrorClass::Transient, None, 1), Duration::from_millis(200));
        assert_eq!(after(ErrorClass::Transient, None, 3), Duration::from_secs(4));
    }
}
