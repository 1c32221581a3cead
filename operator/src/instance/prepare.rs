//! The first write to a new CrmInstance: id, finalizer, pinned release, stream; and its adoption. Does I/O.

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use kube::api::Api;
use tenantry_api::archive::{Archive, ArchivedKind};
use tenantry_api::blueprint::Effective;
use tenantry_api::condition::ConditionType;
use tenantry_api::crm_instance::{CrmInstance, CrmInstanceStatus};
use tenantry_core::class::ErrorClass;
use tenantry_core::id::Id;
use tenantry_core::ledger::Recorded;
use tenantry_core::names::{self, ANNOTATION_MINTED, ANNOTATION_RELEASE, ANNOTATION_TAKEN_OVER};
use tenantry_database::State;
use tenantry_plan::instance::data_generation;
use tenantry_plan::instance::release::{Choice, Known, Row, choose};

use super::found::{self, Found, Trust};
use super::pass::Pass;
use super::{copy, kept, release};
use crate::context::Ctx;
use crate::halt::Halt;
use crate::life::{adopt, claim, metadata, recorded_of, replay};

/// Largest difference in age at which an id and its object count as minted together: the clocks of two machines differ,
/// and a command may wait.
const YOUNG: SignedDuration = SignedDuration::from_mins(10);

/// Sets what is missing, in one patch, and returns the pinned release.
///
/// # Errors
/// [`Halt`] at `SpecValid`, `DatabaseReady` or `Ready`.
#[tracing::instrument(target = "tenantry::trace", level = "debug", name = "prepare", skip_all)]
pub async fn run(pass: &mut Pass, ctx: &Ctx, now: Timestamp) -> Result<Effective, Halt> {
    let at = Halt::at(ConditionType::SpecValid);
    let namespace = pass.instance.namespace().unwrap_or_default();
    let reported = pass.instance.status.as_ref().is_some_and(|s| s.data_generation.is_some());
    let id = id_of(&pass.instance)?;
    let noted = recorded_of(pass.instance.annotations())?;
    if let Some(id) = &id {
        if !reported {
            adopt::check_instance(ctx, &pass.instance, id, now).await?;
        }
        claim::claim(ctx, &pass.instance, id, reported).await?;
    }
    // The servers are asked until the instance has its place, because a server may come after the object. They are
    // asked once more when the object's own notes were lost.
    let mut files = None;
    let placed = reported && pass.instance.status.as_ref().is_some_and(is_placed);
    let uid = pass.instance.uid().unwrap_or_default();
    let later = if placed { String::new() } else { found::later_servers(ctx, &pass.instance).await? };
    let known = reported && noted.is_some();
    if !(known && (later.is_empty() || ctx.memory.has_found_nothing(&uid, &later)))
        && let Some(id) = &id
    {
        let trust = if placed { Trust::Known } else { trust(&pass.instance, noted.is_some()) };
        pass.found = found::look(ctx, &pass.instance, id, trust).await?;
        if pass.found.is_none() {
            ctx.memory.found_nothing(&uid, later);
        }
        if trust == Trust::Given && pass.found.is_none() {
            // A product without a database has its data in its volumes.
            files = found::claim_of(ctx, &pass.instance, id).await?;
        }
    }
    let status = pass.instance.status.as_ref();
    // The ledger may be lost, and it is read again from the events only further below.
    let ran = pass.installed_before() || status.is_some_and(|s| s.installed_at.is_some());
    let archive = match &noted {
        // An object that was put back with its annotations is checked like a new object.
        Some(_) if ran || pass.instance.spec.adopt.is_none() => None,
        _ => of_adoption(&pass.instance, ctx).await?,
    };
    if let Some(archive) = &archive {
        copy::was_finished(archive)?;
        kept::all_there(ctx, archive).await?;
    }
    let recorded = match (&noted, &archive, &id) {
        (Some(noted), _, _) => noted.clone(),
        (None, Some(archive), _) => adopt::ledger_of(archive)?,
        // The annotation was lost, or the whole object was put back: the billing events tell how far the stream is.
        (None, None, Some(id)) if reported || trust(&pass.instance, false) != Trust::Young => {
            replay(ctx, id).await.map_err(&at)?
        }
        _ => Recorded::default(),
    };
    // Data that existed before this object. While the instance itself is being made, such data is only its own work.
    let own = ran || recorded.facts.installed.is_some();
    let before = |f: &&Found| f.is_data() && (!placed || !(own || f.record.state == State::Loaded));
    let taken = pass.found.as_ref().filter(|f| before(f) && noted.is_none() && archive.is_none()).cloned();
    let release = chosen(pass, ctx, &recorded, archive.as_ref(), taken.is_some()).await?;
    let instance = &pass.instance;
    let mut annotations = Vec::new();
    if !ran {
        annotations.extend(copy::origin_to_note(ctx, instance).await?);
    }
    if instance.annotations().get(ANNOTATION_RELEASE) != Some(&release.hash) {
        annotations.push((ANNOTATION_RELEASE, release.hash.clone()));
    }
    if let Some(Found { server, record }) = &taken {
        annotations.push((ANNOTATION_TAKEN_OVER, format!("{server}/{}", record.name)));
        if record.generation != data_generation(instance) {
            annotations.push((names::ANNOTATION_DATA_GENERATION, record.generation.to_string()));
        }
    }
    if let Some(claim) = files.filter(|_| noted.is_none() && archive.is_none()) {
        annotations.push((ANNOTATION_TAKEN_OVER, claim));
    }
    if noted.is_none() {
        if let Some(generation) = archive.as_ref().and_then(|a| a.spec.data_generation) {
            annotations.push((names::ANNOTATION_DATA_GENERATION, generation.to_string()));
        }
        let text = serde_json::to_string(&recorded).map_err(|e| at(e.into()))?;
        annotations.push((names::ANNOTATION_LEDGER, text));
    }
    let api: Api<CrmInstance> = Api::namespaced(ctx.client.clone(), &namespace);
    let stored = metadata(ctx, &api, instance, id.is_some(), &annotations).await.map_err(at)?;
    if let Some(stored) = stored {
        pass.instance = stored;
    }
    if id.is_none()
        && let Some(id) = id_of(&pass.instance)?
    {
        claim::claim(ctx, &pass.instance, &id, false).await?;
    }
    Ok(release)
}

/// The release that an instance runs.
async fn chosen(
    pass: &Pass,
    ctx: &Ctx,
    recorded: &Recorded,
    archive: Option<&Archive>,
    taken: bool,
) -> Result<Effective, Halt> {
    let instance = &pass.instance;
    let (spec, asked) = (&instance.spec, pass.found.as_ref());
    let (row, adopted);
    let mut known = Known::of(instance, Some(recorded));
    known.ran |= taken || pass.taken_over();
    known.archive = archive.and_then(|a| a.spec.release_hash.as_deref());
    if asked.is_some() || instance.status.as_ref().is_none_or(|s| s.data_generation.is_none()) {
        // The row was looked for a moment ago.
        known.row = Row::Says(asked.and_then(|f| hash_of(f, known.archive.is_some())));
    }
    let mut choice = choose(&known);
    if choice == Choice::Ask {
        let id = id_of(instance)?;
        row = match &id {
            Some(id) => found::row(ctx, instance, id).await?,
            None => None,
        };
        known.row = Row::Says(row.as_ref().and_then(|f| hash_of(f, false)));
        choice = choose(&known);
    }
    if choice == Choice::Unknown && archive.is_none() {
        // The instance lost everything that was written later. The release of the archive that it took over is better
        // than nothing.
        adopted = of_adoption(instance, ctx).await?;
        known.archive = adopted.as_ref().and_then(|a| a.spec.release_hash.as_deref());
        choice = choose(&known);
    }
    let made = pass.held(ConditionType::Installed, data_generation(instance))
        || asked.is_some_and(|f| f.record.state == State::Personalised);
    match choice {
        Choice::Pinned(hash) => release::of_hash(ctx, spec, hash).await,
        Choice::Mendable(hash) => release::newer(ctx, spec, hash, made).await,
        Choice::Copied(hash) => release::neutralised_anew(ctx, instance, hash, made).await,
        Choice::OfOriginal => {
            let hash = copy::release_of_original(ctx, instance).await?.hash;
            release::neutralised_anew(ctx, instance, &hash, made).await
        }
        Choice::Newest => release::newest(ctx, spec).await,
        Choice::Ask | Choice::Unknown | Choice::Disputed { .. } => Err(release::stopped(ctx, instance, &choice).await),
    }
}

/// What a row says of the release. The row of an archived database counts less than its Archive.
fn hash_of(found: &Found, archive_says: bool) -> Option<&str> {
    let counts = found.is_data() && !(archive_says && found.record.state == State::Archived);
    Some(found.record.release_hash.as_str()).filter(|hash| counts && !hash.is_empty())
}

async fn of_adoption(instance: &CrmInstance, ctx: &Ctx) -> Result<Option<Archive>, Halt> {
    let (adopt, id) = (instance.spec.adopt.as_deref(), instance.spec.id.as_deref());
    adopt::named(ctx, adopt, id, ArchivedKind::CrmInstance, instance.namespace().as_deref()).await
}

/// How much is known of the id of an object that carries one. `noted` means that the object has its note of the ledger.
fn trust(instance: &CrmInstance, noted: bool) -> Trust {
    if instance.spec.adopt.is_some() {
        return Trust::Known;
    }
    let minted = instance.annotations().get(ANNOTATION_MINTED).and_then(|at| at.parse::<Timestamp>().ok());
    let made = instance.creation_timestamp().map(|t| t.0);
    match (minted, made) {
        (Some(minted), Some(made)) if made.duration_since(minted).abs() <= YOUNG => Trust::Young,
        _ if noted => Trust::Known,
        _ => Trust::Given,
    }
}

/// Whether the status says where the data lies, or that there is no database.
fn is_placed(status: &CrmInstanceStatus) -> bool {
    status.database.is_some() || status.installed_at.is_some()
}

fn id_of(instance: &CrmInstance) -> Result<Option<Id>, Halt> {
    let id = instance.spec.id.as_deref().map(Id::parse).transpose();
    id.map_err(|e| Halt::fail(ConditionType::SpecValid, "Invalid", e.to_string(), ErrorClass::Invalid))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(minted: Option<&str>, adopt: Option<&str>) -> CrmInstance {
        let mut all = json!({"apiVersion": "tenantry.dev/v1alpha1", "kind": "CrmInstance",
            "metadata": {"name": "crm", "creationTimestamp": "2026-11-29T10:00:00Z", "annotations": {}},
            "spec": {"tenant": "acme", "blueprint": "b", "host": "crm.acme.vn", "id": "kabcdefghi"}});
        if let Some(minted) = minted {
            all["metadata"]["annotations"][ANNOTATION_MINTED] = minted.into();
        }
        if let Some(adopt) = adopt {
            all["spec"]["adopt"] = adopt.into();
        }
        serde_json::from_value(all).unwrap()
    }

    #[test]
    fn only_an_id_as_old_as_its_object_is_known_to_have_no_data() {
        assert_eq!(trust(&object(Some("2026-11-29T09:59:58Z"), None), false), Trust::Young);
        // The same object out of Git, in a cluster that was built again.
        assert_eq!(trust(&object(Some("2026-11-28T09:59:58Z"), None), false), Trust::Given);
        assert_eq!(trust(&object(Some("2027-11-29T09:59:58Z"), None), false), Trust::Given);
        assert_eq!(trust(&object(Some("yesterday"), None), false), Trust::Given);
        assert_eq!(trust(&object(None, None), false), Trust::Given);
        assert_eq!(trust(&object(None, None), true), Trust::Known);
        assert_eq!(trust(&object(None, Some("kabcdefghi-1")), false), Trust::Known);
    }
}
