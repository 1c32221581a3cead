//! The first write to a new CrmInstance: id, finalizer, pinned release, stream; and its adoption. Does I/O.

use kube::ResourceExt;
use kube::api::Api;
use tenantry_api::archive::ArchivedKind;
use tenantry_api::blueprint::Effective;
use tenantry_api::crm_instance::CrmInstance;
use tenantry_core::class::ErrorClass;
use tenantry_core::id::Id;
use tenantry_core::ledger::Recorded;
use tenantry_core::names;

use super::live::Pass;
use super::release::{self, ANNOTATION_RELEASE};
use super::{copy, kept};
use crate::cluster::replay;
use crate::context::Ctx;
use crate::halt::Halt;
use crate::tenant::{adopt, claim, metadata, recorded_of};

/// Annotation with the generation of the data, for an instance that took over an archive.
pub const ANNOTATION_GENERATION: &str = "tenantry.dev/data-generation";

/// Sets what is missing, in one patch, and returns the pinned release.
///
/// # Errors
/// [`Halt`] at `SpecValid` or `Ready`.
#[tracing::instrument(target = "tenantry::trace", level = "debug", name = "prepare", skip_all)]
pub async fn run(pass: &mut Pass, ctx: &Ctx) -> Result<Effective, Halt> {
    let at = Halt::at("SpecValid");
    let instance = &pass.instance;
    let namespace = instance.namespace().unwrap_or_default();
    let reported = instance.status.as_ref().is_some_and(|s| s.data_generation.is_some());
    let has_id = instance.spec.id.is_some();
    if !reported && let Some(id) = id_of(instance)? {
        adopt::check_instance(ctx, instance, &id).await?;
        claim::claim(ctx, instance, &id).await?;
    }
    let recorded = recorded_of(instance.annotations())?;
    let spec = &instance.spec;
    let status = instance.status.as_ref();
    // Its ledger may be lost, and is read again from the events only below.
    let ran = pass.installed_before() || status.is_some_and(|s| s.installed_at.is_some());
    let archive = match &recorded {
        // An object that was put back with its annotations is looked at like one that was made anew.
        Some(_) if ran || spec.adopt.is_none() => None,
        _ => {
            let (adopt, id) = (spec.adopt.as_deref(), spec.id.as_deref());
            adopt::named(ctx, adopt, id, ArchivedKind::CrmInstance, Some(&namespace)).await?
        }
    };
    if let Some(archive) = &archive {
        copy::was_finished(archive)?;
        kept::all_there(ctx, archive).await?;
    }
    let pinned = instance.annotations().get(ANNOTATION_RELEASE);
    let of_archive = archive.as_ref().and_then(|a| a.spec.release_hash.as_ref());
    let release = match (pinned, of_archive) {
        (None, _) if spec.from.is_some() => {
            // The annotation may only be lost: what the copy was planned from is in its status as well.
            let hash = match status.and_then(|s| s.release_hash.clone()) {
                Some(hash) => hash,
                None => copy::release_of_original(ctx, instance).await?.hash,
            };
            of_copy(pass, ctx, &hash, ran).await?
        }
        (Some(hash), _) if spec.from.is_some() && !ran => of_copy(pass, ctx, hash, ran).await?,
        // The data belongs to the release that wrote it, whatever the Blueprint says by now.
        (None, Some(hash)) => release::of_hash(ctx, &spec.blueprint, spec.release.as_deref(), hash).await?,
        (Some(hash), _) if !pass.installed_before() && spec.adopt.is_none() => {
            // It never ran: what was mended in the blueprint since may be what it waits for.
            let made = pass.held("Installed", super::live::generation_of(instance));
            release::newer(ctx, instance, hash, made).await?
        }
        _ => release::pinned(ctx, instance).await?,
    };
    let mut annotations = Vec::new();
    if !ran {
        annotations.extend(copy::origin_to_note(ctx, instance).await?);
    }
    if pinned != Some(&release.hash) {
        annotations.push((ANNOTATION_RELEASE, release.hash.clone()));
    }
    if recorded.is_none() {
        let baseline = match (&archive, id_of(instance)?) {
            (Some(archive), _) => {
                if let Some(generation) = archive.spec.data_generation {
                    annotations.push((ANNOTATION_GENERATION, generation.to_string()));
                }
                adopt::ledger_of(archive)?
            }
            // The annotation was lost: the events tell how far the stream is.
            (None, Some(id)) if reported => replay(ctx, &id).await.map_err(&at)?,
            (None, _) => Recorded::default(),
        };
        let text = serde_json::to_string(&baseline).map_err(|e| at(e.into()))?;
        annotations.push((names::ANNOTATION_LEDGER, text));
    }
    let api: Api<CrmInstance> = Api::namespaced(ctx.client.clone(), &namespace);
    let stored = metadata(ctx, &api, instance, has_id, &annotations).await.map_err(at)?;
    if let Some(stored) = stored {
        pass.instance = stored;
    }
    if !has_id && let Some(id) = id_of(&pass.instance)? {
        claim::claim(ctx, &pass.instance, &id).await?;
    }
    Ok(release)
}

/// The release of a copy, with the steps that neutralise it as they are said now, unless it has run already.
async fn of_copy(pass: &Pass, ctx: &Ctx, hash: &str, ran: bool) -> Result<Effective, Halt> {
    let instance = &pass.instance;
    if ran {
        return release::of_hash(ctx, &instance.spec.blueprint, instance.spec.release.as_deref(), hash).await;
    }
    let made = pass.held("Installed", super::live::generation_of(instance));
    release::neutralised_anew(ctx, instance, hash, made).await
}

fn id_of(instance: &CrmInstance) -> Result<Option<Id>, Halt> {
    let id = instance.spec.id.as_deref().map(Id::parse).transpose();
    id.map_err(|e| Halt::fail("SpecValid", "Invalid", e.to_string(), ErrorClass::Invalid))
}
