//! One reconcile of an Archive. Does I/O.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;
use kube::api::Api;
use tenantry_api::archive::{Archive, ArchivePhase, ArchiveStatus, ArchivedKind};
use tenantry_api::condition::{ConditionType, Said, set};

use super::{Entry, blank, pace, purge, volumes};
use crate::context::Ctx;
use crate::error::{Error, Result};
use crate::halt::{Halt, OrHalt};
use crate::requeue::pause;
use crate::status::write;

/// Reconciles an archive from its cached entry. The full archive is read only when there is something to do.
///
/// # Errors
/// As [`reconcile`]; [`Error::Kube`] when the archive cannot be read.
pub async fn turn(entry: Arc<Entry>, ctx: &Ctx, now: Timestamp) -> Result<Option<Duration>> {
    if entry.rests() {
        return Ok(None);
    }
    let api: Api<Archive> = Api::all(ctx.client.clone());
    match api.get_opt(&entry.name_any()).await.map_err(Error::kube("get the archive"))? {
        Some(archive) => reconcile(Arc::new(archive), ctx, now).await,
        None => Ok(None),
    }
}

/// Reconciles an archive: nothing happens to it until a purge is asked for.
///
/// # Errors
/// [`Error::Kube`] while the status is written.
pub async fn reconcile(archive: Arc<Archive>, ctx: &Ctx, now: Timestamp) -> Result<Option<Duration>> {
    let mut status = archive.status.clone().unwrap_or_default();
    let mut generation = archive.metadata.generation;
    if archive.status.is_none() && purge::is_superseded(&archive, ctx).await? {
        // The archive's status was lost. Because a later life exists, the archive must have been taken over.
        status.phase = ArchivePhase::Adopted;
    }
    if status.phase == ArchivePhase::Adopted {
        // A purge that was waiting no longer concerns this archive.
        status.conditions.retain(|c| c.type_ != ConditionType::Purged.word());
    }
    let mut again = None;
    if archive.spec.purge.is_some() && !matches!(status.phase, ArchivePhase::Purged | ArchivePhase::Adopted) {
        match purge_it(&archive, ctx, &mut status, now).await? {
            Ok(blanked) => {
                generation = blanked;
                status.phase = ArchivePhase::Purged;
                ctx.memory.retries.recovered(archive.metadata.uid.as_deref().unwrap_or_default());
                set(
                    &mut status.conditions,
                    Said::yes(ConditionType::Purged, "Done", "the data is gone"),
                    generation,
                    now,
                );
            }
            Err(halt) => {
                let uid = archive.metadata.uid.as_deref().unwrap_or_default();
                if halt.is_told(ctx.memory.retries.failures(uid)) {
                    let said = Said::no(ConditionType::Purged, &halt.reason, halt.message.clone());
                    set(&mut status.conditions, said, generation, now);
                }
                again = Some(pause(ctx, uid, &halt));
            }
        }
    }
    if archive.status.as_ref().is_some_and(|s| s.phase == ArchivePhase::Purged) {
        // The archive was purged by a version that did not blank archives.
        generation = blank::one(&archive, ctx).await?;
    }
    status.observed_generation = generation;
    write(ctx, &*archive, status).await?;
    Ok(again)
}

/// Purges an archive once nothing prevents that. Returns the archive's new generation.
///
/// The phase `Purging` is stored before anything is destroyed: from then on every adoption is refused. After that, the
/// check whether an adoption came first is made once more. A refused purge leaves the archive as it was.
async fn purge_it(
    archive: &Archive,
    ctx: &Ctx,
    status: &mut ArchiveStatus,
    now: Timestamp,
) -> Result<std::result::Result<Option<i64>, Halt>> {
    if let Err(halt) = purge::may(archive, ctx, now).await {
        return Ok(Err(halt));
    }
    if status.phase != ArchivePhase::Purging {
        status.phase = ArchivePhase::Purging;
        // From here on the purge waits for removals: their pauses are counted from the start.
        ctx.memory.retries.recovered(archive.metadata.uid.as_deref().unwrap_or_default());
        if archive.spec.kind == ArchivedKind::CrmInstance {
            let noted = match volumes::claims_of(archive, ctx).await {
                Ok(claims) => {
                    volumes::note(&claims, &mut status.volumes);
                    volumes::note_unclaimed(archive, ctx, &mut status.volumes).await
                }
                Err(error) => Err(error),
            };
            match noted {
                Ok(()) => {}
                Err(error) => {
                    status.phase = ArchivePhase::Archived;
                    return Ok(Err(Halt::at(pace::CONDITION)(error)));
                }
            }
        }
        write(ctx, archive, status.clone()).await?;
        if let Err(halt) = purge::may(archive, ctx, now).await {
            status.phase = ArchivePhase::Archived;
            return Ok(Err(halt));
        }
    }
    if let Err(halt) = purge::run(archive, ctx, status, now).await {
        return Ok(Err(halt));
    }
    if let Err(halt) = blank::earlier(archive, ctx).await {
        return Ok(Err(halt));
    }
    // The archive is blanked last: a purge that has to begin again needs what the archive knows.
    Ok(blank::one(archive, ctx).await.halt(pace::CONDITION))
}
