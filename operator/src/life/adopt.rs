//! Adoption of an archive: only by the Archive's name, and only by an object with its id. Does I/O (Kubernetes).

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::api::{Api, ListParams, Patch};
use kube::{Resource, ResourceExt};
use serde_json::json;
use tenantry_api::archive::{Archive, ArchivePhase, ArchivedKind};
use tenantry_api::condition::ConditionType;
use tenantry_api::crm_instance::CrmInstance;
use tenantry_api::tenant::Tenant;
use tenantry_core::id::Id;
use tenantry_core::ledger::Recorded;
use tenantry_core::names;
use tenantry_plan::archive::is_doomed;
use tenantry_plan::{Kind, adoption};

use super::claim;
use super::ledger::recorded_of;
use super::refusal::refuse;
use crate::cluster::{dynamic_api, patch_params};
use crate::context::Ctx;
use crate::error::Error;
use crate::halt::{Halt, OrHalt};

/// Refuses an id that belongs to an archive, or whose namespace belongs to another tenant. Nothing was changed before
/// this check.
///
/// # Errors
/// [`Halt`] at `Ready`.
pub async fn check(ctx: &Ctx, tenant: &Tenant, id: &Id, now: Timestamp) -> Result<(), Halt> {
    let name = tenant.name_any();
    if tenant.status.as_ref().is_some_and(|s| s.namespace.is_some()) {
        // The tenant has its namespace already: the id is its own.
        return Ok(());
    }
    let namespaces = dynamic_api(&ctx.client, Kind::Namespace, None);
    let namespace = namespaces
        .get_opt(&names::namespace(id))
        .await
        .map_err(Error::kube("get the namespace"))
        .halt(ConditionType::Ready)?;
    let owner = namespace.map(|ns| ns.labels().get(names::LABEL_TENANT).cloned().unwrap_or_default());
    let latest = free(ctx, tenant, id, tenant.spec.adopt.as_deref(), now).await?;
    match owner {
        // An open archive belongs to the tenant that names it. Its namespace still carries the old tenant's name.
        _ if latest.is_some_and(|a| phase(&a) == ArchivePhase::Archived) => {}
        Some(owner) if owner != name => {
            return Err(refuse(format!("id {id} belongs to tenant {owner:?}; create the tenant without spec.id")));
        }
        _ => {}
    }
    Ok(())
}

/// Whether the object took the archive over before: the id is claimed for the object, and the object's own note of the
/// ledger continues where the archive's ledger ends. The object keeps this right even if its own status or the
/// archive's status was lost.
async fn took_over<K>(ctx: &Ctx, object: &K, id: &Id, archive: &Archive) -> Result<bool, Halt>
where
    K: Resource<DynamicType = ()>,
{
    let empty = BTreeMap::new();
    let noted = recorded_of(object.meta().annotations.as_ref().unwrap_or(&empty))?;
    let ended = ledger_of(archive)?.sequence;
    if ended == 0 || noted.is_none_or(|n| n.sequence < ended) {
        return Ok(false);
    }
    // Anybody may write annotations, but not claims.
    claim::is_held_by(ctx, object, id).await
}

/// Refuses an id whose last life has ended, unless its archive is taken over by name. Returns that archive.
async fn free<K>(ctx: &Ctx, object: &K, id: &Id, adopt: Option<&str>, now: Timestamp) -> Result<Option<Archive>, Halt>
where
    K: Resource<DynamicType = ()>,
{
    let Some(archive) = latest(ctx, id).await? else { return Ok(None) };
    let kind = if K::kind(&()) == "Tenant" { "tenant" } else { "instance" };
    let name = &archive.spec.name;
    match phase(&archive) {
        ArchivePhase::Purged | ArchivePhase::Purging => Err(refuse(format!(
            "id {id} belonged to {kind} {name:?}, whose data has been purged; create the {kind} without spec.id"
        ))),
        _ if adopt == Some(archive.name_any().as_str()) => {
            if is_to_be_purged(&archive, now) && !took_over(ctx, object, id, &archive).await? {
                let name = archive.name_any();
                return Err(refuse(format!("spec.adopt: archive {name} is to be purged, as a person confirmed")));
            }
            Ok(Some(archive))
        }
        ArchivePhase::Adopted => {
            Err(refuse(format!("id {id} belongs to another {kind}; create the {kind} without spec.id")))
        }
        ArchivePhase::Archived => Err(refuse(format!(
            "id {id} belongs to archive {archive} of {kind} {name:?}; its data is safe. Take it over with `tenantry {kind} adopt {archive}`, or create the {kind} without spec.id",
            archive = archive.name_any(),
        ))),
    }
}

/// Whether an archive is to be purged. Until the end of the retention a waiting purge does not prevent an adoption.
fn is_to_be_purged(archive: &Archive, now: Timestamp) -> bool {
    phase(archive) == ArchivePhase::Archived && is_doomed(archive, now)
}

/// The archive of the last life of an id; archives are never removed, so the archive of the first life shows whether
/// any archive exists.
async fn latest(ctx: &Ctx, id: &Id) -> Result<Option<Archive>, Halt> {
    let api: Api<Archive> = Api::all(ctx.client.clone());
    let first = api.get_opt(&names::archive(id, 1)).await;
    let Some(first) = first.map_err(Error::kube("get the archive")).halt(ConditionType::Ready)? else {
        return Ok(None);
    };
    let tenant = Id::parse(&first.spec.tenant_id).map_err(|e| refuse(e.to_string()))?;
    let all = archives_of(ctx, &tenant).await?;
    Ok(all.into_iter().filter(|a| a.spec.id == id.as_str()).max_by_key(|a| a.spec.life))
}

/// Refuses the id of an archived instance. Called only until the instance has been reported.
///
/// # Errors
/// [`Halt`] at `Ready`.
pub async fn check_instance(ctx: &Ctx, instance: &CrmInstance, id: &Id, now: Timestamp) -> Result<(), Halt> {
    let latest = free(ctx, instance, id, instance.spec.adopt.as_deref(), now).await?;
    match latest {
        Some(archive) => adoption::is_of(&archive, instance.namespace().as_deref()).map_err(refuse),
        None => Ok(()),
    }
}

/// Refuses to archive the remains of an id as an orphan while an archive keeps its data. If the last archive was
/// adopted or purged, it must be named, so that the new archive counts one life more.
///
/// # Errors
/// [`Halt`] at `Ready`.
pub async fn check_orphan(ctx: &Ctx, id: &Id, adopt: Option<&str>) -> Result<(), Halt> {
    match latest(ctx, id).await? {
        None if adopt.is_none() => Ok(()),
        Some(last) if matches!(phase(&last), ArchivePhase::Archived | ArchivePhase::Purging) => {
            Err(refuse(format!("id {id} is no orphan: archive {} keeps its data", last.name_any())))
        }
        Some(last) if adopt == Some(last.name_any().as_str()) => Ok(()),
        last => Err(refuse(format!(
            "spec.adopt: {adopt:?} is not the last archive of id {id}, which is {:?}; run `tenantry archive orphan` again",
            last.map(|a| a.name_any())
        ))),
    }
}

/// Whether an object was created only to archive the remains of its id.
#[must_use]
pub fn is_orphan(annotations: &BTreeMap<String, String>, id: Option<&str>) -> bool {
    annotations.get(names::ANNOTATION_ORPHAN).is_some_and(|orphan| Some(orphan.as_str()) == id)
}

fn phase(archive: &Archive) -> ArchivePhase {
    archive.status.as_ref().map(|s| s.phase).unwrap_or_default()
}

/// The archives of a tenant and its instances.
///
/// # Errors
/// [`Halt`] at `Ready`.
pub async fn archives_of(ctx: &Ctx, id: &Id) -> Result<Vec<Archive>, Halt> {
    let api: Api<Archive> = Api::all(ctx.client.clone());
    let params = ListParams::default().labels(&format!("{}={id}", names::LABEL_TENANT_ID));
    let list = api.list(&params).await.map_err(Error::kube("list archives")).halt(ConditionType::Ready)?;
    Ok(list.items)
}

/// The Archive that an object names, if it names one. The archive of an instance must belong to the instance's own
/// namespace.
///
/// # Errors
/// [`Halt`] when the Archive does not exist, or holds something else.
pub async fn named(
    ctx: &Ctx,
    adopt: Option<&str>,
    id: Option<&str>,
    kind: ArchivedKind,
    namespace: Option<&str>,
) -> Result<Option<Archive>, Halt> {
    let Some(wanted) = adopt else { return Ok(None) };
    let api: Api<Archive> = Api::all(ctx.client.clone());
    let found = api.get_opt(wanted).await.map_err(Error::kube("get the archive")).halt(ConditionType::Ready)?;
    let archive = found
        .ok_or_else(|| refuse(format!("spec.adopt: archive {wanted:?} does not exist; see `tenantry archive list`")))?;
    adoption::may_be_adopted(&archive, kind, id, namespace).map_err(refuse)?;
    Ok(Some(archive))
}

/// The recorded end of the stream that an adopted object continues.
///
/// # Errors
/// [`Halt`] when the archive cannot be adopted.
pub async fn ledger(ctx: &Ctx, tenant: &Tenant) -> Result<Option<Recorded>, Halt> {
    let spec = &tenant.spec;
    let archive = named(ctx, spec.adopt.as_deref(), spec.id.as_deref(), ArchivedKind::Tenant, None).await?;
    archive.map(|a| ledger_of(&a)).transpose()
}

/// The recorded end of the stream that an Archive keeps.
///
/// # Errors
/// [`Halt`] when it cannot be read: better to stop than to number events from the start again.
pub fn ledger_of(archive: &Archive) -> Result<Recorded, Halt> {
    serde_json::from_str(&archive.spec.ledger).halt(ConditionType::Ready)
}

/// Marks the archive as adopted, once the tenant is set up.
///
/// # Errors
/// [`Halt`] at `Ready`.
pub async fn finish(ctx: &Ctx, tenant: &Tenant) -> Result<(), Halt> {
    let spec = &tenant.spec;
    // Only until the tenant has been reported once: later passes need not look.
    if tenant.status.as_ref().is_some_and(|s| s.namespace.is_some()) {
        return Ok(());
    }
    match named(ctx, spec.adopt.as_deref(), spec.id.as_deref(), ArchivedKind::Tenant, None).await? {
        Some(archive) => mark(ctx, &archive).await,
        None => Ok(()),
    }
}

/// Writes `Adopted` into an archive's status.
///
/// # Errors
/// [`Halt`] at `Ready`.
pub async fn mark(ctx: &Ctx, archive: &Archive) -> Result<(), Halt> {
    if phase(archive) == ArchivePhase::Adopted {
        return Ok(());
    }
    let api: Api<Archive> = Api::all(ctx.client.clone());
    let patch = json!({ "status": { "phase": ArchivePhase::Adopted } });
    api.patch_status(&archive.name_any(), &patch_params(), &Patch::Merge(&patch))
        .await
        .map_err(Error::kube("mark the archive as adopted"))
        .halt(ConditionType::Ready)?;
    Ok(())
}
