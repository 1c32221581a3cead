//! An instance's status: written once, at the end, only when it differs. Does I/O (Kubernetes).

use std::time::Duration;

use jiff::Timestamp;
use tenantry_api::condition::{ConditionType, Said, holds, set};
use tenantry_api::crm_instance::{CrmInstanceStatus, DatabaseStatus, InstancePhase};
use tenantry_api::tenant::Tenant;
use tenantry_plan::instance::phase_when_halted;
use tenantry_plan::made_with;
use tenantry_plan::tenant::STOPPED;

use super::pass::Pass;
use super::reach;
use crate::cluster::notice;
use crate::context::Ctx;
use crate::error::Result;
use crate::halt::Halt;
use crate::requeue::pause;
use crate::status::write;
use tenantry_plan::instance::data_generation;

/// Writes the status of an instance that is as it should be.
///
/// # Errors
/// [`Error::Kube`].
pub async fn write_well(pass: &Pass, ctx: &Ctx, phase: InstancePhase, now: Timestamp) -> Result<()> {
    let mut status = base(pass, None, now);
    let generation = pass.instance.metadata.generation;
    if phase == InstancePhase::Ready {
        if status.installed_at.is_none() {
            status.installed_at = Some(now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
        }
        set(
            &mut status.conditions,
            Said::yes(ConditionType::Ready, "Serving", "verified and serving"),
            generation,
            now,
        );
    } else {
        let reason = pass.wanted.as_ref().and_then(|w| w.suspended.clone()).filter(|r| !r.is_empty());
        let text = reason.map_or_else(|| "suspended; its data is kept".to_owned(), |r| format!("suspended: {r}"));
        set(&mut status.conditions, Said::no(ConditionType::Ready, "Suspended", text), generation, now);
    }
    status.phase = phase;
    let was = pass.instance.status.as_ref().map(|s| s.phase);
    if let Some(uid) = pass.instance.metadata.uid.as_deref() {
        ctx.memory.retries.recovered(uid);
    }
    write(ctx, &pass.instance, status).await?;
    if was.is_some_and(|was| was != phase && was != InstancePhase::Pending) {
        notice(ctx, &kube::Resource::object_ref(&pass.instance, &()), false, &format!("{phase:?}"), "as it should be")
            .await;
    }
    Ok(())
}

/// Writes the status of an instance that is not in its desired state yet, and returns when to look again.
///
/// # Errors
/// [`Error::Kube`].
pub async fn write_halted(
    pass: &Pass,
    ctx: &Ctx,
    halt: Halt,
    archiving: bool,
    now: Timestamp,
) -> Result<Option<Duration>> {
    let uid = pass.instance.metadata.uid.as_deref().unwrap_or_default();
    if !halt.is_told(ctx.memory.retries.failures(uid)) {
        ctx.memory.unsettle(uid);
        return Ok(Some(pause(ctx, uid, &halt)));
    }
    // Whatever condition the halt names: an object that is being deleted has one condition that says how far it is.
    let halt = if archiving { Halt { condition: ConditionType::Archived, ..halt } } else { halt };
    let mut status = base(pass, Some(halt.condition), now);
    let generation = pass.instance.metadata.generation;
    let was = status.conditions.iter().find(|c| c.type_ == halt.condition.word()).map(|c| c.reason.clone());
    let installed = status.installed_at.is_some();
    status.phase = phase_when_halted(halt.condition, halt.class, installed);
    set(&mut status.conditions, Said::no(halt.condition, &halt.reason, halt.message.clone()), generation, now);
    if halt.condition == ConditionType::Installed && !holds(&status.conditions, ConditionType::DatabaseReady) {
        // The earlier reason of the database's condition is no longer true: the database waits for its installation.
        set(
            &mut status.conditions,
            Said::no(ConditionType::DatabaseReady, &halt.reason, halt.message.clone()),
            generation,
            now,
        );
    }
    if halt.condition != ConditionType::Ready && !archiving {
        if pass.instance.status.as_ref().is_some_and(|s| s.phase == InstancePhase::Suspended) {
            // The suspension was intended: unreadiness counts from the resume on.
            set(&mut status.conditions, Said::unknown(ConditionType::Ready, "Resuming", "comes back"), generation, now);
        }
        set(
            &mut status.conditions,
            Said::no(ConditionType::Ready, &halt.reason, halt.message.clone()),
            generation,
            now,
        );
    }
    if halt.class.is_some() && was.as_deref() != Some(halt.reason.as_str()) {
        notice(ctx, &kube::Resource::object_ref(&pass.instance, &()), true, &halt.reason, &halt.message).await;
    }
    ctx.memory.unsettle(uid);
    write(ctx, &pass.instance, status).await?;
    Ok(Some(pause(ctx, uid, &halt)))
}

/// The status as it was, with the findings of this pass.
fn base(pass: &Pass, halted_at: Option<ConditionType>, now: Timestamp) -> CrmInstanceStatus {
    let mut status = pass.instance.status.clone().unwrap_or_default();
    let generation = pass.instance.metadata.generation;
    status.observed_generation = generation;
    if let Some(wanted) = &pass.wanted {
        status.data_generation = Some(data_generation(&pass.instance));
        // For an instance that ran, the status keeps the release that ran until another one runs: the volumes of that
        // release hold the data.
        let runs = pass.reached.iter().any(|(kind, _)| *kind == ConditionType::ProcessesReady);
        if runs || status.installed_at.is_none() || status.release_hash.is_none() {
            status.release = wanted.release.release().map(|r| r.version.clone());
            status.release_hash = Some(wanted.release.hash.clone());
        }
    }
    if status.installed_at.is_none() {
        status.installed_at.clone_from(&pass.installed_at);
    }
    if let Some(exchanging) = &pass.exchanging {
        status.exchanging_since.clone_from(exchanging);
    }
    if pass.url.is_some() {
        status.url.clone_from(&pass.url);
    }
    if let Some(integrations) = &pass.integrations {
        status.integrations.clone_from(integrations);
    }
    if let Some((server, access)) = &pass.database {
        status.database = Some(DatabaseStatus { server: server.clone(), name: access.name.clone() });
    }
    if let Some(tenant) = &pass.tenant {
        status.tenant_generation = tenant.metadata.generation;
        suspension(pass, tenant, &mut status, now);
    }
    match &pass.settings_applied {
        Some(Some(said)) => set(&mut status.conditions, said.clone(), generation, now),
        Some(None) => status.conditions.retain(|c| c.type_ != made_with::CONDITION.word()),
        None => {}
    }
    // A condition that was reached and then halted at is false. Setting it to true and then to false would move its
    // time at every pass.
    for (kind, message) in pass.reached.iter().filter(|(kind, _)| Some(*kind) != halted_at) {
        set(&mut status.conditions, Said::yes(*kind, "Done", message.clone()), generation, now);
    }
    status
}

/// Writes what a suspension and its end change, as this pass found it. Nothing is reported of an older suspension. An
/// instance counts as stopped until a pass has asked how people reach it again. An instance that was never installed
/// has nothing that could come back.
fn suspension(pass: &Pass, tenant: &Tenant, status: &mut CrmInstanceStatus, now: Timestamp) {
    let drop =
        |status: &mut CrmInstanceStatus, kind: ConditionType| status.conditions.retain(|c| c.type_ != kind.word());
    if tenant.spec.suspended {
        drop(status, reach::CONDITION);
        if pass.stopped {
            let said = Said::yes(STOPPED, "Suspended", "nothing of it runs; its data is kept");
            set(&mut status.conditions, said, pass.instance.metadata.generation, now);
        } else {
            drop(status, STOPPED);
        }
    } else if pass.reachable.is_some() || !pass.installed_before() {
        drop(status, STOPPED);
    }
    if let Some((said, way)) = pass.reachable.clone() {
        status.reachable_for = Some(way);
        set(&mut status.conditions, said, pass.instance.metadata.generation, now);
    }
}
