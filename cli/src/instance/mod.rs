//! `tenantry instance ...`: which verbs there are. Does no I/O itself.

pub mod adopt;
pub mod archive;
pub mod copy;
pub mod create;
pub mod create_args;
pub mod list;
pub mod logs;
pub mod make;
pub mod open;
pub mod password;
pub mod purge;
pub mod set;
pub mod settings;
pub mod size;
#[cfg(test)]
mod tests;
pub mod track;
pub mod view;

use clap::Subcommand;

use crate::error::{Exit, Problem};
use crate::session::Session;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Creates one more instance of a tenant, or a copy of one for staging
    Create(Box<create::Args>),
    /// Changes how many pods run, on which nodes, and the administrator's address
    Set(Box<set::Args>),
    /// Lists instances; TENANT alone means all of its instances
    #[command(visible_alias = "ls")]
    List(list::ListArgs),
    /// Shows instances, where their data lies, and what needs attention
    Show(list::ShowArgs),
    /// Prints the URL, and opens it in a browser on a desktop
    Open(open::Args),
    /// Prints or follows what the processes of an instance write
    Logs(logs::Args),
    /// Prints the administrator's first password
    Password(password::Args),
    /// Lists and changes the settings of instances, and tells whether their mail servers and so on answer
    Settings(settings::Args),
    /// Removes instances and keeps their data in archives
    Archive(archive::Args),
    /// Brings an archived instance back with all its data
    Adopt(adopt::Args),
    /// Destroys the data of archived instances for ever
    Purge(purge::Args),
}

pub async fn run(command: Command, session: &Session) -> Result<Exit, Problem> {
    match command {
        Command::Create(args) => create::run(&args, session).await,
        Command::Set(args) => set::run(&args, session).await,
        Command::List(args) => list::list(&args, session).await,
        Command::Show(args) => list::show(&args, session).await,
        Command::Open(args) => open::run(&args, session).await,
        Command::Logs(args) => logs::run(&args, session).await,
        Command::Password(args) => password::run(&args, session).await,
        Command::Settings(args) => settings::run(&args, session).await,
        Command::Archive(args) => archive::run(&args, session).await,
        Command::Adopt(args) => adopt::run(&args, session).await,
        Command::Purge(args) => purge::run(&args, session).await,
    }
}
