//! Taking over an archived tenant: only by name of the Archive, only with its id. Does I/O (Kubernetes).

use kube::ResourceExt;
use kube::api::{Api, ListParams, Patch, PatchParams};
use serde_json::json;
use tenantry_api::archive::{Archive, ArchivePhase, ArchivedKind};
use tenantry_api::tenant::Tenant;
use tenantry_core::class::ErrorClass;
use tenantry_core::id::Id;
use tenantry_core::ledger::Recorded;
use tenantry_core::names;
use tenantry_plan::Kind;

use crate::cluster::dynamic_api;
use crate::context::Ctx;
use crate::error::Error;
use crate::halt::Halt;

fn refuse(message: String) -> Halt {
    Halt::fail("Ready", "IdTaken", message, ErrorClass::Invalid)
}

/// Refuses an id that belongs to an archive or to another tenant. Nothing was touched before.
///
/// # Errors
/// [`Halt`] at `Ready`.
pub async fn check(ctx: &Ctx, tenant: &Tenant, id: &Id) -> Result<(), Halt> {
    let ready = Halt::at("Ready");
    let name = tenant.name_any();
    if tenant.status.as_ref().is_some_and(|s| s.namespace.is_some()) {
        // It has its namespace already: the id is its own.
        return Ok(());
    }
    let namespaces = dynamic_api(&ctx.client, Kind::Namespace, None);
    let namespace = namespaces
        .get_opt(&names::namespace(id))
        .await
        .map_err(|e| ready(Error::kube("get the namespace")(e)))?;
    let Some(namespace) = namespace else { return Ok(()) };
    let owner = namespace.labels().get(names::LABEL_TENANT).cloned().unwrap_or_default();
    let archives = archives_of(ctx, id).await?;
    let open = archives
        .iter()
        .filter(|a| a.spec.kind == ArchivedKind::Tenant)
        .find(|a| !matches!(phase(a), ArchivePhase::Adopted | ArchivePhase::Purged));
    match (open, &tenant.spec.adopt) {
        (Some(archive), Some(wanted)) if *wanted == archive.name_any() => Ok(()),
        (Some(archive), _) => Err(refuse(format!(
            "id {id} belongs to archive {} of tenant {:?}; its data is safe. Take it over with `tenantry tenant adopt {}`, or create the tenant without spec.id",
            archive.name_any(),
            archive.spec.name,
            archive.spec.name
        ))),
        (None, _) if owner == name => Ok(()),
        (None, _) => Err(refuse(format!("id {id} belongs to tenant {owner:?}; create the tenant without spec.id"))),
    }
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
    let list = api.list(&params).await.map_err(|e| Halt::at("Ready")(Error::kube("list archives")(e)))?;
    Ok(list.items)
}

/// The Archive that an object names, if it names one.
///
/// # Errors
/// [`Halt`] when it does not exist or holds something else.
pub async fn named(
    ctx: &Ctx,
    adopt: Option<&str>,
    id: Option<&str>,
    kind: ArchivedKind,
) -> Result<Option<Archive>, Halt> {
    let Some(wanted) = adopt else { return Ok(None) };
    let api: Api<Archive> = Api::all(ctx.client.clone());
    let found = api.get_opt(wanted).await.map_err(|e| Halt::at("Ready")(Error::kube("get the archive")(e)))?;
    let archive = found.ok_or_else(|| {
        refuse(format!("spec.adopt: archive {wanted:?} does not exist; see `tenantry archive list`"))
    })?;
    if archive.spec.kind != kind || Some(archive.spec.id.as_str()) != id {
        return Err(refuse(format!("spec.adopt: archive {wanted:?} holds id {}, not this one", archive.spec.id)));
    }
    if matches!(phase(&archive), ArchivePhase::Purged | ArchivePhase::Purging) {
        return Err(refuse(format!("spec.adopt: the data of archive {wanted:?} has been purged")));
    }
    Ok(Some(archive))
}

/// The recorded end of the stream that an adopted object continues.
///
/// # Errors
/// [`Halt`] when the archive cannot be adopted.
pub async fn ledger(ctx: &Ctx, tenant: &Tenant) -> Result<Option<Recorded>, Halt> {
    let spec = &tenant.spec;
    let archive = named(ctx, spec.adopt.as_deref(), spec.id.as_deref(), ArchivedKind::Tenant).await?;
    archive.map(|a| ledger_of(&a)).transpose()
}

/// The recorded end of the stream that an Archive keeps.
///
/// # Errors
/// [`Halt`] when it cannot be read: better to stop than to number events anew.
pub fn ledger_of(archive: &Archive) -> Result<Recorded, Halt> {
    serde_json::from_str(&archive.spec.ledger).map_err(|e| Halt::at("Ready")(Error::Json(e)))
}

/// Marks the archive as adopted, once the tenant stands.
///
/// # Errors
/// [`Halt`] at `Ready`.
pub async fn finish(ctx: &Ctx, tenant: &Tenant) -> Result<(), Halt> {
    let spec = &tenant.spec;
    // Only until the tenant has been reported once: later passes need not look.
    if tenant.status.as_ref().is_some_and(|s| s.namespace.is_some()) {
        return Ok(());
    }
    match named(ctx, spec.adopt.as_deref(), spec.id.as_deref(), ArchivedKind::Tenant).await? {
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
    api.patch_status(&archive.name_any(), &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .map_err(|e| Halt::at("Ready")(Error::kube("mark the archive as adopted")(e)))?;
    Ok(())
}
