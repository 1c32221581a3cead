//! `tenantry instance create`: one more instance of a tenant. Does I/O.

use jiff::tz::TimeZone;
use kube::ResourceExt;

pub use super::create_args::Args;
use super::{copy, make, track, view};
use crate::error::{Exit, Problem};
use crate::listing;
use crate::progress::Progress;
use crate::session::Session;
use crate::target;
use crate::wait::Until;

pub async fn run(args: &Args, session: &Session) -> Result<Exit, Problem> {
    let until = Until::after(args.change.wait.timeout);
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
    if args.change.dry.dry_run {
        let made = make::rehearsed(session, &new).await?;
        return listing::changed(&session.out, &[made], &format!("{name} would be created (dry run)"));
    }
    session.leave.goes_on("the instance may be stored", "look", &format!("instance list {}", name.tenant));
    let mut made = make::stored(session, &tenant, new).await?;
    if !args.change.wait.wait {
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
