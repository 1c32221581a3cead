//! Volumes behind claims: kept when their claim goes, and whether they can grow. Does I/O (Kubernetes).

use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::Api;
use tenantry_plan::Claim;

use crate::archive::set_policy;
use crate::context::Ctx;
use crate::error::{Error, Result};

/// Makes sure that volumes outlive their claims, from the moment at which they are bound. This process looks at
/// each volume once.
///
/// # Errors
/// [`Error::Kube`].
pub async fn keep(ctx: &Ctx, volumes: Vec<String>) -> Result<()> {
    for volume in volumes {
        if !ctx.memory.is_kept(&volume) {
            set_policy(ctx, &volume, "Retain").await?;
            ctx.memory.kept(&volume);
        }
    }
    Ok(())
}

/// Finds out whether a claim that should be larger can be.
///
/// # Errors
/// [`Error::Kube`].
pub async fn look_at_growth(ctx: &Ctx, claim: &mut Claim, wanted: u64) -> Result<()> {
    if !claim.is_short_of(wanted) {
        return Ok(());
    }
    let Some(name) = claim.class.as_deref().filter(|name| !name.is_empty()) else { return Ok(()) };
    let api: Api<StorageClass> = Api::all(ctx.client.clone());
    let class = api.get_opt(name).await.map_err(Error::kube(format!("get storage class {name}")))?;
    claim.grows = class.and_then(|c| c.allow_volume_expansion) == Some(true);
    Ok(())
}
