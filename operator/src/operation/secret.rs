//! The Secrets of jobs, which hold passwords: removed with the job, and before the next attempt. Does I/O (Kubernetes).

use kube::ResourceExt;
use kube::api::{ListParams, Patch};
use serde_json::json;
use tenantry_core::names;
use tenantry_plan::instance::Wanted;
use tenantry_plan::{Child, Kind};

use crate::cluster::{dynamic_api, patch_params};
use crate::context::Ctx;
use crate::error::{Error, Result};

/// Creates a job whose Secret, which has the same name, exists already, and makes the job the owner of the Secret. The
/// Secret is then deleted with the job, which is a day after the job's end at the latest. A crash in between leaves a
/// Secret that the next attempt or a purge removes.
///
/// # Errors
/// [`Error::Kube`].
pub async fn start(ctx: &Ctx, job: &Child) -> Result<()> {
    let made = ctx.create_once(job).await?;
    let owner = json!({ "metadata": { "ownerReferences": [{
        "apiVersion": "batch/v1", "kind": "Job", "name": job.name, "uid": made.metadata.uid,
    }]}});
    let secrets = dynamic_api(&ctx.client, Kind::Secret, job.namespace.as_deref());
    match secrets.patch_metadata(&job.name, &patch_params(), &Patch::Merge(&owner)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(e) => Err(Error::kube(format!("hand Secret {} to its job", job.name))(e)),
    }
}

/// Removes the Secrets of all attempts that serve a purpose.
///
/// # Errors
/// [`Error::Kube`].
pub async fn clear(ctx: &Ctx, wanted: &Wanted, purpose: &str) -> Result<()> {
    let selector = format!("{}={},{}={purpose}", names::LABEL_INSTANCE_ID, wanted.id, names::LABEL_PURPOSE);
    let secrets = dynamic_api(&ctx.client, Kind::Secret, Some(&wanted.namespace));
    let all = secrets.list_metadata(&ListParams::default().labels(&selector)).await;
    for secret in all.map_err(Error::kube("list the Secrets of earlier attempts"))?.items {
        ctx.remove(Kind::Secret, Some(&wanted.namespace), &secret.name_any()).await?;
    }
    Ok(())
}
