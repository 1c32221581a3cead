//! The release that an instance pins, kept content-addressed in the system namespace. Does I/O (Kubernetes).

use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use kube::api::Api;
use serde_json::json;
use tenantry_api::archive::{Archive, RELEASE_MAX};
use tenantry_api::blueprint::{BlueprintSpec, Effective};
use tenantry_api::condition::ConditionType;
use tenantry_api::crm_instance::{CrmInstance, CrmInstanceSpec};
use tenantry_core::class::ErrorClass;
use tenantry_core::names::{self, ANNOTATION_RELEASE};
use tenantry_plan::instance::release::{CONTENT, Choice, in_archive, in_config_map, is_of};
use tenantry_plan::instance::{Offer, settle};
use tenantry_plan::labels::Labels;
use tenantry_plan::{Child, Kind, PlanError};

use crate::context::Ctx;
use crate::error::Error;
use crate::halt::Halt;

/// The release of a new instance: what the Blueprint says now.
///
/// # Errors
/// [`Halt`] at `SpecValid` when the blueprint or the release does not exist.
pub async fn newest(ctx: &Ctx, spec: &CrmInstanceSpec) -> Result<Effective, Halt> {
    let at = Halt::at(ConditionType::SpecValid);
    let blueprint = ctx.blueprint(&spec.blueprint).await.map_err(&at)?;
    let current = blueprint.map(|b| Effective::pin(&spec.blueprint, &b.spec, spec.release.as_deref()));
    let current = current.ok_or_else(|| {
        let text =
            format!("spec.blueprint: blueprint {:?} does not exist; see `tenantry blueprint list`", spec.blueprint);
        Halt::fail(ConditionType::SpecValid, "UnknownBlueprint", text, ErrorClass::Blocked)
    })?;
    let current = current.map_err(|e| {
        let text = format!("spec.release: blueprint {:?}: {e}", spec.blueprint);
        Halt::fail(ConditionType::SpecValid, "UnknownRelease", text, ErrorClass::Blocked)
    })?;
    if current.hash.is_empty() {
        return Err(Halt::fail(ConditionType::SpecValid, "InternalError", "the release has no hash", ErrorClass::Bug));
    }
    let problems = tenantry_plan::blueprint::problems(&current.spec);
    if !problems.is_empty() {
        let text = format!("blueprint {:?} cannot be used: {}", spec.blueprint, problems.join("; "));
        return Err(Halt::fail(ConditionType::SpecValid, "BlueprintInvalid", text, ErrorClass::Blocked));
    }
    keep(ctx, &current).await?;
    Ok(current)
}

/// The release of a hash: what the Blueprint says now if that has the same hash, else the kept copy. A missing copy is
/// made again from any source that has the same content.
///
/// # Errors
/// [`Halt`] at `SpecValid` when the release is found nowhere, or belongs to another blueprint.
pub async fn of_hash(ctx: &Ctx, spec: &CrmInstanceSpec, hash: &str) -> Result<Effective, Halt> {
    let found = ctx.blueprint(&spec.blueprint).await.map_err(Halt::at(ConditionType::SpecValid))?;
    // The common case: nothing changed since, so nothing need be read.
    match found.as_ref().map(|b| Effective::pin(&spec.blueprint, &b.spec, spec.release.as_deref())) {
        Some(Ok(current)) if current.hash == hash => {
            keep(ctx, &current).await?;
            Ok(current)
        }
        _ => kept(ctx, spec, found.as_ref().map(|b| &b.spec), hash).await,
    }
}

/// What an instance runs of the release that was chosen for it (`read`). `made` means that the instance has its own
/// database already.
///
/// # Errors
/// [`Halt`] at `Neutralised` when the steps of the Blueprint do not fit; at `SpecValid`.
pub async fn settled(
    ctx: &Ctx,
    spec: &CrmInstanceSpec,
    choice: &Choice<'_>,
    read: Effective,
    made: bool,
) -> Result<Effective, Halt> {
    if matches!(choice, Choice::Pinned(_)) {
        return Ok(read);
    }
    let at = Halt::at(ConditionType::SpecValid);
    let blueprint = ctx.blueprint(&spec.blueprint).await.map_err(&at)?;
    let offer = Offer { blueprint: blueprint.as_ref().map(|b| &b.spec), asked: spec.release.as_deref(), made };
    let settled = settle(choice, read, &offer).map_err(|e| match e {
        PlanError::Blocked(text) => {
            Halt::fail(ConditionType::Neutralised, "BlueprintInvalid", text, ErrorClass::Blocked)
        }
        other => at(other.into()),
    })?;
    keep(ctx, &settled).await?;
    Ok(settled)
}

/// The halt where no release can be chosen: nothing is planned, so that running processes go on as they are.
pub async fn stopped(ctx: &Ctx, instance: &CrmInstance, choice: &Choice<'_>) -> Halt {
    let (namespace, name) = (instance.namespace().unwrap_or_default(), instance.name_any());
    let annotate = format!("kubectl -n {namespace} annotate crm {name}");
    if let Choice::Disputed { annotation, believed, by } = choice {
        let text = format!(
            "annotation {ANNOTATION_RELEASE} says {annotation}, and {by} says {believed}: the annotation is not believed, and nothing was changed or restarted. `{annotate} {ANNOTATION_RELEASE}-` takes it away, and the right one is written again"
        );
        return Halt::fail(ConditionType::SpecValid, "ReleaseDisputed", text, ErrorClass::Blocked);
    }
    let spec = &instance.spec;
    let blueprint = ctx.blueprint(&spec.blueprint).await.ok().flatten();
    let now = blueprint.and_then(|b| Effective::pin(&spec.blueprint, &b.spec, spec.release.as_deref()).ok());
    let now = now.map_or_else(String::new, |now| {
        let version = now.release().map(|r| r.version.clone()).unwrap_or_default();
        format!(" ({version} as blueprint {:?} says it now is {})", spec.blueprint, now.hash)
    });
    let text = format!(
        "it was installed, and nothing says which release wrote its data: annotation {ANNOTATION_RELEASE}, status.releaseHash and the database server's record are lost. No release is guessed, and nothing was changed or restarted. If you know it, `{annotate} {ANNOTATION_RELEASE}=HASH`{now}"
    );
    Halt::fail(ConditionType::SpecValid, "ReleaseUnknown", text, ErrorClass::Blocked)
}

/// The text of a release for the Archive. None means that the release is found nowhere, or that its text is too long to
/// be kept there.
pub async fn text_of(ctx: &Ctx, spec: &CrmInstanceSpec, hash: &str) -> Result<Option<String>, Halt> {
    match of_hash(ctx, spec, hash).await {
        Ok(release) => {
            let text = serde_json::to_string(&release).map_err(|e| Halt::at(ConditionType::SpecValid)(e.into()))?;
            Ok(Some(text).filter(|t| t.len() <= RELEASE_MAX))
        }
        // A release that is missing already does not hold the archiving up.
        Err(halt) if halt.class == Some(ErrorClass::Blocked) => Ok(None),
        Err(halt) => Err(halt),
    }
}

/// The kept copy of a release, if there is one.
///
/// # Errors
/// [`Error`].
pub async fn found(ctx: &Ctx, hash: &str) -> Result<Option<Effective>, Error> {
    let api: Api<ConfigMap> = Api::namespaced(ctx.client.clone(), &ctx.system_namespace);
    let found = api.get_opt(&names::pinned_release(hash)).await.map_err(Error::kube("get the pinned release"))?;
    Ok(found.as_ref().map(in_config_map).transpose()?.flatten())
}

async fn kept(
    ctx: &Ctx,
    spec: &CrmInstanceSpec,
    blueprint: Option<&BlueprintSpec>,
    hash: &str,
) -> Result<Effective, Halt> {
    let name = names::pinned_release(hash);
    let found = match found(ctx, hash).await.map_err(Halt::at(ConditionType::SpecValid))? {
        Some(kept) => kept,
        None => {
            let same = blueprint.and_then(|b| Effective::find(&spec.blueprint, b, hash));
            let again = match same {
                Some(same) => Some(same),
                None => of_archive(ctx, spec, hash).await?,
            };
            let again = again.ok_or_else(|| {
                let text = format!(
                    "the pinned release {hash} is missing (ConfigMap {}/{name}), and neither blueprint {:?} nor an archive has the same content: the instance keeps running as it is; restore the ConfigMap, or the Blueprint as it was",
                    ctx.system_namespace, spec.blueprint
                );
                Halt::fail(ConditionType::SpecValid, "PinnedReleaseMissing", text, ErrorClass::Blocked)
            })?;
            ctx.memory.forget_release(hash);
            again
        }
    };
    is_of(&found, &spec.blueprint).map_err(|e| {
        let text = format!(
            "{e}. Take the annotation {ANNOTATION_RELEASE} away (kubectl annotate crm NAME {ANNOTATION_RELEASE}-)"
        );
        Halt::fail(ConditionType::SpecValid, "OtherBlueprint", text, ErrorClass::Blocked)
    })?;
    keep(ctx, &found).await?;
    Ok(found)
}

/// The release that an Archive carries, for an instance that took the archive over.
async fn of_archive(ctx: &Ctx, spec: &CrmInstanceSpec, hash: &str) -> Result<Option<Effective>, Halt> {
    let Some(name) = &spec.adopt else { return Ok(None) };
    let at = Halt::at(ConditionType::SpecValid);
    let api: Api<Archive> = Api::all(ctx.client.clone());
    let found = api.get_opt(name).await.map_err(|e| at(Error::kube("get the archive")(e)))?;
    let release = found.map(|archive| in_archive(&archive.spec, hash)).transpose().map_err(|e| at(e.into()))?;
    Ok(release.flatten())
}

/// Keeps a copy of a release. This process looks once for each release.
async fn keep(ctx: &Ctx, release: &Effective) -> Result<(), Halt> {
    if ctx.memory.has_release(&release.hash) {
        return Ok(());
    }
    let at = Halt::at(ConditionType::SpecValid);
    let api: Api<ConfigMap> = Api::namespaced(ctx.client.clone(), &ctx.system_namespace);
    let name = names::pinned_release(&release.hash);
    let found = api.get_metadata_opt(&name).await.map_err(|e| at(Error::kube("look for the pinned release")(e)))?;
    if found.is_none() {
        let text = serde_json::to_string(release).map_err(|e| at(e.into()))?;
        let rest = json!({ "immutable": true, "data": { CONTENT: text } });
        let child = Child::new(Kind::ConfigMap, Some(&ctx.system_namespace), &name, &Labels::managed(), rest);
        ctx.create_once(&child).await.map_err(&at)?;
    }
    ctx.memory.release_is_kept(&release.hash);
    Ok(())
}
