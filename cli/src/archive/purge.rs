//! Destroys what archives keep, after the name was written once more. Does I/O.

use std::ops::ControlFlow;

use kube::ResourceExt;
use kube::api::Patch;
use serde_json::json;
use tenantry_api::archive::{Archive, ArchivePhase};

use super::keep::{label, phase, usable};
use super::view::kept;
use crate::args::{NoWaitArgs, Sure};
use crate::cluster;
use crate::error::{Exit, Problem, api};
use crate::output::text::duration;
use crate::progress::Progress;
use crate::progress::steps::said;
use crate::session::Session;
use crate::target::{self, ARCHIVE};
use crate::wait::{Until, follow};
use crate::{confirm, listing};

pub use super::ending::Args;

/// Runs `archive purge`.
pub async fn run(args: &Args, session: &Session) -> Result<Exit, Problem> {
    let all = target::some(session, &session.cluster.archives(), ARCHIVE, &args.targets, false).await?;
    for archive in &all {
        usable(archive)?;
    }
    let names: Vec<String> = all.iter().map(|a| a.spec.name.clone()).collect();
    confirmed(session, &all.iter().collect::<Vec<_>>(), &names, &args.sure).await
}

/// Says what will be gone, asks for the names once more, and purges.
pub async fn confirmed(
    session: &Session,
    archives: &[&Archive],
    names: &[String],
    sure: &Sure,
) -> Result<Exit, Problem> {
    if !sure.dry.dry_run {
        for archive in archives {
            session.out.note(&format!(
                "  {}: {} is destroyed for ever; the record that it was there stays",
                label(archive),
                kept(archive)
            ));
        }
        confirm::names(&session.out, "purge", names, &sure.confirm).await?;
    }
    let purged = purge(session, archives, sure.wait, sure.dry.dry_run).await?;
    finish(session, &purged, sure.wait.no_wait, sure.dry.dry_run)
}

/// Only archives are purged; whoever names something that lives means something else.
pub fn lives(word: &str, name: &str) -> Problem {
    Problem::refused(format!("{word} {name} lives"))
        .safe("nothing was changed; only archives can be purged")
        .next("archive it first", format!("{word} archive {name}"))
        .next("an older one of that name is meant: purge its archive", "archive list")
}

/// Demands the purge of archives and waits until their data is gone.
pub async fn purge(
    session: &Session,
    archives: &[&Archive],
    wait: NoWaitArgs,
    dry_run: bool,
) -> Result<Vec<Archive>, Problem> {
    let api = session.cluster.archives();
    let mut demanded = Vec::with_capacity(archives.len());
    for archive in archives {
        let name = archive.name_any();
        let body = json!({"spec": {"purge": {"confirm": archive.spec.name}}});
        let patched = api.patch(&name, &cluster::patch(dry_run), &Patch::Merge(&body)).await;
        demanded.push(patched.map_err(|e| api::problem(&format!("purge archive {name}"), &e))?);
    }
    if wait.no_wait || dry_run {
        return Ok(demanded);
    }
    session.leave.goes_on("the purge goes on and cannot be taken back", "look", "archive list");
    let (until, mut progress) = (Until::after(wait.timeout), Progress::new(&session.out));
    let mut purged = Vec::with_capacity(demanded.len());
    for archive in demanded {
        purged.push(gone(session, &archive, until, &mut progress).await?);
    }
    Ok(purged)
}

/// Waits until the data of one archive is gone.
async fn gone(session: &Session, archive: &Archive, until: Until, progress: &mut Progress) -> Result<Archive, Problem> {
    let (name, begun) = (archive.name_any(), tokio::time::Instant::now());
    let title = label(archive);
    let end = follow(session.cluster.archives(), &name, until, |seen| {
        let Some(seen) = seen else {
            return ControlFlow::Break(Err(Problem::not_found(format!("archive {name} was deleted meanwhile"))));
        };
        if phase(seen) == ArchivePhase::Purged {
            return ControlFlow::Break(Ok(seen.clone()));
        }
        let held = seen.status.as_ref().and_then(|s| s.conditions.iter().find(|c| c.status == "False")).map(said);
        progress.now(&title, &format!("{:?} {}", phase(seen), held.unwrap_or_default()));
        ControlFlow::Continue(())
    });
    match end.await? {
        Some(Ok(purged)) => {
            progress.done(&title, &format!("purged: {}", kept(archive)), begun.elapsed());
            Ok(purged)
        }
        Some(Err(problem)) => Err(problem),
        None => Err(Problem::timed_out(format!(
            "the purge of {title} is not done after {}; it goes on and cannot be taken back",
            duration(begun.elapsed())
        ))
        .next("what holds it up", format!("archive show {name}"))),
    }
}

/// What came of it.
fn finish(session: &Session, purged: &[Archive], no_wait: bool, dry_run: bool) -> Result<Exit, Problem> {
    let word = match (dry_run, no_wait) {
        (true, _) => "would be purged (dry run)",
        (_, true) => "is being purged",
        _ => "is purged: its data is gone, the record stays",
    };
    let lines: Vec<String> = purged.iter().map(|a| format!("{} {word}", label(a))).collect();
    listing::changed(&session.out, purged, &lines.join("\n"))
}
