//! A tenant's status: written once, at the end, only when it differs. Does I/O (Kubernetes).

use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use tenantry_api::condition::{Said, set};
use tenantry_api::tenant::{Tenant, TenantPhase, TenantStatus};
use tenantry_core::class::ErrorClass;
use tenantry_core::names;

use super::live::Pass;
use crate::cluster::notice;
use crate::context::Ctx;
use crate::error::{Error, Result};
use crate::halt::Halt;

/// Writes the status of a tenant that is as it should be.
///
/// # Errors
/// [`Error::Kube`].
pub async fn write_well(pass: &Pass, ctx: &Ctx, now: Timestamp) -> Result<()> {
    let generation = pass.tenant.metadata.generation;
    let mut status = pass.tenant.status.clone().unwrap_or_default();
    status.observed_generation = generation;
    if let Some(wanted) = &pass.wanted {
        status.phase = if wanted.suspended { TenantPhase::Suspended } else { TenantPhase::Active };
        status.namespace = Some(wanted.namespace.clone());
        status.limits = Some(wanted.limits.clone());
    }
    for said in [
        Said::yes("PlanKnown", "Found", format!("plan {}", pass.tenant.spec.plan)),
        Said::yes("NamespaceReady", "Applied", "namespace, quota and network rules are as they should be"),
        Said::yes("Ready", "SetUp", "ready for instances"),
    ] {
        set(&mut status.conditions, said, generation, now);
    }
    if let Some(uid) = &pass.tenant.metadata.uid {
        ctx.memory.recovered(uid);
    }
    write(&pass.tenant, ctx, status).await
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
    let Some(class) = halt.class else { return halt.again.unwrap_or(Duration::from_secs(30)) };
    // Called inside of the reconcile's own span.
    tracing::Span::current().record("tenantry.class", class.label());
    crate::process::traces::stopped(class);
    tracing::warn!(reason = %halt.reason, class = class.label(), message = %halt.message, "held up");
    after(class, halt.again, ctx.memory.failed(uid))
}

/// The pause after the `failures`-th failure in a row.
fn after(class: ErrorClass, again: Option<Duration>, failures: u32) -> Duration {
    match again {
        Some(again) => again,
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
    fn a_failure_that_says_when_to_look_again_is_looked_at_then_however_often_it_failed() {
        let soon = Duration::from_secs(10);
        for failures in [1, 5, 50] {
            assert_eq!(after(ErrorClass::Blocked, Some(soon), failures), soon);
        }
        assert_eq!(after(ErrorClass::Blocked, None, 50), Duration::from_secs(120));
        assert_eq!(after(ErrorClass::Transient, None, 1), Duration::from_millis(200));
        assert_eq!(after(ErrorClass::Transient, None, 3), Duration::from_secs(4));
    }
}
