//! `tenantry instance settings ...`: what an instance may choose, and the integrations that it brings. Does I/O.

pub mod again;
pub mod change;
pub mod check;
pub mod decide;
pub mod hide;
pub mod shown;
mod store;
#[cfg(test)]
mod tests;
pub mod value;

use std::collections::BTreeMap;

use clap::Subcommand;
use serde_json::{Value, json};
use tenantry_api::blueprint::BlueprintSpec;
use tenantry_api::crm_instance::CrmInstance;

use crate::args::Targets;
use crate::error::{Exit, Problem};
use crate::output::Format;
use crate::session::Session;
use crate::target::{self, address_of};

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    /// None means to list the settings.
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub targets: Targets,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Sets settings; secret ones go into a Secret and never stand on a command line
    Set(change::SetArgs),
    /// Takes settings back to the blueprint's defaults
    Unset(change::UnsetArgs),
    /// Tells whether mail server, SMS gateway and so on answer, as the operator last saw or, with --again, as it sees
    /// now; exit code 1 when one does not
    Check(check::Args),
}

pub async fn run(args: &Args, session: &Session) -> Result<Exit, Problem> {
    match &args.command {
        None => list(&args.targets, session).await,
        Some(Command::Set(args)) => change::set(args, session).await,
        Some(Command::Unset(args)) => change::unset(args, session).await,
        Some(Command::Check(args)) => check::run(args, session).await,
    }
}

async fn list(targets: &Targets, session: &Session) -> Result<Exit, Problem> {
    let instances = target::instances(session, targets, false).await?;
    let blueprints = blueprints(session, &instances).await?;
    let (out, now) = (&session.out, session.now());
    match out.format {
        Format::Json | Format::Yaml => {
            let all: Vec<Value> =
                instances.iter().map(|i| shown::document(i, blueprints.get(&i.spec.blueprint))).collect();
            match all.as_slice() {
                [one] => out.document(one)?,
                several => out.document(&json!({"instances": several}))?,
            }
        }
        Format::Name => instances.iter().for_each(|i| out.line(&address_of(i))),
        Format::Text | Format::Wide => {
            let page = |i: &CrmInstance| {
                shown::page(i, blueprints.get(&i.spec.blueprint), now).render(&out.paint, out.columns)
            };
            let pages: Vec<String> = instances.iter().map(page).collect();
            out.line(&pages.join("\n\n"));
        }
    }
    Ok(Exit::DONE)
}

/// Removes the secret values from instances that are about to be printed as documents.
///
/// # Errors
/// When their blueprints cannot be read.
pub async fn hidden(session: &Session, instances: &mut [CrmInstance]) -> Result<(), Problem> {
    if session.out.is_document() {
        let blueprints = blueprints(session, instances).await?;
        for instance in instances {
            let blueprint = blueprints.get(&instance.spec.blueprint);
            hide::strip(instance, blueprint);
        }
    }
    Ok(())
}

/// The blueprints of some instances, by name; a blueprint that does not exist any more is left out.
///
/// # Errors
/// When they cannot be read.
pub async fn blueprints(
    session: &Session,
    instances: &[CrmInstance],
) -> Result<BTreeMap<String, BlueprintSpec>, Problem> {
    let mut all = BTreeMap::new();
    for name in instances.iter().map(|i| &i.spec.blueprint) {
        if !all.contains_key(name) {
            let found = session.cluster.blueprints().get_opt(name).await;
            let found = found.map_err(|e| crate::error::api::problem(&format!("read blueprint {name}"), &e))?;
            all.insert(name.clone(), found.map(|b| b.spec));
        }
    }
    Ok(all.into_iter().filter_map(|(name, spec)| spec.map(|s| (name, s))).collect())
}
