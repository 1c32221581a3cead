//! `tenantry instance purge`: destroys what the archives of single instances keep. Does I/O.

use tenantry_api::archive::{Archive, ArchivedKind};

use crate::archive::keep::label;
use crate::archive::{chosen, purge};
use crate::args::Sure;
use crate::error::{Exit, Problem};
use crate::session::Session;
use crate::target::Address;

/// Arguments. No selector and no --all: this destroys.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The archived instance, or its archive
    #[arg(value_name = "TENANT/INSTANCE|ARCHIVE", required = true, add = crate::completion::archives())]
    pub names: Vec<String>,
    /// Whether that is meant.
    #[command(flatten)]
    pub sure: Sure,
}

/// Runs it.
pub async fn run(args: &Args, session: &Session) -> Result<Exit, Problem> {
    let archives = session.cluster.list_whole(&session.cluster.archives(), "archives").await?;
    let mut doomed: Vec<&Archive> = Vec::new();
    for name in &args.names {
        not_living(session, name).await?;
        doomed.push(chosen(&archives, ArchivedKind::CrmInstance, name, |a| &label(a) == name)?);
    }
    let names: Vec<String> = doomed.iter().map(|a| label(a)).collect();
    purge::confirmed(session, &doomed, &names, &args.sure).await
}

async fn not_living(session: &Session, name: &str) -> Result<(), Problem> {
    let Ok(address) = name.parse::<Address>() else { return Ok(()) };
    let living = session.cluster.list_whole(&session.cluster.all_instances(), "instances").await?;
    if living.iter().any(|i| crate::target::address_of(i) == name) {
        return Err(purge::lives("instance", &address.to_string()));
    }
    Ok(())
}
