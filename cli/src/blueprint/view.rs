//! Blueprints in lists and on pages. No I/O.

use jiff::Timestamp;
use kube::ResourceExt;
use tenantry_api::blueprint::{Blueprint, BlueprintSpec, Channel};
use tenantry_api::condition::find;

use crate::instance::view::{attention, condition_table, problems};
use crate::listing::{Listed, age};
use crate::output::page::Page;
use crate::output::table::Table;

impl Listed for Blueprint {
    fn headings(wide: bool) -> Vec<&'static str> {
        let mut all = vec!["NAME", "TITLE", "RELEASES", "VERIFIED", "VALID", "AGE"];
        if wide {
            all.extend(["DATABASE", "PROCESSES", "MESSAGE"]);
        }
        all
    }

    fn row(&self, wide: bool, now: Timestamp) -> Vec<String> {
        let (spec, status) = (&self.spec, self.status.clone().unwrap_or_default());
        let valid = find(&status.conditions, "Valid");
        let mut row = vec![
            self.name_any(),
            spec.title.clone(),
            spec.releases.iter().map(|r| r.version.clone()).collect::<Vec<_>>().join(", "),
            if spec.verified { "yes" } else { "no" }.to_owned(),
            valid.map_or_else(|| "Unknown".to_owned(), |c| c.status.clone()),
            age(self, now),
        ];
        if wide {
            row.extend([
                database(spec),
                spec.processes.iter().map(|p| p.name.clone()).collect::<Vec<_>>().join(", "),
                valid.map(|c| c.message.clone()).unwrap_or_default(),
            ]);
        }
        row
    }

    fn address(&self) -> String {
        self.name_any()
    }
}

fn database(spec: &BlueprintSpec) -> String {
    let Some(needs) = &spec.database else { return "none".into() };
    let engines: Vec<String> = needs
        .engines
        .iter()
        .map(|e| match e.min_version {
            0 => e.engine.word().to_owned(),
            n => format!("{} {n} or newer", e.engine.word()),
        })
        .collect();
    engines.join(" or ")
}

/// The page of a blueprint.
pub fn page(blueprint: &Blueprint, wide: bool, now: Timestamp) -> Page {
    let (spec, status) = (&blueprint.spec, blueprint.status.clone().unwrap_or_default());
    let mut page = Page::new(format!("{} · {}", blueprint.name_any(), spec.title));
    page.maybe("About", spec.description.as_deref());
    page.maybe("Homepage", spec.homepage.as_deref());
    page.fact(
        "Verified",
        if spec.verified { "yes: has been run end to end" } else { "no: written from its documentation, not run yet" },
    );
    page.table("Releases", releases(spec));
    page.fact("Database", database(spec));
    page.fact("Log-in", spec.admin.login.clone());
    let mut processes = Table::new(&["PROCESS", "PORT", "SERVES", "REPLICAS", "IMAGE"]);
    for p in &spec.processes {
        let replicas = format!("{} (at most {})", p.replicas.default, p.replicas.max);
        let serves = if p.serves { "yes" } else { "no" };
        let port = p.port.map(|p| p.to_string()).unwrap_or_default();
        let image = p.image.clone().unwrap_or_else(|| "the release's".into());
        processes.row(vec![p.name.clone(), port, serves.into(), replicas, image]);
    }
    page.table("Processes", processes);
    if !spec.settings.is_empty() {
        let mut settings = Table::new(&["SETTING", "DEFAULT", "ABOUT"]);
        for (name, s) in &spec.settings {
            let default = s.default.clone().unwrap_or_else(|| "must be given".into());
            settings.row(vec![name.clone(), default, s.description.clone().unwrap_or_default()]);
        }
        page.table("Settings", settings);
    }
    page.fact(
        "Verification",
        spec.verify.as_ref().map_or_else(|| "none".to_owned(), |v| crate::output::text::count(v.steps.len(), "step")),
    );
    page.fact(
        "Seats",
        if spec.seats.is_some() { "can be counted and held" } else { "cannot be held: the blueprint does not say how" },
    );
    if wide {
        page.table("Conditions", condition_table(&status.conditions, now));
    }
    attention(&mut page, problems(&blueprint.name_any(), &status.conditions, false, now));
    page
}

fn releases(spec: &BlueprintSpec) -> Table {
    let mut table = Table::new(&["VERSION", "CHANNEL", "SECURITY", "FOLLOWS", "IMAGE"]);
    for r in &spec.releases {
        let channel = match r.channel {
            Channel::Stable => "stable",
            Channel::Early => "early",
        };
        let security = if r.security { "yes" } else { "no" };
        table.row(vec![r.version.clone(), channel.into(), security.into(), r.follows.join(", "), r.image.clone()]);
    }
    table
}
