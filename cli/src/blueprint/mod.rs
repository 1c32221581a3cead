//! `tenantry blueprint ...`: which verbs there are, lists and pages.

pub mod hints;
pub mod new;
pub mod render;
pub mod sample;
pub mod schema;
pub mod test;
pub mod validate;
pub mod view;

use clap::Subcommand;

use crate::args::Targets;
use crate::error::{Exit, Problem};
use crate::listing;
use crate::output::Format;
use crate::session::Session;
use crate::target::{self, BLUEPRINT};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Lists blueprints
    #[command(visible_alias = "ls")]
    List(Args),
    /// Shows releases, needs and settings of blueprints
    Show(Args),
    /// Checks blueprints in files, without a cluster
    Validate(validate::Args),
    /// Prints what the templates of a blueprint give for a sample instance, without a cluster
    Render(render::Args),
    /// Writes a first draft of a blueprint, from questions or from a Compose file
    New(new::Args),
    /// Prints the JSON schema of a blueprint file, for editors
    Schema,
    /// Tries on the cluster whether a blueprint holds what it promises, under a name of its own, and clears up
    Test(test::Args),
    /// Takes away what tests left that were kept or killed
    Sweep(test::sweep::Args),
}

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub targets: Targets,
}

/// Runs the commands that ask the cluster.
pub async fn run(command: &Command, session: &Session) -> Result<Exit, Problem> {
    let (api, now) = (session.cluster.blueprints(), session.now());
    match command {
        Command::List(args) => {
            let all = target::some(session, &api, BLUEPRINT, &args.targets, true).await?;
            listing::list(&session.out, &all, now, "no blueprints; the chart brings some: catalogue.blueprints")
        }
        Command::Show(args) => {
            let all = target::some(session, &api, BLUEPRINT, &args.targets, false).await?;
            let wide = session.out.format == Format::Wide;
            listing::pages(&session.out, &all, |b| view::page(b, wide, now))
        }
        Command::Validate(args) => validate::run(args, &session.out),
        Command::Render(args) => render::run(args, &session.out),
        Command::New(args) => new::run(args, &session.out).await,
        Command::Schema => schema::run(&session.out),
        Command::Test(args) => test::run(args, session).await,
        Command::Sweep(args) => test::sweep::run(args, session).await,
    }
}
