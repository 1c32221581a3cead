//! Destroys what archives keep, after the name was written once more. Does I/O.

use std::ops::ControlFlow;

use jiff::Timestamp;
use kube::ResourceExt;
use kube::api::Patch;
use serde_json::json;
use tenantry_api::archive::{Archive, ArchivePhase};
use tenantry_core::names;
use tenantry_plan::archive::is_retained;

use super::keep::{label, phase, usable, words};
use super::words::{day_of, kept, until as until_day};
use crate::args::{Destroy, NoWaitArgs};
use crate::cluster;
use crate::error::{Exit, Problem, api, near};
use crate::output::text::duration;
use crate::progress::Progress;
use crate::progress::steps::said;
use crate::session::Session;
use crate::wait::{Until, follow};
use crate::{confirm, listing};

/// No selector and no --all, because this destroys data.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the archive
    #[arg(value_name = "ARCHIVE", required = true, add = crate::completion::archives())]
    pub names: Vec<String>,
    #[command(flatten)]
    pub destroy: Destroy,
}

/// A named archive, with everything that is purged along with it.
pub struct Doomed<'a> {
    /// The archive that the person named; it is purged last.
    pub named: &'a Archive,
    /// The archives that are purged before it: those of a tenant's instances.
    pub with: Vec<&'a Archive>,
}

pub async fn run(args: &Args, session: &Session) -> Result<Exit, Problem> {
    let all = session.cluster.list_whole(&session.cluster.archives(), "archives").await?;
    let mut doomed = Vec::with_capacity(args.names.len());
    for name in &args.names {
        let Some(named) = all.iter().find(|a| &a.name_any() == name) else {
            return Err(near::missing(
                "archive",
                name,
                all.iter().map(ResourceExt::name_any).collect(),
                "archive list",
            ));
        };
        usable(named, session.now())?;
        doomed.push(Doomed { named, with: Vec::new() });
    }
    confirmed(session, &all, &doomed, "archive purge", &args.destroy).await
}

/// Prints what will be destroyed, asks for each name once more, and purges. `verb` is the command, for example `archive
/// purge`.
pub async fn confirmed(
    session: &Session,
    all: &[Archive],
    doomed: &[Doomed<'_>],
    verb: &str,
    destroy: &Destroy,
) -> Result<Exit, Problem> {
    let (now, sure) = (session.now(), &destroy.sure);
    let archives = in_order(doomed);
    let named: Vec<String> = doomed.iter().map(|d| d.named.name_any()).collect();
    retained(&archives, &named, verb, destroy, now)?;
    if !sure.dry.dry_run {
        for archive in &archives {
            session.out.note(&format!("  {}", line(archive, now)));
        }
        let asked: Vec<Vec<String>> = doomed.iter().map(|d| words(all, d.named, now)).collect();
        confirm::words(&session.out, "purge", &asked, &sure.confirm).await?;
    }
    let early = destroy.before_retention;
    let purged = purge(session, &archives, early, sure.wait, sure.dry.dry_run).await?;
    finish(session, &purged, sure.wait.no_wait, sure.dry.dry_run)
}

/// Every archive once, in the order of the purge.
fn in_order<'a>(doomed: &[Doomed<'a>]) -> Vec<&'a Archive> {
    let mut all: Vec<&Archive> = Vec::new();
    for archive in doomed.iter().flat_map(|d| d.with.iter().copied().chain([d.named])) {
        if !all.iter().any(|a| a.name_any() == archive.name_any()) {
            all.push(archive);
        }
    }
    all
}

/// What will be destroyed, when it was archived, and until when it should be kept.
fn line(archive: &Archive, now: Timestamp) -> String {
    let over = if is_retained(&archive.spec, now) { "which is still to come" } else { "which has passed" };
    format!(
        "{}: archive {} of {}, to be kept until {}, {over}: {}, destroyed for ever; the record that it was there stays",
        label(archive),
        archive.name_any(),
        day_of(&archive.spec.archived_at),
        until_day(archive),
        kept(archive),
    )
}

/// Refuses archives whose retention is not over, unless the person set the retention aside.
fn retained(
    archives: &[&Archive],
    named: &[String],
    verb: &str,
    destroy: &Destroy,
    now: Timestamp,
) -> Result<(), Problem> {
    let early: Vec<&Archive> = archives.iter().copied().filter(|a| is_retained(&a.spec, now)).collect();
    if early.is_empty() || destroy.before_retention {
        return Ok(());
    }
    let lines: Vec<String> = early.iter().map(|a| line(a, now)).collect();
    Err(Problem::refused("the time for which this is kept is not over")
        .safe("nothing was changed")
        .why(lines.join("\n"))
        .next("destroy it all the same", format!("{verb} {} --before-retention", named.join(" "))))
}

/// The error for the name of a living object: only archives are purged, so the person means something else.
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
    before_retention: bool,
    wait: NoWaitArgs,
    dry_run: bool,
) -> Result<Vec<Archive>, Problem> {
    let api = session.cluster.archives();
    let mut demanded = Vec::with_capacity(archives.len());
    for archive in archives {
        let name = archive.name_any();
        // A purge that was demanded earlier and waits for its day keeps its confirmation text.
        let confirm = archive.spec.purge.as_ref().map_or_else(|| name.clone(), |p| p.confirm.clone());
        let asked = json!({names::ANNOTATION_PURGE_ASKED: archive.metadata.uid});
        let mut body = json!({"metadata": {"annotations": asked}, "spec": {"purge": {"confirm": confirm}}});
        if before_retention {
            body["spec"]["purge"]["beforeRetention"] = true.into();
        }
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

/// Reports the result.
fn finish(session: &Session, purged: &[Archive], no_wait: bool, dry_run: bool) -> Result<Exit, Problem> {
    let word = match (dry_run, no_wait) {
        (true, _) => "would be purged (dry run)",
        (_, true) => "is being purged",
        _ => "is purged: its data is gone, the record stays",
    };
    let lines: Vec<String> = purged.iter().map(|a| format!("{} {word}", label(a))).collect();
    listing::changed(&session.out, purged, &lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use tenantry_api::archive::ArchivedKind;

    use super::super::keep::tests::{archive, now};
    use super::*;
    use crate::command::{Cli, Command};

    fn destroy(words: &[&str]) -> Destroy {
        let line = ["tenantry", "archive", "purge", "kaaaaaaaaa-1"].into_iter().chain(words.iter().copied());
        match Cli::try_parse_from(line).unwrap().command {
            Command::Archive(crate::archive::Command::Purge(args)) => args.destroy,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_to_be_kept_longer_is_refused_without_the_word_and_the_question_tells_which_it_is() {
        let at = "2026-01-01T00:00:00Z";
        let one = archive(ArchivedKind::CrmInstance, "kaaaaaaaaa", "crm", at, ArchivePhase::Archived);
        let named = ["kaaaaaaaaa-1".to_owned()];
        let said = retained(&[&one], &named, "archive purge", &destroy(&[]), now()).unwrap_err();
        assert_eq!(said.exit, Exit::REFUSED);
        assert_eq!(said.next[0].1, "tenantry archive purge kaaaaaaaaa-1 --before-retention");
        for word in ["acme/crm", "kaaaaaaaaa-1", "2026-01-01", "2027-02-01"] {
            assert!(said.why.as_ref().unwrap().contains(word) && line(&one, now()).contains(word), "{word}: {said:?}");
        }
        let with = destroy(&["--before-retention"]);
        assert_eq!(retained(&[&one], &named, "archive purge", &with, now()), Ok(()));
        let later = "2027-02-01T00:00:01Z".parse().unwrap();
        assert_eq!(retained(&[&one], &named, "archive purge", &destroy(&[]), later), Ok(()));
    }

    #[test]
    fn what_destroys_takes_names_and_nothing_that_means_many() {
        for (verb, name) in [("archive", "kaaaaaaaaa-1"), ("tenant", "acme"), ("instance", "acme/crm")] {
            let parsed = |words: &[&str]| {
                Cli::try_parse_from(["tenantry", verb, "purge"].into_iter().chain(words.iter().copied())).is_ok()
            };
            assert!(parsed(&[name]) && parsed(&[name, "--confirm", name, "--before-retention"]), "{verb}");
            assert!(
                !parsed(&["--all"]) && !parsed(&["-l", "a=b"]) && !parsed(&[name, "--all"]) && !parsed(&[]),
                "{verb}"
            );
        }
    }

    #[test]
    fn what_two_names_mean_goes_once_and_what_goes_with_it_goes_before() {
        let at = "2026-01-01T00:00:00Z";
        let tenant = archive(ArchivedKind::Tenant, "kabcdefghi", "acme", at, ArchivePhase::Archived);
        let crm = archive(ArchivedKind::CrmInstance, "kaaaaaaaaa", "crm", at, ArchivePhase::Archived);
        let twice = [
            Doomed { named: &tenant, with: vec![&crm] },
            Doomed { named: &tenant, with: vec![&crm] },
            Doomed { named: &crm, with: Vec::new() },
        ];
        let names: Vec<String> = in_order(&twice).into_iter().map(ResourceExt::name_any).collect();
        assert_eq!(names, ["kaaaaaaaaa-1", "kabcdefghi-1"]);
    }
}
