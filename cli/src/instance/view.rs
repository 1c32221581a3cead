//! Instances in lists and on pages, and what needs attention. No I/O.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;
use tenantry_api::blueprint::BlueprintSpec;
use tenantry_api::condition::find;
use tenantry_api::crm_instance::{CrmInstance, InstancePhase};
use tenantry_api::integration::IntegrationState;
use tenantry_api::scheduling::{Scheduling, Toleration};

use super::settings;
use crate::listing::{Listed, age};
use crate::output::page::Page;
use crate::output::table::Table;
use crate::output::text::{age as since, relative_text};
use crate::program::command;
use crate::target::address_of;

impl Listed for CrmInstance {
    fn headings(wide: bool) -> Vec<&'static str> {
        let mut all = vec!["NAME", "PRODUCT", "STATE", "URL", "AGE"];
        if wide {
            all.extend(["ENVIRONMENT", "DATABASE", "SERVER", "NAMESPACE", "MESSAGE"]);
        }
        all
    }

    fn row(&self, wide: bool, now: Timestamp) -> Vec<String> {
        let status = self.status.clone().unwrap_or_default();
        let mut row =
            vec![address_of(self), product(self), state(self), status.url.clone().unwrap_or_default(), age(self, now)];
        if wide {
            let database = status.database.clone().unwrap_or_default();
            row.extend([
                self.spec.environment.word().to_owned(),
                database.name,
                database.server,
                self.namespace().unwrap_or_default(),
                find(&status.conditions, "Ready").map(|c| c.message.clone()).unwrap_or_default(),
            ]);
        }
        row
    }

    fn address(&self) -> String {
        address_of(self)
    }
}

/// `tryton 7.0`.
pub fn product(instance: &CrmInstance) -> String {
    let pinned = instance.status.as_ref().and_then(|s| s.release.clone());
    let release = pinned.or_else(|| instance.spec.release.clone()).unwrap_or_default();
    format!("{} {release}", instance.spec.blueprint).trim_end().to_owned()
}

/// The state in one word.
pub fn state(instance: &CrmInstance) -> String {
    if instance.metadata.deletion_timestamp.is_some() {
        return "Archiving".into();
    }
    instance.status.as_ref().map_or_else(|| "Pending".to_owned(), |s| format!("{:?}", s.phase))
}

/// The page of an instance. A setting is shown only when the blueprint is known and calls the setting open.
pub fn page(instance: &CrmInstance, blueprint: Option<&BlueprintSpec>, wide: bool, now: Timestamp) -> Page {
    let (spec, status) = (&instance.spec, instance.status.clone().unwrap_or_default());
    let mut page = Page::new(format!("{} · {} · {}", address_of(instance), product(instance), spec.environment.word()));
    let ready = find(&status.conditions, "Ready");
    let held = ready.map(|c| format!("since {}", since(c.last_transition_time.0, now))).unwrap_or_default();
    page.state("State", state(instance), held);
    page.fact("URL", status.url.clone().unwrap_or_else(|| "unknown: it has never been ready".into()));
    let password = command(&format!("instance password {} --once", address_of(instance)));
    page.fact("Password", password);
    match &status.database {
        Some(d) => page.fact("Database", format!("{} on {}", d.name, d.server)),
        None => page.fact("Database", "none yet"),
    };
    match &status.installed_at {
        Some(at) => page.noted("Installed", relative_text(at, now), at.clone()),
        None => page.fact("Installed", "not yet: the first verification has not passed"),
    };
    for (process, pods) in &spec.replicas {
        page.fact("Pods", format!("{pods} of {process}"));
    }
    for (key, value) in spec.scheduling.as_ref().map(placed).unwrap_or_default() {
        page.fact(key, value);
    }
    for (key, shown) in settings::hide::lines(instance, blueprint) {
        page.fact(&format!("  {key}"), shown);
    }
    for i in &status.integrations {
        page.noted(&i.name, i.state.word(), i.message.clone());
    }
    if let Some(from) = &spec.from {
        let neutral = tenantry_api::condition::holds(&status.conditions, "Neutralised");
        let note =
            if neutral { "neutralised: it cannot write to customers" } else { "not neutralised yet: nothing runs" };
        page.noted("Copy of", format!("{}/{}", spec.tenant, from.instance), note);
    }
    if let Some(at) = &spec.expires {
        page.noted("Ends", relative_text(at, now), format!("{at}: it is archived then"));
    }
    if let Some(adopted) = &spec.adopt {
        page.noted("Came from", adopted.clone(), "an archive");
    }
    if wide {
        page.fact("Id", spec.id.clone().unwrap_or_else(|| "not minted yet".into()));
        page.fact("Namespace", instance.namespace().unwrap_or_default());
        let generation = status.data_generation.map_or_else(|| "none yet".to_owned(), |g| g.to_string());
        page.noted("Data", generation, "generation in use");
        page.maybe("Release hash", status.release_hash.as_deref());
        page.table("Conditions", condition_table(&status.conditions, now));
    }
    attention(&mut page, troubles(instance, now));
    page
}

/// Where the pods may run, in words; only what was asked for is listed.
fn placed(wish: &Scheduling) -> Vec<(&'static str, String)> {
    let mut all = Vec::new();
    if !wish.node_selector.is_empty() {
        let labels: Vec<String> = wish.node_selector.iter().map(|(key, value)| format!("{key}={value}")).collect();
        all.push(("Nodes", format!("only with {}", labels.join(", "))));
    }
    if !wish.tolerations.is_empty() {
        let taint = |t: &Toleration| {
            let value = t.value.as_ref().map(|v| format!("={v}")).unwrap_or_default();
            let effect = t.effect.map(|e| format!(":{e:?}")).unwrap_or_default();
            format!("{}{value}{effect}", t.key.as_deref().unwrap_or("any"))
        };
        let taints: Vec<String> = wish.tolerations.iter().map(taint).collect();
        all.push(("Bears taints", taints.join(", ")));
    }
    if !wish.spread {
        all.push(("Spread", "not over several nodes".to_owned()));
    }
    all
}

/// Conditions as a table.
pub fn condition_table(conditions: &[Condition], now: Timestamp) -> Table {
    let mut table = Table::new(&["CONDITION", "STATUS", "SINCE", "REASON", "MESSAGE"]);
    for c in conditions {
        table.row(vec![
            c.type_.clone(),
            c.status.clone(),
            since(c.last_transition_time.0, now),
            c.reason.clone(),
            c.message.clone(),
        ]);
    }
    table
}

/// The end of a page: what needs attention.
pub fn attention(page: &mut Page, troubles: Vec<String>) {
    if troubles.is_empty() {
        page.text("Nothing needs attention.");
        return;
    }
    page.text("Needs attention");
    for trouble in troubles {
        page.text(format!("  {}", crate::output::text::clean(&trouble)));
    }
}

/// What needs attention at an instance.
pub fn troubles(instance: &CrmInstance, now: Timestamp) -> Vec<String> {
    let address = address_of(instance);
    match &instance.status {
        None => vec![format!("{address}: the operator has not looked at it yet")],
        Some(status) if status.phase == InstancePhase::Suspended => Vec::new(),
        Some(status) => {
            let archiving = instance.metadata.deletion_timestamp.is_some();
            let mut all = problems(&address, &status.conditions, archiving, now);
            let silent = status.integrations.iter().filter(|_| !archiving).filter(|i| is_trouble(i.state));
            all.extend(silent.map(|i| format!("{address}: {} {}: {}", i.name, i.state.word(), i.message)));
            all
        }
    }
}

fn is_trouble(state: IntegrationState) -> bool {
    matches!(state, IntegrationState::Unreachable | IntegrationState::Refused)
}

/// Conditions that do not hold. `Ready` is left out when another condition says why.
pub fn problems(name: &str, conditions: &[Condition], archiving: bool, now: Timestamp) -> Vec<String> {
    let broken: Vec<&Condition> =
        conditions.iter().filter(|c| c.status == "False" && (archiving || c.type_ != "Archived")).collect();
    let only_ready = broken.iter().all(|c| c.type_ == "Ready");
    broken
        .iter()
        .filter(|c| only_ready || c.type_ != "Ready")
        .map(|c| {
            let since = since(c.last_transition_time.0, now);
            format!("{name}: {} does not hold since {since}: {}", c.type_, crate::progress::steps::said(c))
        })
        .collect()
}
