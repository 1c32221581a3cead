//! `tenantry instance list` and `show`. Does I/O.

use super::{settings, track, view};
use crate::args::{Targets, WaitArgs};
use crate::error::{Exit, Problem};
use crate::listing;
use crate::output::Format;
use crate::progress::Progress;
use crate::session::Session;
use crate::target;
use crate::wait::Until;

#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// TENANT or TENANT/INSTANCE; all instances when none is named.
    #[command(flatten)]
    pub targets: Targets,
    /// Only in this namespace
    #[arg(short, long, value_name = "NAME")]
    pub namespace: Option<String>,
}

#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    #[command(flatten)]
    pub targets: Targets,
    /// Waits until the instances are ready.
    #[command(flatten)]
    pub wait: WaitArgs,
}

pub async fn list(args: &ListArgs, session: &Session) -> Result<Exit, Problem> {
    let mut all = target::instances(session, &args.targets, true).await?;
    if let Some(namespace) = &args.namespace {
        all.retain(|i| i.metadata.namespace.as_ref() == Some(namespace));
    }
    all.sort_by_key(target::address_of);
    settings::hidden(session, &mut all).await?;
    let create = crate::program::command("instance create TENANT/INSTANCE --blueprint B --host H");
    listing::list(&session.out, &all, session.now(), &format!("no instances; create one: {create}"))
}

pub async fn show(args: &ShowArgs, session: &Session) -> Result<Exit, Problem> {
    let mut all = target::instances(session, &args.targets, false).await?;
    if args.wait.wait {
        let (until, mut progress) = (Until::after(args.wait.timeout), Progress::new(&session.out));
        for instance in &mut all {
            *instance = track::until_ready(session, instance, until, &mut progress).await?;
        }
    }
    let (wide, now) = (session.out.format == Format::Wide, session.now());
    let blueprints = settings::blueprints(session, &all).await?;
    settings::hidden(session, &mut all).await?;
    listing::pages(&session.out, &all, |i| view::page(i, blueprints.get(&i.spec.blueprint), wide, now))
}
