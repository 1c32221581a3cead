//! `tenantry instance create`: one more instance of a tenant. Does I/O.

use clap::builder::TypedValueParser;
use kube::ResourceExt;
use tenantry_api::crm_instance::Environment;

use super::{make, track, view};
use crate::args::{DryRun, WaitArgs, pair};
use crate::error::{Exit, Problem};
use crate::listing;
use crate::progress::Progress;
use crate::session::Session;
use crate::target::{self, Address};
use crate::tenant::fields::words;
use crate::wait::Until;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The new instance, for example acme/staging
    #[arg(value_name = "TENANT/INSTANCE")]
    pub name: Address,
    /// What it is.
    #[command(flatten)]
    pub product: make::Product,
    /// What it is for; only production counts as billed seats
    #[arg(long, value_name = "KIND", default_value = "production", value_parser = environment())]
    pub environment: Environment,
    /// Label, for -l; can be repeated
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = pair)]
    pub labels: Vec<(String, String)>,
    /// Waiting.
    #[command(flatten)]
    pub wait: WaitArgs,
    /// Dry run.
    #[command(flatten)]
    pub dry: DryRun,
}

fn environment() -> impl TypedValueParser<Value = Environment> {
    words::<Environment>(["production", "staging", "rehearsal"])
}

/// Runs it.
pub async fn run(args: &Args, session: &Session) -> Result<Exit, Problem> {
    let until = Until::after(args.wait.timeout);
    let blueprint = make::checked(session, &args.product).await?;
    let tenant = target::tenant(session, &args.name.tenant).await?;
    let mut spec = make::spec(&tenant.name_any(), &args.product)?;
    spec.environment = args.environment;
    let new = make::instance(&tenant, &args.name.instance, spec, &args.labels)?;
    if args.dry.dry_run {
        let made = make::rehearsed(session, &new).await?;
        return listing::changed(&session.out, &[made], &format!("{} would be created (dry run)", args.name));
    }
    session.leave.goes_on("the instance may be stored", "look", &format!("instance list {}", args.name.tenant));
    let mut made = make::stored(session, &tenant, new).await?;
    if !args.wait.wait {
        let watch = crate::program::command(&format!("instance show {} --wait", args.name));
        let text = format!("{} is stored; the operator sets it up now\n  watch  {watch}", args.name);
        return listing::changed(&session.out, &[made], &text);
    }
    let mut progress = Progress::new(&session.out);
    made = track::until_ready(session, &made, until, &mut progress).await?;
    progress.end();
    let page =
        view::page(&made, Some(&blueprint.spec), false, session.now()).render(&session.out.paint, session.out.columns);
    listing::changed(&session.out, &[made], &page)
}
