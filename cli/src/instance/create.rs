//! `tenantry instance create`: one more instance of a tenant. Does I/O.

use clap::builder::TypedValueParser;
use jiff::tz::TimeZone;
use kube::ResourceExt;
use tenantry_api::crm_instance::Environment;

use super::{copy, make, track, view};
use crate::args::{DryRun, WaitArgs, pair};
use crate::error::{Exit, Problem};
use crate::listing;
use crate::progress::Progress;
use crate::session::Session;
use crate::target;
use crate::tenant::fields::words;
use crate::wait::Until;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The new instance, for example acme/staging
    #[arg(value_name = "TENANT/INSTANCE")]
    pub name: String,
    /// Its tenant, when the name is given without
    #[arg(long, value_name = "TENANT")]
    pub tenant: Option<String>,
    /// What it is.
    #[command(flatten)]
    pub product: Asked,
    /// What it is for; only production counts as billed seats. A copy is staging unless said otherwise
    #[arg(long, value_name = "KIND", value_parser = environment())]
    pub environment: Option<Environment>,
    /// Whether it is a copy.
    #[command(flatten)]
    pub copy: Copying,
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

/// What an instance is; a copy takes over what is not given.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Product")]
pub struct Asked {
    /// Blueprint
    #[arg(long, value_name = "NAME", required_unless_present = "from", conflicts_with = "from", add = crate::completion::blueprints())]
    pub blueprint: Option<String>,
    /// Version of the release; the newest of the stable channel when not given
    #[arg(long, value_name = "VERSION", conflicts_with = "from")]
    pub release: Option<String>,
    /// Host under which it answers; of a copy NAME-HOST beside its original when not given
    #[arg(long, value_name = "HOST", required_unless_present = "from", value_parser = super::make::host)]
    pub host: Option<String>,
    /// What need not be told.
    #[command(flatten)]
    pub choices: make::Choices,
}

/// A copy, and its end.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Copy for staging")]
pub struct Copying {
    /// Begins with database and files of this instance of the same tenant, kept from writing to customers
    #[arg(long, value_name = "TENANT/INSTANCE", add = crate::completion::instances())]
    pub from: Option<String>,
    /// When it ends by itself and is archived: a time from now (12h, 7d) or the end of a day (2026-12-31)
    #[arg(long, value_name = "WHEN")]
    pub expires: Option<String>,
}

impl Asked {
    /// A product of its own; clap has seen to what must be given.
    fn own(&self) -> make::Product {
        make::Product {
            blueprint: self.blueprint.clone().unwrap_or_default(),
            release: self.release.clone(),
            host: self.host.clone().unwrap_or_default(),
            choices: self.choices.clone(),
        }
    }
}

/// What an instance is for, as an argument.
pub fn environment() -> impl TypedValueParser<Value = Environment> {
    words::<Environment>(Environment::ALL.map(Environment::word))
}

/// Runs it.
pub async fn run(args: &Args, session: &Session) -> Result<Exit, Problem> {
    let until = Until::after(args.wait.timeout);
    let name = copy::address(&args.name, args.tenant.as_deref())?;
    let environment = copy::environment(args)?;
    let ends = args.copy.expires.as_deref();
    let ends = ends.map(|text| copy::expires(text, session.now(), &TimeZone::system())).transpose()?;
    let original = match &args.copy.from {
        Some(from) => Some(target::instance(session, &copy::original(from, &name)?).await?.1),
        None => None,
    };
    let product = match &original {
        Some(original) => {
            let of = &original.spec.blueprint;
            let blueprint = target::one(session, &session.cluster.blueprints(), target::BLUEPRINT, of).await?;
            copy::product(args, &name.instance, original, &blueprint.spec)
        }
        None => args.product.own(),
    };
    let blueprint = make::checked(session, &product).await?;
    let tenant = target::tenant(session, &name.tenant).await?;
    let mut spec = make::spec(&tenant.name_any(), &product)?;
    spec.environment = environment;
    spec.expires = ends.map(copy::written);
    if let Some(original) = &original {
        spec = copy::from(spec, &product.choices.size, original);
    }
    let new = make::instance(&tenant, &name.instance, spec, &args.labels)?;
    if args.dry.dry_run {
        let made = make::rehearsed(session, &new).await?;
        return listing::changed(&session.out, &[made], &format!("{name} would be created (dry run)"));
    }
    session.leave.goes_on("the instance may be stored", "look", &format!("instance list {}", name.tenant));
    let mut made = make::stored(session, &tenant, new).await?;
    if !args.wait.wait {
        let watch = crate::program::command(&format!("instance show {name} --wait"));
        let stored = match &original {
            Some(original) => copy::told(&name, original),
            None => format!("{name} is stored; the operator sets it up now"),
        };
        let text = format!("{stored}\n  watch  {watch}");
        return listing::changed(&session.out, &[made], &text);
    }
    let mut progress = Progress::new(&session.out);
    made = track::until_ready(session, &made, until, &mut progress).await?;
    progress.end();
    let page =
        view::page(&made, Some(&blueprint.spec), false, session.now()).render(&session.out.paint, session.out.columns);
    listing::changed(&session.out, &[made], &page)
}
