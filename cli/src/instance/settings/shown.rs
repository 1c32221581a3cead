//! The settings of an instance on a page and as a document. No I/O.

use jiff::Timestamp;
use serde_json::{Value, json};
use tenantry_api::blueprint::BlueprintSpec;
use tenantry_api::crm_instance::CrmInstance;

use super::hide::{DOTS, is_open};
use crate::output::page::Page;
use crate::output::table::Table;
use crate::output::text::relative_text;
use crate::target::address_of;

/// One setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub name: String,
    /// The value, or what is shown in its place.
    pub value: String,
    /// `default`, `spec` or `secret`; `missing` when it must be given and is not.
    pub from: &'static str,
    /// Whether the value itself is shown.
    pub open: bool,
    /// Integration to which it belongs.
    pub integration: String,
    /// What the setting does.
    pub about: String,
}

/// All settings: those that the blueprint offers, and others that the instance has all the same.
pub fn rows(instance: &CrmInstance, blueprint: Option<&BlueprintSpec>) -> Vec<Row> {
    let spec = &instance.spec;
    let offered = blueprint.map(|b| b.settings.keys()).into_iter().flatten();
    let mut names: Vec<&String> = offered.chain(spec.settings.keys()).chain(spec.settings_from.keys()).collect();
    names.sort();
    names.dedup();
    names.into_iter().map(|name| row(name, instance, blueprint)).collect()
}

fn row(name: &str, instance: &CrmInstance, blueprint: Option<&BlueprintSpec>) -> Row {
    let spec = &instance.spec;
    let declared = blueprint.and_then(|b| b.settings.get(name));
    let default = declared.and_then(|s| s.default.as_ref());
    let (value, from) = match (spec.settings_from.get(name), spec.settings.get(name), default) {
        (Some(s), _, _) => (format!("(Secret {}, key {})", s.secret, s.key), "secret"),
        (_, Some(value), _) => (value.clone(), "spec"),
        (_, _, Some(default)) => (default.clone(), "default"),
        _ => (String::new(), "missing"),
    };
    let open = from != "secret" && (from == "default" || value.is_empty() || is_open(name, blueprint));
    let value = if open || from == "secret" { value } else { DOTS.to_owned() };
    let integrations = blueprint.map(|b| b.integrations.as_slice()).unwrap_or_default();
    let of: Vec<&str> =
        integrations.iter().filter(|i| i.settings.iter().any(|s| s == name)).map(|i| i.name.as_str()).collect();
    let about = match declared {
        Some(setting) => setting.description.clone().unwrap_or_default(),
        None => "the blueprint does not have this setting".into(),
    };
    Row { name: name.to_owned(), value, from, open, integration: of.join(", "), about }
}

/// The integrations as the operator last saw them.
pub fn integrations(instance: &CrmInstance, now: Timestamp) -> Table {
    let mut table = Table::new(&["INTEGRATION", "STATE", "SINCE", "MESSAGE"]);
    for i in instance.status.iter().flat_map(|s| &s.integrations) {
        let since = i.since.as_deref().map(|at| relative_text(at, now)).unwrap_or_default();
        table.row(vec![i.name.clone(), i.state.word().to_owned(), since, i.message.clone()]);
    }
    table
}

pub fn page(instance: &CrmInstance, blueprint: Option<&BlueprintSpec>, now: Timestamp) -> Page {
    let mut page = Page::new(format!("{} · settings", address_of(instance)));
    if blueprint.is_none() {
        page.text(format!("blueprint {} does not exist any more: values are not shown", instance.spec.blueprint));
    }
    let mut table = Table::new(&["SETTING", "VALUE", "FROM", "INTEGRATION", "ABOUT"]);
    for r in rows(instance, blueprint) {
        table.row(vec![r.name, r.value, r.from.to_owned(), r.integration, r.about]);
    }
    page.table("Settings", table);
    if instance.status.as_ref().is_some_and(|s| !s.integrations.is_empty()) {
        page.table("Integrations", integrations(instance, now));
    }
    page
}

pub fn document(instance: &CrmInstance, blueprint: Option<&BlueprintSpec>) -> Value {
    let settings: Vec<Value> = rows(instance, blueprint)
        .into_iter()
        .map(|r| {
            let value = r.open.then_some(r.value);
            let source = instance.spec.settings_from.get(&r.name);
            let secret = source.map(|s| json!({"name": s.secret, "key": s.key}));
            json!({"name": r.name, "from": r.from, "value": value, "secret": secret,
                "hidden": !r.open, "integration": r.integration, "description": r.about})
        })
        .collect();
    let integrations = instance.status.as_ref().map(|s| s.integrations.clone()).unwrap_or_default();
    json!({"instance": address_of(instance), "settings": settings, "integrations": integrations})
}
