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
use super::release::ANNOTATION_RELEASE;
use crate::context::Ctx;
use crate::halt::Halt;
use crate::tenant::{adopt, metadata, recorded_of};

/// Annotation with the generation of the data, for an instance that took over an archive.
pub const ANNOTATION_GENERATION: &str = "tenantry.dev/data-generation";

/// Sets what is missing, in one patch.
///
/// # Errors
/// [`Halt`] at `SpecValid`.
pub async fn run(pass: &mut Pass, ctx: &Ctx, release: &Effective) -> Result<(), Halt> {
    let at = Halt::at("SpecValid");
    let instance = &pass.instance;
    if let Some(id) = &instance.spec.id
        && instance.status.as_ref().is_none_or(|s| s.data_generation.is_none())
    {
        let id = Id::parse(id).map_err(|e| Halt::fail("SpecValid", "Invalid", e.to_string(), ErrorClass::Invalid))?;
        adopt::check_instance(ctx, instance, &id).await?;
    }
    let mut annotations = Vec::new();
    if !instance.annotations().contains_key(ANNOTATION_RELEASE) {
        annotations.push((ANNOTATION_RELEASE, release.hash.clone()));
    }
    if recorded_of(instance.annotations()).is_none() {
        let spec = &instance.spec;
        let archive = adopt::named(ctx, spec.adopt.as_deref(), spec.id.as_deref(), ArchivedKind::CrmInstance).await?;
        let baseline = match &archive {
            Some(archive) => {
                if let Some(generation) = archive.spec.data_generation {
                    annotations.push((ANNOTATION_GENERATION, generation.to_string()));
                }
                if let Some(hash) = &archive.spec.release_hash {
                    // The data belongs to the release that wrote it.
                    annotations.retain(|(key, _)| *key != ANNOTATION_RELEASE);
                    annotations.push((ANNOTATION_RELEASE, hash.clone()));
                }
                adopt::ledger_of(archive)?
            }
            None => Recorded::default(),
        };
        let text = serde_json::to_string(&baseline).map_err(|e| at(e.into()))?;
        annotations.push((names::ANNOTATION_LEDGER, text));
    }
    let api: Api<CrmInstance> = Api::namespaced(ctx.client.clone(), &instance.namespace().unwrap_or_default());
    let has_id = instance.spec.id.is_some();
    let stored = metadata(ctx, &api, instance, has_id, &annotations).await.map_err(at)?;
    if let Some(stored) = stored {
        pass.instance = stored;
    }
    Ok(())
}
