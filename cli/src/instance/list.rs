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

/// Arguments of `list`.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// Which ones: TENANT or TENANT/INSTANCE; all when none is named.
    #[command(flatten)]
    pub targets: Targets,
    /// Only in this namespace
    #[arg(short, long, value_name = "NAME")]
    pub namespace: Option<String>,
}

/// Arguments of `show`.
#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    /// Which ones.
    #[command(flatten)]
    pub targets: Targets,
    /// Waiting: until they are ready.
    #[command(flatten)]
    pub wait: WaitArgs,
}

/// Lists them.
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

/// Shows them.
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
