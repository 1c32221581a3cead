//! `tenantry tenant ...`: which verbs there are. Does no I/O itself.

pub mod adopt;
pub mod archive;
pub mod create;
pub mod fields;
pub mod follow;
pub mod list;
pub mod purge;
pub mod set;
pub mod summary;
pub mod suspend;
#[cfg(test)]
pub mod tests;
pub mod view;

use clap::Subcommand;

use crate::error::{Exit, Problem};
use crate::session::Session;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Creates a tenant with its first instance
    Create(Box<create::Args>),
    /// Lists tenants
    #[command(visible_alias = "ls")]
    List(list::ListArgs),
    /// Shows tenants with their instances, limits and what needs attention
    Show(list::ShowArgs),
    /// Changes plan, seats, storage and other terms
    Set(Box<set::Args>),
    /// Stops the CRMs of tenants behind a page; all data stays
    Suspend(suspend::SuspendArgs),
    /// Brings suspended tenants back
    Resume(suspend::ResumeArgs),
    /// Removes tenants and keeps their data in archives
    Archive(archive::Args),
    /// Brings an archived tenant back with its instances and all data
    Adopt(adopt::Args),
    /// Destroys the data of archived tenants for ever
    Purge(purge::Args),
}

pub async fn run(command: Command, session: &Session) -> Result<Exit, Problem> {
    match command {
        Command::Create(args) => create::run(&args, session).await,
        Command::List(args) => list::list(&args, session).await,
        Command::Show(args) => list::show(&args, session).await,
        Command::Set(args) => set::run(&args, session).await,
        Command::Suspend(args) => suspend::suspend(&args, session).await,
        Command::Resume(args) => suspend::resume(&args, session).await,
        Command::Archive(args) => archive::run(&args, session).await,
        Command::Adopt(args) => adopt::run(&args, session).await,
        Command::Purge(args) => purge::run(&args, session).await,
    }
}
