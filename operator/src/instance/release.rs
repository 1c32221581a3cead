//! The release that an instance pins, kept content-addressed in the system namespace. Does I/O (Kubernetes).

use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use kube::api::Api;
use serde_json::json;
use tenantry_api::blueprint::{BlueprintSpec, Effective};
use tenantry_api::crm_instance::CrmInstance;
use tenantry_core::class::ErrorClass;
use tenantry_core::hash::content_hash;
use tenantry_plan::labels::Labels;
use tenantry_plan::{Child, Kind};

use super::copy;
use crate::context::Ctx;
use crate::error::Error;
use crate::halt::Halt;

/// Annotation with the hash of the pinned release.
pub const ANNOTATION_RELEASE: &str = "tenantry.dev/release";

fn name_of(hash: &str) -> String {
    format!("release-{hash}")
}

/// The pinned release: the one of the annotation, or, for a new instance, what the Blueprint says now.
///
/// # Errors
/// [`Halt`] at `SpecValid` when the blueprint, the release or the kept copy does not exist.
pub async fn pinned(ctx: &Ctx, instance: &CrmInstance) -> Result<Effective, Halt> {
    let at = Halt::at("SpecValid");
    let spec = &instance.spec;
    if let Some(hash) = instance.annotations().get(ANNOTATION_RELEASE) {
        return of_hash(ctx, &spec.blueprint, spec.release.as_deref(), hash).await;
    }
    let blueprint = ctx.blueprint(&spec.blueprint).await.map_err(&at)?;
    let current = blueprint.map(|b| Effective::pin(&spec.blueprint, &b.spec, spec.release.as_deref()));
    let current = current.ok_or_else(|| {
        let text =
            format!("spec.blueprint: blueprint {:?} does not exist; see `tenantry blueprint list`", spec.blueprint);
        Halt::fail("SpecValid", "UnknownBlueprint", text, ErrorClass::Blocked)
    })?;
    let current = current.map_err(|e| {
        let text = format!("spec.release: blueprint {:?}: {e}", spec.blueprint);
        Halt::fail("SpecValid", "UnknownRelease", text, ErrorClass::Blocked)
    })?;
    if current.hash.is_empty() {
        return Err(Halt::fail("SpecValid", "InternalError", "the release has no hash", ErrorClass::Bug));
    }
    let problems = tenantry_plan::blueprint::problems(&current.spec);
    if !problems.is_empty() {
        let text = format!("blueprint {:?} cannot be used: {}", spec.blueprint, problems.join("; "));
        return Err(Halt::fail("SpecValid", "BlueprintInvalid", text, ErrorClass::Blocked));
    }
    keep(ctx, &current).await?;
    Ok(current)
}

/// The release of a hash: what the Blueprint says now, if that is the same, else the kept copy.
///
/// # Errors
/// [`Halt`] at `SpecValid` when neither is there.
pub async fn of_hash(ctx: &Ctx, blueprint: &str, release: Option<&str>, hash: &str) -> Result<Effective, Halt> {
    let found = ctx.blueprint(blueprint).await.map_err(Halt::at("SpecValid"))?;
    // The common case: nothing changed since, so nothing need be read.
    match found.map(|b| Effective::pin(blueprint, &b.spec, release)) {
        Some(Ok(current)) if current.hash == hash => Ok(current),
        _ => kept(ctx, hash).await,
    }
}

/// The release of an instance that was never installed: what the Blueprint says now, when that can be used in
/// place of the pinned one; else the pinned one.
///
/// Keys are made once, so the list of keys must be the same. A database that was made this instance's own
/// (`made`) must have been made in the same way.
///
/// # Errors
/// [`Halt`] at `SpecValid`.
pub async fn newer(ctx: &Ctx, instance: &CrmInstance, hash: &str, made: bool) -> Result<Effective, Halt> {
    let spec = &instance.spec;
    let blueprint = ctx.blueprint(&spec.blueprint).await.map_err(Halt::at("SpecValid"))?;
    let current = blueprint.and_then(|b| Effective::pin(&spec.blueprint, &b.spec, spec.release.as_deref()).ok());
    let Some(current) = current else { return kept(ctx, hash).await };
    if current.hash == hash {
        return Ok(current);
    }
    let old = kept(ctx, hash).await?;
    if !replaces(&old.spec, &current.spec, made) || !tenantry_plan::blueprint::problems(&current.spec).is_empty() {
        return Ok(old);
    }
    keep(ctx, &current).await?;
    Ok(current)
}

/// The release of a copy that is not finished: the one that wrote its data, with the steps that neutralise it as the
/// Blueprint says them now. What the original runs cannot be changed, and what it did not say may be said later.
///
/// # Errors
/// [`Halt`] at `SpecValid`.
pub async fn neutralised_anew(ctx: &Ctx, instance: &CrmInstance, hash: &str, made: bool) -> Result<Effective, Halt> {
    let at = Halt::at("SpecValid");
    let name = &instance.spec.blueprint;
    let old = of_hash(ctx, name, instance.spec.release.as_deref(), hash).await?;
    let now = ctx.blueprint(name).await.map_err(&at)?.and_then(|b| b.spec.neutralise);
    if made || now.is_none() || now == old.spec.neutralise {
        return Ok(old);
    }
    let spec = BlueprintSpec { neutralise: now, ..old.spec.clone() };
    let problems = tenantry_plan::blueprint::problems(&spec);
    if !problems.is_empty() {
        // The steps that the release had are those that somebody found wanting: they are not taken instead.
        let text = format!(
            "neutralise of blueprint {name:?} does not fit the release that the original runs: {}; nothing of the copy was started",
            problems.join("; ")
        );
        return Err(Halt::fail(copy::NEUTRALISED, "BlueprintInvalid", text, ErrorClass::Blocked));
    }
    let hash = content_hash(&(name, &spec)).map_err(|e| at(e.into()))?;
    let mended = Effective { blueprint: name.clone(), spec, hash };
    keep(ctx, &mended).await?;
    Ok(mended)
}

fn replaces(old: &BlueprintSpec, new: &BlueprintSpec, made: bool) -> bool {
    let same_database =
        old.database == new.database && old.install == new.install && old.personalise == new.personalise;
    old.secrets == new.secrets && (same_database || !made)
}

/// The kept copy of a release, if there is one.
///
/// # Errors
/// [`Error`].
pub async fn found(ctx: &Ctx, hash: &str) -> Result<Option<Effective>, Error> {
    let api: Api<ConfigMap> = Api::namespaced(ctx.client.clone(), &ctx.system_namespace);
    let found = api.get_opt(&name_of(hash)).await.map_err(Error::kube("get the pinned release"))?;
    let text = found.and_then(|c| c.data).and_then(|mut d| d.remove("release.json"));
    Ok(text.map(|text| serde_json::from_str(&text)).transpose()?)
}

async fn kept(ctx: &Ctx, hash: &str) -> Result<Effective, Halt> {
    found(ctx, hash).await.map_err(Halt::at("SpecValid"))?.ok_or_else(|| {
        let text = format!(
            "the pinned release {hash} is missing (ConfigMap {}/{}): the instance keeps running as it is; restore the ConfigMap, or the Blueprint as it was",
            ctx.system_namespace,
            name_of(hash)
        );
        Halt::fail("SpecValid", "PinnedReleaseMissing", text, ErrorClass::Blocked)
    })
}

async fn keep(ctx: &Ctx, release: &Effective) -> Result<(), Halt> {
    let at = Halt::at("SpecValid");
    let text = serde_json::to_string(release).map_err(|e| at(e.into()))?;
    let rest = json!({ "immutable": true, "data": { "release.json": text } });
    let labels = Labels::managed();
    let child = Child::new(Kind::ConfigMap, Some(&ctx.system_namespace), &name_of(&release.hash), &labels, rest);
    if ctx.memory.knows(&child) {
        return Ok(());
    }
    let stored = ctx.create_once(&child).await.map_err(&at)?;
    ctx.memory.applied(&child, &stored.metadata);
    Ok(())
}
