//! Volume claims that held data and are gone: nothing starts, and no empty ones are made in their place. Does I/O (Kubernetes).

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use tenantry_api::blueprint::Volume;
use tenantry_api::condition::ConditionType;
use tenantry_core::class::ErrorClass;
use tenantry_core::ledger::Limits;
use tenantry_core::names::{self, LABEL_INSTANCE_ID};
use tenantry_plan::instance::{Wanted, build_volume_again};
use tenantry_plan::lost::{Lost, has_no_volume, said};
use tenantry_plan::{Claim, Settings};

use super::pass::Pass;
use super::release;
use crate::cluster::{lost, typed};
use crate::context::Ctx;
use crate::error::Error;
use crate::halt::{Halt, OrHalt};

/// Reason of a halt: a claim that held data is gone.
pub const VOLUME_LOST: &str = "VolumeLost";

/// Claims of an instance as they are, by name.
type Claims = BTreeMap<String, PersistentVolumeClaim>;

/// Checks whether every claim of an instance that had data exists. A claim whose volume was set free for it is made
/// again, bound to that volume. Returns why the instance cannot go on, if it cannot. The findings are noted in the
/// pass.
///
/// # Errors
/// [`Halt`] at `ProcessesReady` when this cannot be known.
pub async fn look(
    ctx: &Ctx,
    pass: &mut Pass,
    wanted: &Wanted,
    settings: &Settings,
    limits: &Limits,
) -> Result<Option<Halt>, Halt> {
    let had = had_volumes(ctx, pass, wanted).await?;
    if had.is_empty() {
        return Ok(None);
    }
    let mut found = list(ctx, &wanted.namespace, wanted.id.as_str()).await?;
    let mut gone = Vec::new();
    for lost in missing(ctx, &wanted.namespace, &mut found, had).await? {
        let volume = wanted
            .release
            .spec
            .volumes
            .iter()
            .find(|v| names::volume(&wanted.id, &v.name, wanted.generation) == lost.claim);
        match (volume, lost.reserved()) {
            (Some(volume), Some(left)) if !found.contains_key(&lost.claim) => {
                let again = build_volume_again(wanted, settings, limits, volume, left);
                let stored = typed(&ctx.create_once(&again).await.halt(ConditionType::ProcessesReady)?)
                    .halt(ConditionType::ProcessesReady)?;
                found.insert(lost.claim, stored);
            }
            _ => gone.push(lost),
        }
    }
    pass.claims = Some(found.iter().map(|(name, claim)| (name.clone(), Claim::of(claim))).collect());
    pass.lost = gone.iter().map(|l| l.claim.clone()).collect();
    Ok((!gone.is_empty()).then(|| told(&wanted.namespace, &gone)))
}

/// Checks whether the claims that an archive names exist, before anything is taken over from the archive.
///
/// # Errors
/// [`Halt`] at `ProcessesReady`.
pub async fn kept(ctx: &Ctx, namespace: &str, id: &str, claims: &[String]) -> Result<(), Halt> {
    if claims.is_empty() {
        return Ok(());
    }
    let mut found = list(ctx, namespace, id).await?;
    let mut gone = missing(ctx, namespace, &mut found, claims.iter().cloned().collect()).await?;
    // A claim that gets its volume back is made again later in the same pass.
    gone.retain(|lost| lost.reserved().is_none() || found.contains_key(&lost.claim));
    if gone.is_empty() { Ok(()) } else { Err(told(namespace, &gone)) }
}

fn told(namespace: &str, gone: &[Lost]) -> Halt {
    let text = format!(
        "{}. Nothing was started, and nothing empty is made in its place; the instance goes on by itself within two minutes of the claim's return",
        said(namespace, gone)
    );
    Halt::fail(ConditionType::ProcessesReady, VOLUME_LOST, text, ErrorClass::Blocked)
}

/// Names of the claims that existed: of an instance that was installed, and of a copy that was filled. Claims that a
/// release adds which has not run yet did not exist.
async fn had_volumes(ctx: &Ctx, pass: &Pass, wanted: &Wanted) -> Result<BTreeSet<String>, Halt> {
    let spec = &wanted.release.spec;
    let status = pass.instance.status.as_ref();
    let installed = pass.installed_before() || pass.taken_over() || status.is_some_and(|s| s.installed_at.is_some());
    let filled = pass.instance.spec.from.is_some() && pass.held(ConditionType::Copied, wanted.generation);
    if spec.volumes.is_empty() || !(installed || filled) {
        return Ok(BTreeSet::new());
    }
    let ran = status.and_then(|s| s.release_hash.as_ref()).filter(|hash| **hash != wanted.release.hash);
    let ran = match ran {
        // A copy that has not run has the volumes of its original, whatever steps neutralise it.
        Some(hash) if installed => Some(release::of_hash(ctx, &pass.instance.spec, hash).await?.spec.volumes),
        _ => None,
    };
    let volumes = of_before(&spec.volumes, ran.as_deref());
    Ok(volumes.map(|v| names::volume(&wanted.id, &v.name, wanted.generation)).collect())
}

/// The volumes of `now` that the release that ran had as well. None means that no other release ran.
fn of_before<'a>(now: &'a [Volume], ran: Option<&'a [Volume]>) -> impl Iterator<Item = &'a Volume> {
    now.iter().filter(move |v| ran.is_none_or(|ran| ran.iter().any(|r| r.name == v.name)))
}

async fn list(ctx: &Ctx, namespace: &str, id: &str) -> Result<Claims, Halt> {
    let api: Api<PersistentVolumeClaim> = Api::namespaced(ctx.client.clone(), namespace);
    let params = ListParams::default().labels(&format!("{LABEL_INSTANCE_ID}={id}"));
    let list =
        api.list(&params).await.map_err(Error::kube("list volume claims")).halt(ConditionType::ProcessesReady)?;
    Ok(list.items.into_iter().map(|claim| (claim.name_any(), claim)).collect())
}

/// The claims of `had` that do not exist, or whose volume does not exist.
async fn missing(ctx: &Ctx, namespace: &str, found: &mut Claims, had: BTreeSet<String>) -> Result<Vec<Lost>, Halt> {
    let api: Api<PersistentVolumeClaim> = Api::namespaced(ctx.client.clone(), namespace);
    let mut names = Vec::new();
    for name in had {
        // A person who recreated the claim may have left our labels out.
        if !found.contains_key(&name)
            && let Some(claim) = api
                .get_opt(&name)
                .await
                .map_err(Error::kube(format!("get claim {name}")))
                .halt(ConditionType::ProcessesReady)?
        {
            found.insert(name.clone(), claim);
        }
        if found.get(&name).is_none_or(has_no_volume) {
            names.push(name);
        }
    }
    if names.is_empty() {
        return Ok(Vec::new());
    }
    lost(ctx, namespace, names).await.halt(ConditionType::ProcessesReady)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_that_a_newer_release_adds_is_not_missed() {
        let volume = |name: &str| -> Volume {
            let json = serde_json::json!({ "name": name, "mountPath": "/data", "percentOfStorage": 50 });
            serde_json::from_value(json).unwrap()
        };
        let (old, new) = (vec![volume("files")], vec![volume("files"), volume("attachments")]);
        let names = |ran: Option<&[Volume]>| of_before(&new, ran).map(|v| v.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(Some(&old)), ["files"]);
        assert_eq!(names(None), ["files", "attachments"]);
    }
}
