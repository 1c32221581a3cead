//! `tenantry archive ...`, and which archives can be used for what.

pub mod ending;
pub mod keep;
pub mod living;
pub mod orphan;
mod orphan_parts;
pub mod purge;
pub mod view;
pub mod words;

use clap::Subcommand;

use crate::args::Targets;
use crate::error::{Exit, Problem};
use crate::listing;
use crate::session::Session;
use crate::target::{self, ARCHIVE};

pub use keep::{chosen, is_kept, of_tenant};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Lists archives
    #[command(visible_alias = "ls")]
    List(ListArgs),
    /// Shows what an archive keeps, until when, and how to bring it back
    Show(ShowArgs),
    /// Destroys the data of single archives for ever
    Purge(purge::Args),
    /// Makes an archive of what has neither object nor archive, so that it can be adopted or purged
    Orphan(orphan::Args),
}

#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// All archives when none is named.
    #[command(flatten)]
    pub targets: Targets,
    /// Only of this tenant
    #[arg(long, value_name = "NAME", add = crate::completion::names())]
    pub tenant: Option<String>,
}

#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    #[command(flatten)]
    pub targets: Targets,
}

pub async fn run(command: Command, session: &Session) -> Result<Exit, Problem> {
    let (api, out, now) = (session.cluster.archives(), &session.out, session.now());
    match command {
        Command::List(args) => {
            let mut all = target::some(session, &api, ARCHIVE, &args.targets, true).await?;
            all.retain(|a| args.tenant.as_ref().is_none_or(|t| &a.spec.tenant_name == t));
            all.sort_by(|a, b| b.spec.archived_at.cmp(&a.spec.archived_at));
            listing::list(out, &all, now, "nothing is archived")
        }
        Command::Show(args) => {
            let all = target::some(session, &api, ARCHIVE, &args.targets, false).await?;
            listing::pages(out, &all, |a| view::page(a, now))
        }
        Command::Purge(args) => purge::run(&args, session).await,
        Command::Orphan(args) => orphan::run(&args, session).await,
    }
}
