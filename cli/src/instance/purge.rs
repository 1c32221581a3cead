//! `tenantry instance purge`: destroys what the archives of single instances keep. Does I/O.

use tenantry_api::archive::{Archive, ArchivedKind};

use crate::archive::keep::label;
use crate::archive::{chosen, purge};
use crate::args::{Confirm, DryRun, NoWaitArgs};
use crate::confirm;
use crate::error::{Exit, Problem};
use crate::session::Session;
use crate::target::Address;

/// Arguments. No selector and no --all: this destroys.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The archived instance, or its archive
    #[arg(value_name = "TENANT/INSTANCE|ARCHIVE", required = true, add = crate::completion::archives())]
    pub names: Vec<String>,
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
    let archives = session.cluster.list_whole(&session.cluster.archives(), "archives").await?;
    let mut doomed: Vec<&Archive> = Vec::new();
    for name in &args.names {
        not_living(session, name).await?;
        doomed.push(chosen(&archives, ArchivedKind::CrmInstance, name, |a| &label(a) == name)?);
    }
    if !args.dry.dry_run {
        purge::say_what_goes(session, &doomed);
        let names: Vec<String> = doomed.iter().map(|a| label(a)).collect();
        confirm::names(&session.out, "purge", &names, &args.confirm).await?;
    }
    let purged = purge::purge(session, &doomed, args.wait, args.dry.dry_run).await?;
    purge::finish(session, &purged, args.wait.no_wait, args.dry.dry_run)
}

/// Only archives are purged; whoever names a living instance means something else.
async fn not_living(session: &Session, name: &str) -> Result<(), Problem> {
    let Ok(address) = name.parse::<Address>() else { return Ok(()) };
    let living = session.cluster.list_whole(&session.cluster.all_instances(), "instances").await?;
    if living.iter().any(|i| crate::target::address_of(i) == name) {
        return Err(Problem::refused(format!("instance {address} lives"))
            .safe("nothing was changed; only archives can be purged")
            .next("archive it first", format!("instance archive {address}"))
            .next("an older one of that name is meant: purge its archive", "archive list"));
    }
    Ok(())
}
