//! Volumes behind claims: whether they go with their claim. Does I/O (Kubernetes).

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use crate::context::Ctx;
use crate::error::{Error, Result};

/// Sets what becomes of the volumes of some claims when the claims go: `Retain` or `Delete`.
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

/// Sets what becomes of a volume when its claim goes; writes only when that differs.
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
    let patched = volumes.patch(volume, &PatchParams::default(), &Patch::Merge(&patch)).await;
    patched.map(drop).map_err(Error::kube(format!("set volume {volume} to {policy}")))
}
