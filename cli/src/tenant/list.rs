//! `tenantry tenant list` and `show`. Does I/O.

use serde_json::json;

use super::view;
use crate::args::Targets;
use crate::error::{Exit, Problem};
use crate::listing;
use crate::output::{Format, document};
use crate::session::Session;
use crate::target;

#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// All tenants when none is named.
    #[command(flatten)]
    pub targets: Targets,
}

#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    #[command(flatten)]
    pub targets: Targets,
}

pub async fn list(args: &ListArgs, session: &Session) -> Result<Exit, Problem> {
    let all = target::tenants(session, &args.targets, true).await?;
    let create = crate::program::command("tenant create NAME --blueprint B --plan P --host H");
    listing::list(&session.out, &all, session.now(), &format!("no tenants; create one: {create}"))
}

pub async fn show(args: &ShowArgs, session: &Session) -> Result<Exit, Problem> {
    let tenants = target::tenants(session, &args.targets, false).await?;
    let out = &session.out;
    let mut shown = Vec::with_capacity(tenants.len());
    for tenant in tenants {
        // Without an id, the tenant has no namespace yet, and so no instances.
        let instances = if tenant.spec.id.is_some() { target::of_tenant(session, &tenant).await? } else { Vec::new() };
        shown.push((tenant, instances));
    }
    match out.format {
        Format::Name => shown.iter().for_each(|(t, _)| out.line(&listing::Listed::address(t))),
        Format::Json | Format::Yaml => {
            let all: Vec<_> = shown.iter().map(|(t, i)| json!({"tenant": t, "instances": i})).collect();
            match all.as_slice() {
                [one] => out.document(one)?,
                several => out.document(&document::list(several))?,
            }
        }
        Format::Text | Format::Wide => {
            let (wide, now) = (out.format == Format::Wide, session.now());
            let pages: Vec<String> =
                shown.iter().map(|(t, i)| view::page(t, i, wide, now).render(&out.paint, out.columns)).collect();
            out.line(&pages.join("\n\n"));
        }
    }
    Ok(Exit::DONE)
}
