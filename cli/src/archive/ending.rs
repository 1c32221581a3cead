//! Archiving: an object is deleted, and is gone when its archive was written; the same for every kind. Does I/O.

use std::ops::ControlFlow;

use kube::ResourceExt;
use kube::api::{DeleteParams, Preconditions};
use tenantry_api::archive::Archive;
use tenantry_api::condition::find;

use super::keep::label;
use super::living::Living;
use super::words::{kept, until as until_day};
use crate::args::{Sure, Targets};
use crate::confirm;
use crate::error::{Exit, Problem, api};
use crate::listing::{self, Listed};
use crate::output::page::Page;
use crate::output::text::duration;
use crate::progress::Progress;
use crate::progress::steps::said;
use crate::session::Session;
use crate::wait::{Until, follow};

/// Arguments of the commands that archive.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub targets: Targets,
    #[command(flatten)]
    pub sure: Sure,
}

/// Asks for the names once more and deletes the objects. Returns None when the caller should wait for the end; with
/// `--no-wait` or in a dry run, prints what happens and returns the exit code.
pub async fn begin<K: Living>(session: &Session, all: &[K], sure: &Sure) -> Result<Option<Exit>, Problem> {
    let names: Vec<String> = all.iter().map(Listed::address).collect();
    if !sure.dry.dry_run {
        confirm::names(&session.out, "archive", &names, &sure.confirm).await?;
    }
    for object in all {
        delete(session, object, sure.dry.dry_run).await?;
    }
    if !sure.dry.dry_run && !sure.wait.no_wait {
        return Ok(None);
    }
    let word = if sure.dry.dry_run { "would be archived (dry run)" } else { "is being archived; all data is kept" };
    let lines: Vec<String> = names.iter().map(|n| format!("{n} {word}")).collect();
    listing::changed(&session.out, all, &lines.join("\n")).map(Some)
}

/// Deletes one object, and only this very one.
pub async fn delete<K: Living>(session: &Session, object: &K, dry_run: bool) -> Result<(), Problem> {
    // Leave an object alone that was created under the same name meanwhile.
    let params = DeleteParams {
        dry_run,
        preconditions: Some(Preconditions { uid: object.meta().uid.clone(), resource_version: None }),
        ..DeleteParams::default()
    };
    match object.api(session).delete(&object.name_any(), &params).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(s)) if s.is_not_found() => Ok(()),
        Err(e) => Err(api::problem(&format!("archive {} {}", K::WORD, object.address()), &e)),
    }
}

/// Waits until the objects themselves are gone, which is after their archives were written.
pub async fn gone<K: Living + Send + 'static>(session: &Session, all: &[K], sure: &Sure) -> Result<(), Problem> {
    session.leave.goes_on("archiving goes on, all data is kept", "look", "archive list");
    let (until, mut progress) = (Until::after(sure.wait.timeout), Progress::new(&session.out));
    for object in all {
        one_gone(session, object, until, &mut progress).await?;
    }
    progress.end();
    Ok(())
}

/// Waits until one object is gone.
pub async fn one_gone<K: Living + Send + 'static>(
    session: &Session,
    object: &K,
    until: Until,
    progress: &mut Progress,
) -> Result<(), Problem> {
    let (address, begun) = (object.address(), tokio::time::Instant::now());
    let title = format!("{} {address}", K::WORD);
    progress.now(&title, "archiving");
    let name = object.name_any();
    let end = follow(object.api(session), &name, until, |seen| match seen {
        Some(seen) if seen.meta().uid == object.meta().uid => {
            let (phase, conditions) = seen.state();
            let held = find(conditions, "Archived").map(said).unwrap_or_default();
            progress.now(&title, &format!("{phase} {held}"));
            ControlFlow::Continue(())
        }
        _ => ControlFlow::Break(()),
    });
    match end.await? {
        Some(()) => {
            progress.done(&title, "archived", begun.elapsed());
            Ok(())
        }
        None => Err(Problem::timed_out(format!(
            "{title} is not archived after {}; the work goes on",
            duration(begun.elapsed())
        ))
        .safe("all data is kept")
        .next("what holds it up", format!("{} show {address}", K::WORD))
        .next("is the operator well?", "doctor")),
    }
}

/// The head of the result page: what is kept and until when. `none` is the reason to print when no archive is left, for
/// example that the tenant had no data yet.
pub fn page(names: &[String], archives: &[Archive], none: &str) -> Page {
    let mut page = Page::new(format!("{} archived: nothing was destroyed", are(names)));
    if archives.is_empty() {
        page.text(format!("  no archive is left: {none}"));
    }
    for archive in archives {
        page.noted(
            &format!("  {}", label(archive)),
            kept(archive),
            format!("until {} at least, as archive {}", until_day(archive), archive.name_any()),
        );
    }
    page
}

fn are(names: &[String]) -> String {
    if names.len() == 1 { format!("{} is", names[0]) } else { format!("{} are", names.join(", ")) }
}
