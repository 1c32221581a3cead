//! `tenantry tenant archive`: removes tenants and keeps their data. Does I/O.

use std::ops::ControlFlow;

use kube::ResourceExt;
use kube::api::{DeleteParams, Preconditions};
use tenantry_api::archive::Archive;
use tenantry_api::condition::find;
use tenantry_api::tenant::Tenant;

use crate::archive::view::{commands, kept, until as until_day};
use crate::args::{Confirm, DryRun, NoWaitArgs, Targets};
use crate::error::{Exit, Problem, api};
use crate::output::page::Page;
use crate::output::text::duration;
use crate::progress::Progress;
use crate::progress::steps::said;
use crate::session::Session;
use crate::target;
use crate::wait::{Until, follow};
use crate::{confirm, listing};

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which ones.
    #[command(flatten)]
    pub targets: Targets,
    /// The name once more.
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
    let tenants = target::tenants(session, &args.targets, false).await?;
    let names: Vec<String> = tenants.iter().map(ResourceExt::name_any).collect();
    if !args.dry.dry_run {
        confirm::names(&session.out, "archive", &names, &args.confirm).await?;
    }
    for tenant in &tenants {
        delete(session, tenant, args.dry.dry_run).await?;
    }
    if args.dry.dry_run || args.wait.no_wait {
        let word = if args.dry.dry_run { "would be archived (dry run)" } else { "is being archived; all data is kept" };
        let lines: Vec<String> = names.iter().map(|n| format!("{n} {word}")).collect();
        return listing::changed(&session.out, &tenants, &lines.join("\n"));
    }
    let (until, mut progress) = (Until::after(args.wait.timeout), Progress::new(&session.out));
    let mut archives = Vec::new();
    for tenant in &tenants {
        session.leave.goes_on("archiving goes on, all data is kept", "look", "archive list");
        gone(session, tenant, until, &mut progress).await?;
        archives.extend(written(session, tenant).await?);
    }
    progress.end();
    listing::changed(&session.out, &archives, &text(&names, &archives))
}

pub async fn delete(session: &Session, tenant: &Tenant, dry_run: bool) -> Result<(), Problem> {
    let name = tenant.name_any();
    // Only this very tenant: one that was made anew under the same name meanwhile is left alone.
    let params = DeleteParams {
        dry_run,
        preconditions: Some(Preconditions { uid: tenant.metadata.uid.clone(), resource_version: None }),
        ..DeleteParams::default()
    };
    match session.cluster.tenants().delete(&name, &params).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(s)) if s.is_not_found() => Ok(()),
        Err(e) => Err(api::problem(&format!("archive tenant {name}"), &e)),
    }
}

/// Waits until the tenant itself is gone, which is after its archive was written.
pub async fn gone(session: &Session, tenant: &Tenant, until: Until, progress: &mut Progress) -> Result<(), Problem> {
    let (name, begun) = (tenant.name_any(), tokio::time::Instant::now());
    let label = format!("tenant {name}");
    progress.now(&label, "archiving");
    let end = follow(session.cluster.tenants(), &name, until, |seen| match seen {
        Some(seen) if seen.metadata.uid == tenant.metadata.uid => {
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
        .next("what holds it up", format!("tenant show {name}"))
        .next("is the operator well?", "doctor")),
    }
}

/// The archives that a tenant left, its own first.
pub async fn written(session: &Session, tenant: &Tenant) -> Result<Vec<Archive>, Problem> {
    let all = session.cluster.list(&session.cluster.archives(), "archives", None).await?;
    let id = tenant.spec.id.clone().unwrap_or_default();
    let mut ours: Vec<Archive> =
        all.into_iter().filter(|a| a.spec.tenant_id == id && crate::archive::is_kept(a)).collect();
    ours.sort_by_key(|a| (a.spec.id != id, a.spec.name.clone(), std::cmp::Reverse(a.spec.life)));
    Ok(ours)
}

/// What is kept, until when, and how to go on.
fn text(names: &[String], archives: &[Archive]) -> String {
    let mut page = Page::new(format!("{} archived: nothing was destroyed", are(names)));
    if archives.is_empty() {
        page.text("  no archive is left: the tenant had no data yet");
    }
    for archive in archives {
        page.noted(
            &format!("  {}", crate::archive::keep::label(archive)),
            kept(archive),
            format!("until {} at least, as archive {}", until_day(archive), archive.name_any()),
        );
    }
    for archive in archives.iter().filter(|a| names.contains(&a.spec.name) && a.spec.id == a.spec.tenant_id) {
        for (key, line) in commands(archive) {
            page.fact(&format!("  {key}"), line);
        }
    }
    page.render(&crate::output::paint::Paint::default(), None)
}

fn are(names: &[String]) -> String {
    if names.len() == 1 { format!("{} is", names[0]) } else { format!("{} are", names.join(", ")) }
}

#[cfg(test)]
mod tests {
    use tenantry_api::archive::{ArchivePhase, ArchivedKind};

    use super::*;
    use crate::archive::keep::tests::archive;

    #[test]
    fn archiving_says_what_is_kept_until_when_and_how_to_go_on() {
        let at = "2026-01-01T00:00:00Z";
        let all = [
            archive(ArchivedKind::Tenant, "kabcdefghi", "acme", at, ArchivePhase::Archived),
            archive(ArchivedKind::CrmInstance, "kaaaaaaaaa", "crm", at, ArchivePhase::Archived),
        ];
        insta::assert_snapshot!(text(&["acme".into()], &all));
    }
}
