//! A tenant's status: written once, at the end, only when it differs. Does I/O (Kubernetes).

use std::time::Duration;

use jiff::Timestamp;
use tenantry_api::condition::{ConditionType, Said, holds, set};
use tenantry_api::tenant::Tenant;
use tenantry_plan::tenant::phase_when_halted;

use super::live::Pass;
use crate::cluster::notice;
use crate::context::Ctx;
use crate::error::Result;
use crate::halt::Halt;
use crate::requeue::pause;
use crate::status::write;

/// Writes the status of a tenant that is as it should be. Returns whether it still waits for its instances.
///
/// # Errors
/// [`Error::Kube`].
pub async fn write_well(pass: &Pass, ctx: &Ctx, now: Timestamp) -> Result<bool> {
    let generation = pass.tenant.metadata.generation;
    let mut status = pass.tenant.status.clone().unwrap_or_default();
    status.observed_generation = generation;
    let mut ready = Said::yes(ConditionType::Ready, "SetUp", "ready for instances");
    if let (Some(wanted), Some(suspension)) = (&pass.wanted, &pass.suspension) {
        status.phase = suspension.phase();
        ready = suspension.ready(wanted.suspended);
        status.namespace = Some(wanted.namespace.clone());
        status.limits = Some(wanted.limits.clone());
    }
    for said in [
        Said::yes(ConditionType::PlanKnown, "Found", format!("plan {}", pass.tenant.spec.plan)),
        Said::yes(ConditionType::NamespaceReady, "Applied", "namespace, quota and network rules are as they should be"),
        ready,
    ] {
        set(&mut status.conditions, said, generation, now);
    }
    if let Some(uid) = &pass.tenant.metadata.uid {
        ctx.memory.retries.recovered(uid);
    }
    let waits = !holds(&status.conditions, ConditionType::Ready);
    write(ctx, &pass.tenant, status).await?;
    Ok(waits)
}

/// Writes the status of a tenant that is held up, and returns when to look again.
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
    if !halt.is_told(ctx.memory.retries.failures(uid)) {
        return Ok(Some(pause(ctx, uid, &halt)));
    }
    // Whatever condition stopped the archiving: an object that is being deleted has one condition that reports how far
    // it is.
    let halt = if archiving { Halt { condition: ConditionType::Archived, ..halt } } else { halt };
    let generation = tenant.metadata.generation;
    let mut status = tenant.status.clone().unwrap_or_default();
    status.observed_generation = generation;
    let was = status.conditions.iter().find(|c| c.type_ == halt.condition.word()).map(|c| c.reason.clone());
    let set_up = status.namespace.is_some().then_some(status.phase);
    status.phase = phase_when_halted(halt.condition, halt.class, set_up);
    set(&mut status.conditions, Said::no(halt.condition, &halt.reason, halt.message.clone()), generation, now);
    if halt.condition != ConditionType::Ready && !archiving {
        set(
            &mut status.conditions,
            Said::no(ConditionType::Ready, &halt.reason, halt.message.clone()),
            generation,
            now,
        );
    }
    if halt.class.is_some() && was.as_deref() != Some(halt.reason.as_str()) {
        notice(ctx, &kube::Resource::object_ref(tenant, &()), true, &halt.reason, &halt.message).await;
    }
    write(ctx, tenant, status).await?;
    Ok(Some(pause(ctx, uid, &halt)))
}
