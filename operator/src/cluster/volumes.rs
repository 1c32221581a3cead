//! Volumes behind claims: keeps them, checks whether they can grow, finds those of lost claims. Does I/O (Kubernetes).

use k8s_openapi::api::core::v1::PersistentVolume;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{Api, ListParams};
use tenantry_plan::Claim;
use tenantry_plan::lost::{Left, Lost, left_of};

use crate::archive::set_policy;
use crate::context::Ctx;
use crate::error::{Error, Result};

/// Makes sure that volumes outlive their claims, from the moment at which they are bound. Each process looks at each
/// volume once.
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

/// Finds out whether a claim that is too small can grow.
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

/// Volumes per page. A cluster may have many.
const PAGE: u32 = 500;

/// The volumes that belonged to claims which are gone. Because all volumes are read, this is called only when a claim
/// is missing that existed before.
///
/// # Errors
/// [`Error::Kube`].
pub async fn lost(ctx: &Ctx, namespace: &str, claims: Vec<String>) -> Result<Vec<Lost>> {
    let api: Api<PersistentVolume> = Api::all(ctx.client.clone());
    let mut left: Vec<Vec<Left>> = vec![Vec::new(); claims.len()];
    let mut params = ListParams::default().limit(PAGE);
    loop {
        let page = api.list(&params).await.map_err(Error::kube("list volumes"))?;
        for (claim, left) in claims.iter().zip(&mut left) {
            left.extend(left_of(namespace, claim, &page.items));
        }
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => break,
        }
    }
    Ok(claims.into_iter().zip(left).map(|(claim, left)| Lost { claim, left }).collect())
}
