//! Volumes behind claims: whether they are deleted with their claim, and whether they are gone. Does I/O (Kubernetes).

use k8s_openapi::api::core::v1::{ObjectReference, PersistentVolume, PersistentVolumeClaim};
use kube::ResourceExt;
use kube::api::{Api, ListParams, Patch};
use serde_json::json;
use tenantry_api::archive::Archive;
use tenantry_core::class::ErrorClass;
use tenantry_plan::Kind;

use super::pace::{CONDITION, again};
use crate::cluster::patch_params;
use crate::context::Ctx;
use crate::error::{Error, Result};
use crate::halt::{Halt, OrHalt};

/// Volumes per page.
const PAGE: u32 = 500;

/// Sets what happens to the volumes behind claims when the claims are deleted: `Retain` or `Delete`.
///
/// # Errors
/// [`Error::Kube`].
pub async fn set_reclaim_policy(ctx: &Ctx, namespace: &str, claims: &[String], policy: &str) -> Result<()> {
    let api: Api<PersistentVolumeClaim> = Api::namespaced(ctx.client.clone(), namespace);
    for name in claims {
        let claim = api.get_opt(name).await.map_err(Error::kube(format!("get claim {name}")))?;
        if let Some(volume) = claim.and_then(|c| c.spec).and_then(|s| s.volume_name) {
            set_policy(ctx, &volume, policy).await?;
        }
    }
    Ok(())
}

/// Sets what happens to a volume when its claim is deleted. Writes only when the volume has another policy.
///
/// # Errors
/// [`Error::Kube`].
pub async fn set_policy(ctx: &Ctx, volume: &str, policy: &str) -> Result<()> {
    let volumes: Api<PersistentVolume> = Api::all(ctx.client.clone());
    let found = volumes.get_opt(volume).await.map_err(Error::kube(format!("get volume {volume}")))?;
    let now = found.and_then(|v| v.spec).and_then(|s| s.persistent_volume_reclaim_policy);
    if now.as_deref() == Some(policy) || now.is_none() {
        return Ok(());
    }
    let patch = json!({ "spec": { "persistentVolumeReclaimPolicy": policy } });
    let patched = volumes.patch(volume, &patch_params(), &Patch::Merge(&patch)).await;
    patched.map(drop).map_err(Error::kube(format!("set volume {volume} to {policy}")))
}

/// The claims of an archive that still exist.
///
/// # Errors
/// [`Error::Kube`].
pub async fn claims_of(archive: &Archive, ctx: &Ctx) -> Result<Vec<PersistentVolumeClaim>> {
    let api: Api<PersistentVolumeClaim> = Api::namespaced(ctx.client.clone(), &archive.spec.namespace);
    let mut found = Vec::new();
    for name in &archive.spec.volumes {
        found.extend(api.get_opt(name).await.map_err(Error::kube(format!("get claim {name}")))?);
    }
    Ok(found)
}

/// Adds the volumes of an archive whose claims are gone already: only the volumes themselves still name their claims.
///
/// # Errors
/// [`Error::Kube`].
pub async fn note_unclaimed(archive: &Archive, ctx: &Ctx, noted: &mut Vec<String>) -> Result<()> {
    let api: Api<PersistentVolume> = Api::all(ctx.client.clone());
    let mut params = ListParams::default().limit(PAGE);
    loop {
        let page = api.list(&params).await.map_err(Error::kube("list volumes"))?;
        for volume in page.items.iter().filter(|v| claim_of(v).is_some() && is_behind(v, archive)) {
            if !noted.contains(&volume.name_any()) {
                noted.push(volume.name_any());
            }
        }
        match page.metadata.continue_.filter(|c| !c.is_empty()) {
            Some(next) => params = params.continue_token(&next),
            None => return Ok(()),
        }
    }
}

/// Adds the volumes behind claims to the noted volumes: once a claim is gone, nothing else leads to its volume. Returns
/// whether a volume was added.
pub fn note(claims: &[PersistentVolumeClaim], noted: &mut Vec<String>) -> bool {
    let before = noted.len();
    for volume in claims.iter().filter_map(|c| c.spec.as_ref()?.volume_name.clone()) {
        if !noted.contains(&volume) {
            noted.push(volume);
        }
    }
    noted.len() > before
}

/// Removes claims, together with the volumes behind them.
///
/// # Errors
/// [`Error::Kube`].
pub async fn remove(archive: &Archive, ctx: &Ctx, claims: &[PersistentVolumeClaim]) -> Result<()> {
    for claim in claims.iter().filter(|c| c.metadata.deletion_timestamp.is_none()) {
        if let Some(volume) = claim.spec.as_ref().and_then(|s| s.volume_name.as_deref()) {
            set_policy(ctx, volume, "Delete").await?;
        }
        ctx.remove(Kind::PersistentVolumeClaim, Some(&archive.spec.namespace), &claim.name_any()).await?;
    }
    Ok(())
}

/// Checks whether the volumes of an archive are gone too, after its claims are gone: until then the files can be read.
///
/// # Errors
/// [`Halt`] at `Purged` while a volume still exists.
pub async fn gone(archive: &Archive, ctx: &Ctx, noted: &[String]) -> std::result::Result<(), Halt> {
    let api: Api<PersistentVolume> = Api::all(ctx.client.clone());
    let mut left = Vec::new();
    for name in noted {
        let found = api.get_opt(name).await.map_err(Error::kube(format!("get volume {name}"))).halt(CONDITION)?;
        // A volume that serves another claim by now holds nothing of this archive.
        let Some(volume) = found.filter(|v| is_behind(v, archive)) else { continue };
        set_policy(ctx, name, "Delete").await.halt(CONDITION)?;
        if let Some(why) = failed(&volume) {
            let text = format!(
                "volume {name} is not removed by its storage: {why}. Its files may still be readable, and nothing is recorded as purged; databases and Secrets are gone. Remove what is behind it (`kubectl get pv {name} -o yaml` says where it lies), then `kubectl delete pv {name}`"
            );
            return Err(Halt::fail(CONDITION, "VolumeNotRemoved", text, ErrorClass::Blocked));
        }
        left.push(name.as_str());
    }
    match left.as_slice() {
        [] => Ok(()),
        left => Err(going(archive, ctx, &format!("waiting until the storage has removed {}", left.join(", ")))),
    }
}

/// The halt while the cluster removes volumes at its own pace: looked at again soon, then less often.
pub fn going(archive: &Archive, ctx: &Ctx, text: &str) -> Halt {
    Halt::wait(CONDITION, "RemovingVolumes", text, again(archive, ctx))
}

fn claim_of(volume: &PersistentVolume) -> Option<&ObjectReference> {
    volume.spec.as_ref().and_then(|s| s.claim_ref.as_ref())
}

/// Whether a volume served a claim of the archive: a claim that the archive lists, or a claim named after the archive's
/// id that was gone when the archive was made.
fn is_behind(volume: &PersistentVolume, archive: &Archive) -> bool {
    let own = format!("{}-", archive.spec.id);
    claim_of(volume).is_none_or(|c| {
        c.namespace.as_deref() == Some(archive.spec.namespace.as_str())
            && c.name.as_ref().is_some_and(|name| archive.spec.volumes.contains(name) || name.starts_with(&own))
    })
}

/// Why a volume cannot be removed, if the storage has reported that.
fn failed(volume: &PersistentVolume) -> Option<String> {
    let status = volume.status.as_ref().filter(|s| s.phase.as_deref() == Some("Failed"))?;
    Some(status.message.clone().or_else(|| status.reason.clone()).unwrap_or_else(|| "it does not say why".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive() -> Archive {
        let spec = json!({ "kind": "CrmInstance", "id": "kkkkkkkkkk", "name": "crm", "life": 1,
            "tenantId": "tttttttttt", "tenantName": "acme", "namespace": "tenant-tttttttttt",
            "volumes": ["kkkkkkkkkk-files-g1"], "object": "{}", "ledger": "{}", "archivedAt": "", "retainUntil": "" });
        Archive::new("kkkkkkkkkk-1", serde_json::from_value(spec).unwrap())
    }

    fn volume(claim: &serde_json::Value, phase: &str) -> PersistentVolume {
        serde_json::from_value(json!({ "metadata": { "name": "pv" }, "spec": { "claimRef": claim },
            "status": { "phase": phase, "message": "no plugin" } }))
        .unwrap()
    }

    #[test]
    fn a_volume_counts_as_gone_only_when_it_serves_somebody_else() {
        let of = |namespace: &str, name: &str| json!({ "namespace": namespace, "name": name });
        let archive = archive();
        for (claim, ours) in [
            (of("tenant-tttttttttt", "kkkkkkkkkk-files-g1"), true),
            (of("tenant-tttttttttt", "kkkkkkkkkk-more-g1"), true),
            (of("tenant-tttttttttt", "another"), false),
            (of("tenant-uuuuuuuuuu", "kkkkkkkkkk-files-g1"), false),
            (serde_json::Value::Null, true),
        ] {
            assert_eq!(is_behind(&volume(&claim, "Released"), &archive), ours, "{claim}");
        }
        let claim = of("tenant-tttttttttt", "kkkkkkkkkk-files-g1");
        assert_eq!(failed(&volume(&claim, "Released")), None);
        assert_eq!(failed(&volume(&claim, "Failed")).as_deref(), Some("no plugin"));
    }

    #[test]
    fn a_volume_is_noted_once_and_a_claim_without_one_is_nothing_new() {
        let claim = |volume: serde_json::Value| -> PersistentVolumeClaim {
            serde_json::from_value(json!({ "metadata": { "name": "c" }, "spec": { "volumeName": volume } })).unwrap()
        };
        let mut noted = Vec::new();
        assert!(!note(&[claim(serde_json::Value::Null)], &mut noted));
        assert!(note(&[claim("pv-1".into())], &mut noted));
        assert!(!note(&[claim("pv-1".into())], &mut noted));
        assert_eq!(noted, ["pv-1"]);
    }
}
