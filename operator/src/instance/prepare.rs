//! The first write to a new CrmInstance: id, finalizer, pinned release, stream; and its adoption. Does I/O.

use jiff::Timestamp;
use kube::ResourceExt;
use kube::api::Api;
use tenantry_api::archive::{Archive, ArchivedKind};
use tenantry_api::blueprint::Effective;
use tenantry_api::condition::ConditionType;
use tenantry_api::crm_instance::{CrmInstance, CrmInstanceStatus};
use tenantry_core::class::ErrorClass;
use tenantry_core::id::Id;
use tenantry_core::ledger::Recorded;
use tenantry_core::names::{self, ANNOTATION_RELEASE, ANNOTATION_TAKEN_OVER};
use tenantry_database::State;
use tenantry_plan::adoption::{generation_to_note, reads_archive};
use tenantry_plan::instance::release::{Choice, Known, Row, choose, said_by_row};
use tenantry_plan::instance::{Source, Trust, is_made};

use super::found::{self, Found};
use super::pass::Pass;
use super::{copy, kept, release};
use crate::context::Ctx;
use crate::halt::Halt;
use crate::life::{adopt, claim, metadata, recorded_of, replay};

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
        let trust = if placed { Trust::Known } else { Trust::of(&pass.instance, noted.is_some()) };
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
    let archive = match reads_archive(&pass.instance, noted.as_ref()) {
        true => of_adoption(&pass.instance, ctx).await?,
        false => None,
    };
    if let Some(archive) = &archive {
        copy::was_finished(archive)?;
        kept::all_there(ctx, archive).await?;
    }
    let recorded = match (&noted, &archive, &id) {
        (Some(noted), _, _) => noted.clone(),
        (None, Some(archive), _) => adopt::ledger_of(archive)?,
        // The annotation was lost, or the whole object was put back: the billing events tell how far the stream is.
        (None, None, Some(id)) if reported || Trust::of(&pass.instance, false) != Trust::Young => {
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
    }
    if let Some(claim) = files.filter(|_| noted.is_none() && archive.is_none()) {
        annotations.push((ANNOTATION_TAKEN_OVER, claim));
    }
    let found = taken.as_ref().map(|f| f.record.generation);
    if let Some(generation) = generation_to_note(instance, noted.is_some(), archive.as_ref(), found) {
        annotations.push((names::ANNOTATION_DATA_GENERATION, generation.to_string()));
    }
    if noted.is_none() {
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
    known.ran |= taken;
    known.archive = archive.and_then(|a| a.spec.release_hash.as_deref());
    if asked.is_some() || instance.status.as_ref().is_none_or(|s| s.data_generation.is_none()) {
        // The row was looked for a moment ago.
        known.row = Row::Says(asked.and_then(|f| said(f, known.archive.is_some())));
    }
    let mut choice = choose(&known);
    if choice == Choice::Ask {
        let id = id_of(instance)?;
        row = match &id {
            Some(id) => found::row(ctx, instance, id).await?,
            None => None,
        };
        known.row = Row::Says(row.as_ref().and_then(|f| said(f, false)));
        choice = choose(&known);
    }
    if choice == Choice::Unknown && archive.is_none() {
        // The instance lost everything that was written later. The release of the archive that it took over is better
        // than nothing.
        adopted = of_adoption(instance, ctx).await?;
        known.archive = adopted.as_ref().and_then(|a| a.spec.release_hash.as_deref());
        choice = choose(&known);
    }
    let made = is_made(instance, asked.map(|f| f.record.state));
    let read = match choice.source() {
        Some(Source::Hash(hash)) => release::of_hash(ctx, spec, hash).await?,
        Some(Source::Original) => copy::release_of_original(ctx, instance).await?,
        Some(Source::Blueprint) => return release::newest(ctx, spec).await,
        None => return Err(release::stopped(ctx, instance, &choice).await),
    };
    release::settled(ctx, spec, &choice, read, made).await
}

/// What a row says of the release.
fn said(found: &Found, archive_says: bool) -> Option<&str> {
    said_by_row(found.record.state, &found.record.release_hash, archive_says)
}

async fn of_adoption(instance: &CrmInstance, ctx: &Ctx) -> Result<Option<Archive>, Halt> {
    let (adopt, id) = (instance.spec.adopt.as_deref(), instance.spec.id.as_deref());
    adopt::named(ctx, adopt, id, ArchivedKind::CrmInstance, instance.namespace().as_deref()).await
}

/// Whether the status says where the data lies, or that there is no database.
fn is_placed(status: &CrmInstanceStatus) -> bool {
    status.database.is_some() || status.installed_at.is_some()
}

fn id_of(instance: &CrmInstance) -> Result<Option<Id>, Halt> {
    let id = instance.spec.id.as_deref().map(Id::parse).transpose();
    id.map_err(|e| Halt::fail(ConditionType::SpecValid, "Invalid", e.to_string(), ErrorClass::Invalid))
}
