//! Removes personal data (contacts, addresses, settings) from an Archive whose data is purged. Does I/O (Kubernetes).

use kube::ResourceExt;
use kube::api::{Api, Patch};
use serde_json::json;
use tenantry_api::archive::{Archive, ArchivePhase, BLANK};
use tenantry_core::id::Id;

use crate::cluster::patch_params;
use crate::context::Ctx;
use crate::error::{Error, Result};
use crate::halt::{Halt, OrHalt};
use crate::life::adopt::archives_of;

pub(super) const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Blanks the spec of the archived object that an Archive carries. The id, the name, the names of what existed and the
/// end of the ledger stay. Returns the new generation.
///
/// # Errors
/// [`Error::Kube`].
pub async fn one(archive: &Archive, ctx: &Ctx) -> Result<Option<i64>> {
    if archive.spec.object == BLANK && !archive.annotations().contains_key(LAST_APPLIED) {
        return Ok(archive.metadata.generation);
    }
    let api: Api<Archive> = Api::all(ctx.client.clone());
    // If the archive was put back by `kubectl apply`, this annotation holds a second copy of the same text.
    let body = json!({ "metadata": { "uid": archive.metadata.uid, "annotations": { LAST_APPLIED: null } },
        "spec": { "object": BLANK } });
    let blanked = api.patch(&archive.name_any(), &patch_params(), &Patch::Merge(&body)).await;
    let blanked = blanked.map_err(Error::kube("blank what the archive knows of people"))?;
    Ok(blanked.metadata.generation)
}

/// Blanks the archives of earlier lives too. They were adopted: the data that they held passed on to this archive.
///
/// # Errors
/// [`Halt`] at `Purged`.
pub async fn earlier(archive: &Archive, ctx: &Ctx) -> std::result::Result<(), Halt> {
    if archive.spec.life <= 1 {
        return Ok(());
    }
    let tenant =
        Id::parse(&archive.spec.tenant_id).map_err(|e| Error::Blocked(e.to_string())).halt(super::pace::CONDITION)?;
    for old in archives_of(ctx, &tenant).await? {
        let adopted = old.status.as_ref().is_some_and(|s| s.phase == ArchivePhase::Adopted);
        if adopted && old.spec.id == archive.spec.id && old.spec.life < archive.spec.life {
            one(&old, ctx).await.halt(super::pace::CONDITION)?;
        }
    }
    Ok(())
}
