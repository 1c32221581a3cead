//! `tenantry database-server list` and `show`. Does I/O; what is printed is pure.

use clap::Subcommand;
use jiff::Timestamp;
use kube::{Api, ResourceExt};
use tenantry_api::condition::find;
use tenantry_api::database_server::{DatabaseServer, TemplateStatus};
use tenantry_core::address::authority;

use crate::args::Targets;
use crate::error::{Exit, Problem};
use crate::instance::view::{attention, condition_table, problems};
use crate::listing::{self, Listed, age};
use crate::output::Format;
use crate::output::page::Page;
use crate::output::table::Table;
use crate::output::text;
use crate::plan::size;
use crate::session::Session;
use crate::target::{self, SERVER};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Lists database servers
    #[command(visible_alias = "ls")]
    List(Args),
    /// Shows where they are, how full, and what needs attention
    Show(Args),
}

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub targets: Targets,
}

pub async fn run(command: &Command, session: &Session) -> Result<Exit, Problem> {
    let (api, now) = (Api::<DatabaseServer>::all(session.cluster.client.clone()), session.now());
    match command {
        Command::List(args) => {
            let all = target::some(session, &api, SERVER, &args.targets, true).await?;
            listing::list(
                &session.out,
                &all,
                now,
                "no database servers; tenants need one: the chart's value databaseServers",
            )
        }
        Command::Show(args) => {
            let all = target::some(session, &api, SERVER, &args.targets, false).await?;
            let wide = session.out.format == Format::Wide;
            listing::pages(&session.out, &all, |s| page(s, wide, now))
        }
    }
}

impl Listed for DatabaseServer {
    fn headings(wide: bool) -> Vec<&'static str> {
        let mut all = vec!["NAME", "STATE", "ENGINE", "VERSION", "DATABASES", "KIND", "AGE"];
        if wide {
            all.extend(["HOST", "ACCEPTING", "DEDICATED TO", "MESSAGE"]);
        }
        all
    }

    fn row(&self, wide: bool, now: Timestamp) -> Vec<String> {
        let (spec, status) = (&self.spec, self.status.clone().unwrap_or_default());
        let mut row = vec![
            self.name_any(),
            state(self),
            spec.engine.word().to_owned(),
            status.version.clone().unwrap_or_default(),
            databases(self),
            kind(self).to_owned(),
            age(self, now),
        ];
        if wide {
            row.extend([
                status.host.clone().unwrap_or_default(),
                if spec.accepting { "yes" } else { "no" }.to_owned(),
                spec.dedicated_to.clone().unwrap_or_default(),
                find(&status.conditions, "Ready").map(|c| c.message.clone()).unwrap_or_default(),
            ]);
        }
        row
    }

    fn address(&self) -> String {
        self.name_any()
    }
}

/// The state in one word.
pub fn state(server: &DatabaseServer) -> String {
    server.status.as_ref().map_or_else(|| "Pending".to_owned(), |s| format!("{:?}", s.phase))
}

fn kind(server: &DatabaseServer) -> &'static str {
    if server.spec.managed.is_some() { "managed" } else { "external" }
}

/// `12 of 200`; a number that is not known is never shown as 0.
fn databases(server: &DatabaseServer) -> String {
    let used = server.status.as_ref().and_then(|s| s.databases);
    let used = used.map_or_else(|| "unknown".to_owned(), |n| n.to_string());
    server.spec.max_databases.map_or_else(|| used.clone(), |max| format!("{used} of {max}"))
}

/// The templates that databases are copied from.
fn templates(all: &[TemplateStatus], wide: bool, now: Timestamp) -> Table {
    let mut table = Table::new(&["BLUEPRINT", "RELEASE", "STATE", "SINCE"]);
    for one in all {
        let hash = if wide { one.release_hash.clone() } else { one.release_hash.chars().take(10).collect() };
        let since = one.since.parse().map_or_else(|_| one.since.clone(), |since| text::age(since, now));
        table.row(vec![one.blueprint.clone(), hash, one.state.clone(), since]);
    }
    table
}

fn page(server: &DatabaseServer, wide: bool, now: Timestamp) -> Page {
    let (spec, status) = (&server.spec, server.status.clone().unwrap_or_default());
    let version = status.version.clone().unwrap_or_else(|| "version unknown".into());
    let mut page = Page::new(format!("{} · {} {version} · {}", server.name_any(), spec.engine.word(), kind(server)));
    page.state("State", state(server), "");
    let counted = if status.databases.is_none() { "not counted yet: the server has not answered" } else { "" };
    page.noted("Databases", databases(server), counted);
    match (&status.host, status.port) {
        (Some(host), Some(port)) => page.fact("Address", authority(host, port)),
        (Some(host), None) => page.fact("Address", host.clone()),
        (None, _) => page.fact("Address", "unknown: not set up yet"),
    };
    page.fact("Accepting", if spec.accepting { "yes" } else { "no: new databases go elsewhere" });
    page.fact("Connections", format!("{} for each tenant at most", spec.connections_per_tenant));
    page.maybe("Dedicated to", spec.dedicated_to.as_deref());
    if let Some(managed) = &spec.managed {
        page.fact("Volume", size(&managed.storage));
        page.fact("Image", managed.image.clone());
    }
    if let Some(external) = &spec.external {
        page.noted("Log-in", format!("Secret {}", external.secret_name), "in the operator's namespace");
        page.fact("Encrypted", if external.tls { "yes" } else { "no" });
    }
    if !status.templates.is_empty() {
        page.table("Templates", templates(&status.templates, wide, now));
    }
    if wide {
        page.table("Conditions", condition_table(&status.conditions, now));
    }
    let archiving = server.metadata.deletion_timestamp.is_some();
    attention(&mut page, problems(&server.name_any(), &status.conditions, archiving, now));
    page
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_server_shows_its_templates() {
        let server: DatabaseServer = serde_json::from_value(json!({
            "apiVersion": "tenantry.dev/v1alpha1", "kind": "DatabaseServer", "metadata": { "name": "pg" },
            "spec": { "engine": "postgresql", "managed": { "image": "pg:15", "storage": "50G" } },
            "status": { "databases": 3, "templates": [{ "blueprint": "tryton", "releaseHash": "0123456789abcdef",
                "state": "template", "since": "2026-01-01T00:00:00Z" }] },
        }))
        .unwrap();
        let now = "2026-01-03T00:00:00Z".parse().unwrap();
        let table = templates(&server.status.unwrap().templates, false, now);
        let text = table.render(&crate::output::paint::Paint::default(), None);
        let cells: Vec<_> = text.lines().last().unwrap_or_default().split_whitespace().collect();
        assert_eq!(cells, ["tryton", "0123456789", "template", "2", "d"]);
    }
}
