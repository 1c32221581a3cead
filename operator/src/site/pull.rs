//! Credentials of registries: the Secrets of the Site, merged into one copy where pods run. Does I/O (Kubernetes).
//!
//! The operator reads these Secrets by name and has no right to list or watch the Secrets of its own namespace, so it
//! looks at them now and then. Their versions are in the Site's status, and a new version wakes the tenants.

use std::sync::atomic::Ordering;

use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ListParams};
use tenantry_api::condition::{ConditionType, Said};
use tenantry_api::site::Site;
use tenantry_plan::labels::Labels;
use tenantry_plan::pull::{Found, Merged, PULL_SECRET, build_pull_secret, is_allowed, merge};
use tenantry_plan::tenant::TenantWanted;
use tenantry_plan::{Child, Kind};

use crate::cluster::dynamic_api;
use crate::context::Ctx;
use crate::error::{Error, Result};

/// Condition: whether the Secrets with credentials of registries can be used.
pub const CONDITION: ConditionType = ConditionType::ImagePullSecretsReady;

/// The current state of the Site's Secrets: their versions, and the condition to report.
///
/// # Errors
/// [`Error::Kube`].
pub(super) async fn look(ctx: &Ctx, site: &Site) -> Result<(Option<String>, Option<Said>)> {
    let namespace = ctx.system_namespace.as_str();
    if site.spec.image_pull_secrets.is_empty() {
        // Looked at once in the life of a process, and until the copy is gone: the status that mentioned it may be
        // lost.
        let are_gone = ctx.credentials.are_gone.load(Ordering::Relaxed);
        if !are_gone && !leave(ctx, namespace, &[Kind::StatefulSet, Kind::Job]).await? {
            let versions = site.status.as_ref().and_then(|s| s.image_pull_secrets.clone());
            return Ok((Some(versions.unwrap_or_default()), None));
        }
        ctx.credentials.are_gone.store(true, Ordering::Relaxed);
        return Ok((None, None));
    }
    ctx.credentials.are_gone.store(false, Ordering::Relaxed);
    let (versions, merged) = read(ctx, site).await?;
    give(ctx, namespace, &Labels::managed(), &merged).await?;
    let said = if merged.problems.is_empty() {
        Said::yes(CONDITION, "Copied", "pods of CRMs, jobs and database servers fetch images with them")
    } else {
        let text = format!(
            "spec.imagePullSecrets: in namespace {namespace}: {}; what was copied before stays as it is. Make one with: kubectl -n {namespace} create secret docker-registry NAME --docker-server=REGISTRY --docker-username=USER --docker-password=...",
            merged.problems.join("; ")
        );
        Said::no(CONDITION, "NotUsable", text)
    };
    Ok((Some(versions), Some(said)))
}

/// Brings a tenant's copy to its desired state, or removes it when the Site names no Secrets any more. Returns whether
/// the copy is to be removed but is still named by pods.
///
/// # Errors
/// [`Error::Kube`].
pub async fn copy(ctx: &Ctx, wanted: &TenantWanted, site: &Site, is_new: bool) -> Result<bool> {
    let namespace = wanted.namespace.as_str();
    if !site.spec.image_pull_secrets.is_empty() {
        let known = site.status.as_ref().and_then(|s| s.image_pull_secrets.as_deref());
        let merged = match known.and_then(|versions| ctx.credentials.of(versions)) {
            Some(merged) => merged,
            None => read(ctx, site).await?.1,
        };
        ctx.memory.pruned(&wanted.id, String::new());
        return give(ctx, namespace, &wanted.labels(), &merged).await.map(|()| false);
    }
    // Looked at once in the life of a process, and after the last name was removed from the Site.
    if !ctx.memory.is_pruned(&wanted.id, PULL_SECRET) {
        if !is_new && !leave(ctx, namespace, &[Kind::Deployment, Kind::CronJob, Kind::Job]).await? {
            return Ok(true);
        }
        ctx.memory.pruned(&wanted.id, PULL_SECRET.into());
    }
    Ok(false)
}

/// Removes a copy as soon as no object of these kinds names it: pods that are not replaced yet may have to fetch their
/// image once more, on another node. Returns whether the copy is gone.
async fn leave(ctx: &Ctx, namespace: &str, kinds: &[Kind]) -> Result<bool> {
    let api = dynamic_api(&ctx.client, Kind::Secret, Some(namespace));
    if api.get_metadata_opt(PULL_SECRET).await.map_err(Error::kube("get the copied credentials"))?.is_none() {
        return Ok(true);
    }
    for kind in kinds {
        let all = dynamic_api(&ctx.client, *kind, Some(namespace)).list(&ListParams::default()).await;
        let all = all.map_err(Error::kube("list what may fetch images with the copied credentials"))?;
        if all.items.iter().any(|object| is_allowed(&object.data)) {
            return Ok(false);
        }
    }
    ctx.remove(Kind::Secret, Some(namespace), PULL_SECRET).await?;
    Ok(true)
}

/// Credentials that cannot be used completely do not change an existing copy: pods that restart may need the part that
/// is missing.
async fn give(ctx: &Ctx, namespace: &str, labels: &Labels, merged: &Merged) -> Result<()> {
    let Some(content) = &merged.content else { return Ok(()) };
    let child = build_pull_secret(namespace, labels, content);
    if merged.problems.is_empty() {
        // No watch reports when somebody deletes or changes this Secret.
        ctx.memory.children.forget(Kind::Secret, Some(namespace), PULL_SECRET);
        ctx.apply(&child).await?;
    } else if !is_there(ctx, namespace, &child).await? {
        ctx.create_once(&child).await?;
    }
    Ok(())
}

async fn is_there(ctx: &Ctx, namespace: &str, child: &Child) -> Result<bool> {
    let api = dynamic_api(&ctx.client, Kind::Secret, Some(namespace));
    let found = api.get_metadata_opt(&child.name).await;
    Ok(found.map_err(Error::kube("get the copied credentials"))?.is_some())
}

async fn read(ctx: &Ctx, site: &Site) -> Result<(String, Merged)> {
    let api: Api<Secret> = Api::namespaced(ctx.client.clone(), &ctx.system_namespace);
    let (mut named, mut versions): (Vec<(String, Found)>, Vec<String>) = (Vec::new(), Vec::new());
    for name in &site.spec.image_pull_secrets {
        let found = api.get_opt(name).await.map_err(Error::kube("get a Secret of spec.imagePullSecrets"))?;
        let version = found.as_ref().and_then(|s| s.metadata.resource_version.as_deref()).unwrap_or("missing");
        versions.push(format!("{name}/{version}"));
        let content = found.map(|secret| {
            let data = secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0)).collect();
            (secret.type_.unwrap_or_default(), data)
        });
        named.push((name.clone(), content));
    }
    let (versions, merged) = (versions.join(" "), merge(&named));
    ctx.credentials.note(&versions, &merged);
    Ok((versions, merged))
}
