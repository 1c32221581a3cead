//! `tenantry instance purge`: destroys what the archives of single instances keep. Does I/O.

use tenantry_api::archive::ArchivedKind;

use crate::archive::chosen;
use crate::archive::purge::{self, Doomed};
use crate::args::Destroy;
use crate::error::{Exit, Problem};
use crate::session::Session;
use crate::target::Address;

/// No selector and no --all, because this destroys data.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The archived instance, or its archive
    #[arg(value_name = "TENANT/INSTANCE|ARCHIVE", required = true, add = crate::completion::archives())]
    pub names: Vec<String>,
    #[command(flatten)]
    pub destroy: Destroy,
}

pub async fn run(args: &Args, session: &Session) -> Result<Exit, Problem> {
    let archives = session.cluster.list_whole(&session.cluster.archives(), "archives").await?;
    let mut doomed = Vec::new();
    for name in &args.names {
        not_living(session, name).await?;
        let named = chosen(&archives, ArchivedKind::CrmInstance, name, "instance purge", session.now())?;
        doomed.push(Doomed { named, with: Vec::new() });
    }
    purge::confirmed(session, &archives, &doomed, "instance purge", &args.destroy).await
}

async fn not_living(session: &Session, name: &str) -> Result<(), Problem> {
    let Ok(address) = name.parse::<Address>() else { return Ok(()) };
    let living = session.cluster.list_whole(&session.cluster.all_instances(), "instances").await?;
    if living.iter().any(|i| crate::target::address_of(i) == name) {
        return Err(purge::lives("instance", &address.to_string()));
    }
    Ok(())
}
