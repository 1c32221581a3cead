//! `tenantry instance archive`: removes instances and keeps their data. Does I/O.

use std::ops::ControlFlow;

use kube::ResourceExt;
use kube::api::{DeleteParams, Preconditions};
use tenantry_api::archive::Archive;
use tenantry_api::condition::find;
use tenantry_api::crm_instance::CrmInstance;

use crate::archive::view::{commands, kept, until as until_day};
use crate::args::{Confirm, DryRun, NoWaitArgs, Targets};
use crate::error::{Exit, Problem, api};
use crate::output::page::Page;
use crate::output::text::duration;
use crate::progress::Progress;
use crate::progress::steps::said;
use crate::session::Session;
use crate::target::{self, address_of};
use crate::wait::{Until, follow};
use crate::{confirm, listing};

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which ones.
    #[command(flatten)]
    pub targets: Targets,
    /// The address once more.
    #[command(flatten)]
    pub confirm: Confirm,
    /// Waiting.
    #[command(flatten)]
    pub wait: NoWaitArgs,
    /// Dry run.
    #[command(flatten)]
    pub dry: DryRun,
}

/// Runs it.
pub async fn run(args: &Args, session: &Session) -> Result<Exit, Problem> {
    let instances = target::instances(session, &args.targets, false).await?;
    let names: Vec<String> = instances.iter().map(address_of).collect();
    if !args.dry.dry_run {
        confirm::names(&session.out, "archive", &names, &args.confirm).await?;
    }
    for instance in &instances {
        delete(session, instance, args.dry.dry_run).await?;
    }
    if args.dry.dry_run || args.wait.no_wait {
        let word = if args.dry.dry_run { "would be archived (dry run)" } else { "is being archived; all data is kept" };
        let lines: Vec<String> = names.iter().map(|n| format!("{n} {word}")).collect();
        return listing::changed(&session.out, &instances, &lines.join("\n"));
    }
    session.leave.goes_on("archiving goes on, all data is kept", "look", "archive list");
    let (until, mut progress) = (Until::after(args.wait.timeout), Progress::new(&session.out));
    for instance in &instances {
        gone(session, instance, until, &mut progress).await?;
    }
    progress.end();
    let all = session.cluster.list(&session.cluster.archives(), "archives", None).await?;
    let archives: Vec<Archive> = instances.iter().filter_map(|i| newest(&all, i)).cloned().collect();
    listing::changed(&session.out, &archives, &text(&names, &archives))
}

async fn delete(session: &Session, instance: &CrmInstance, dry_run: bool) -> Result<(), Problem> {
    let params = DeleteParams {
        dry_run,
        preconditions: Some(Preconditions { uid: instance.metadata.uid.clone(), resource_version: None }),
        ..DeleteParams::default()
    };
    let api = session.cluster.instances(&instance.namespace().unwrap_or_default());
    match api.delete(&instance.name_any(), &params).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(s)) if s.is_not_found() => Ok(()),
        Err(e) => Err(api::problem(&format!("archive instance {}", address_of(instance)), &e)),
    }
}

async fn gone(session: &Session, instance: &CrmInstance, until: Until, progress: &mut Progress) -> Result<(), Problem> {
    let (label, name, begun) = (address_of(instance), instance.name_any(), tokio::time::Instant::now());
    let api = session.cluster.instances(&instance.namespace().unwrap_or_default());
    let end = follow(api, &name, until, |seen| match seen {
        Some(seen) if seen.metadata.uid == instance.metadata.uid => {
            let status = seen.status.clone().unwrap_or_default();
            let held = find(&status.conditions, "Archived").map(said).unwrap_or_default();
            progress.now(&label, &format!("{:?} {held}", status.phase));
            ControlFlow::Continue(())
        }
        _ => ControlFlow::Break(()),
    });
    match end.await? {
        Some(()) => {
            progress.done(&label, "archived", begun.elapsed());
            Ok(())
        }
        None => Err(Problem::timed_out(format!(
            "{label} is not archived after {}; the work goes on",
            duration(begun.elapsed())
        ))
        .safe("all data is kept")
        .next("what holds it up", format!("instance show {label}"))
        .next("is the operator well?", "doctor")),
    }
}

/// The archive of an instance's last life.
fn newest<'a>(all: &'a [Archive], instance: &CrmInstance) -> Option<&'a Archive> {
    let id = instance.spec.id.as_deref()?;
    all.iter().filter(|a| a.spec.id == id).max_by_key(|a| a.spec.life)
}

fn text(names: &[String], archives: &[Archive]) -> String {
    let mut page = Page::new(format!("{} archived: nothing was destroyed", names.join(", ")));
    if archives.is_empty() {
        page.text("  no archive is left: there was no data yet");
    }
    for archive in archives {
        page.noted(
            &format!("  {}", crate::archive::keep::label(archive)),
            kept(archive),
            format!("until {} at least, as archive {}", until_day(archive), archive.name_any()),
        );
        for (key, line) in commands(archive) {
            page.fact(&format!("  {key}"), line);
        }
    }
    page.render(&crate::output::paint::Paint::default(), None)
}
