//! Values that only `personalise` uses: settings, and fields such as the host, the time zone or the tenant's display
//! name. `personalise` runs when an instance is made, so a later change of these values has no effect. No I/O.
//!
//! `personalise` is not run again when they change. People later change what it has set (the administrator's password,
//! names, mail servers), and a second run would undo their changes.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;
use tenantry_api::blueprint::{BlueprintSpec, Probe};
use tenantry_api::condition::ConditionType;
use tenantry_core::hash::sha256_hex;
use tenantry_core::secret::Secret;
use tenantry_core::template;

/// The condition that reports whether all settings of an instance are in use.
pub const CONDITION: ConditionType = ConditionType::SettingsApplied;
/// What people may change about an instance besides its settings, under the names that templates use. Ids and names
/// never change; nobody chooses the database's access or the application's own keys.
const FIELDS: [&str; 8] = [
    "instance.host",
    "instance.url",
    "instance.admin_email",
    "instance.time_zone",
    "tenant.display_name",
    "plan.name",
    "plan.seats",
    "plan.storage_bytes",
];
/// Characters of a fingerprint that are kept: enough to tell values apart, and of no help in guessing a value.
const PRINT: usize = 16;

/// Names of the settings that `personalise` uses and that no other part of the instance uses.
#[must_use]
pub fn only_personalise(spec: &BlueprintSpec) -> BTreeSet<&str> {
    let is_once = is_once(spec);
    spec.settings.keys().map(String::as_str).filter(|s| is_once("settings", s)).collect()
}

/// Fields such as `instance.time_zone` that `personalise` uses and that no other part of the instance uses.
#[must_use]
pub fn fields_only_personalise(spec: &BlueprintSpec) -> Vec<&'static str> {
    let is_once = is_once(spec);
    FIELDS.into_iter().filter(|f| f.split_once('.').is_some_and(|(root, field)| is_once(root, field))).collect()
}

/// The values of these settings and fields, by name. `values` holds the template values of the instance.
#[must_use]
pub fn given_once(spec: &BlueprintSpec, values: &Value) -> BTreeMap<String, String> {
    let settings =
        only_personalise(spec).into_iter().map(|name| (name, values.get("settings").and_then(|s| s.get(name))));
    let fields = fields_only_personalise(spec).into_iter();
    // A value that an instance does not have, such as a number of seats, may be given later. So its absence counts as a
    // value.
    let field = |name: &str| values.pointer(&format!("/{}", name.replace('.', "/"))).unwrap_or(&Value::Null);
    let fields = fields.map(|name| (name, Some(field(name))));
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    settings.chain(fields).filter_map(|(name, value)| Some((name.to_owned(), text(value?)))).collect()
}

/// Returns a test for a root and a field: whether `personalise` uses the field and nothing else does. A template that
/// uses a root as a whole uses each of its fields.
fn is_once(spec: &BlueprintSpec) -> impl Fn(&str, &str) -> bool {
    let (living, once) = (living(spec), once(spec));
    move |root, field| {
        let name = format!("{root}.{field}");
        let uses = |named: &[String]| named.iter().any(|v| v == root || *v == name);
        uses(&once) && !uses(&living)
    }
}

/// Variables used by the parts that an instance runs with at all times. Not included: checks of integrations and the
/// verification, which only ask, and installs and copies, which happen before the instance exists.
fn living(spec: &BlueprintSpec) -> Vec<String> {
    let probe = |p: &Probe| {
        let path = p.http.iter().map(|h| h.path.clone());
        path.chain(p.command.iter().flatten().cloned()).collect::<Vec<_>>()
    };
    let mut living: Vec<&String> = spec.files.iter().map(|f| &f.content).chain(spec.env.values()).collect();
    living.extend(spec.processes.iter().flat_map(|p| p.command.iter().chain(p.env.values())));
    living.extend(spec.schedules.iter().flat_map(|s| s.command.iter().chain(s.env.values())));
    let probes: Vec<String> =
        spec.processes.iter().flat_map(|p| p.readiness.iter().chain(&p.liveness)).flat_map(probe).collect();
    living.extend(&probes);
    variables(&living)
}

/// Variables that `personalise` uses.
fn once(spec: &BlueprintSpec) -> Vec<String> {
    let steps = spec.personalise.iter().flat_map(|list| &list.steps);
    variables(
        &steps.flat_map(|s| s.command.iter().chain(&s.sql).chain(&s.stdin).chain(s.env.values())).collect::<Vec<_>>(),
    )
}

/// Variables that some templates use. A template that cannot be read counts as using none; that is reported as a
/// problem elsewhere.
fn variables(sources: &[&String]) -> Vec<String> {
    sources.iter().filter_map(|s| template::check("made-with", s).ok()).flatten().collect()
}

/// Fingerprints of some values: they show whether a value has changed but not what it is. `key` is a secret of the
/// instance, so that a fingerprint does not help anybody who guesses values.
#[must_use]
pub fn prints(values: &BTreeMap<String, String>, key: &Secret) -> BTreeMap<String, String> {
    #[derive(Serialize)]
    struct Printed<'a>(&'a str, &'a str, &'a str);
    let print = |name: &str, value: &str| {
        let text = serde_json::to_string(&Printed(key.reveal(), name, value)).unwrap_or_default();
        let mut print = sha256_hex(text.as_bytes());
        print.truncate(PRINT);
        print
    };
    values.iter().map(|(name, value)| (name.clone(), print(name, value))).collect()
}

/// Names of the values that differ from the values with which the instance was made.
#[must_use]
pub fn changed<'a>(made: &BTreeMap<String, String>, now: &'a BTreeMap<String, String>) -> Vec<&'a str> {
    let other = now.iter().filter(|(name, print)| made.get(*name).is_some_and(|m| m != *print));
    other.map(|(name, _)| name.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn blueprint() -> BlueprintSpec {
        serde_json::from_value(json!({
            "title": "A product", "releases": [{ "version": "1", "image": "p:1" }],
            "settings": { "company": {}, "mail": {}, "both": {}, "theme": {}, "unused": {} },
            "files": [{ "path": "/etc/p", "content": "{% if settings.both %}{{ settings.theme }}{% endif %}" }],
            "personalise": { "steps": [
                { "name": "a", "sql": "SELECT {{ settings.company | sql_quote }}, {{ settings.both | sql_quote }}" },
                { "name": "b", "command": ["set"], "env": { "MAIL": "{{ settings.mail }}" } },
            ]},
            "processes": [{ "name": "web", "serves": true, "port": 80 }],
        }))
        .unwrap()
    }

    #[test]
    fn a_setting_that_anything_else_uses_is_not_for_personalise_alone() {
        let mut spec = blueprint();
        assert_eq!(only_personalise(&spec), ["company", "mail"].into());
        spec.env.insert("MAIL".into(), "{{ settings.mail }}".into());
        assert_eq!(only_personalise(&spec), ["company"].into());
        spec.env.insert("ALL".into(), "{{ settings | tojson }}".into());
        assert_eq!(only_personalise(&spec), BTreeSet::new());
    }

    #[test]
    fn fields_that_only_personalise_uses_are_given_once_like_settings() {
        let mut spec = blueprint();
        let sql = "SELECT {{ instance.time_zone | sql_quote }}, {{ (tenant.display_name or tenant.name) | sql_quote }}";
        let steps =
            json!([{ "name": "a", "sql": sql }, { "name": "b", "sql": "SELECT {{ settings.company | sql_quote }}" }]);
        spec.personalise = serde_json::from_value(json!({ "steps": steps })).unwrap();
        let values = json!({
            "settings": { "company": "Acme", "mail": "mx" }, "plan": { "seats": 5 }, "admin": { "password": "p" },
            "instance": { "time_zone": "Asia/Ho_Chi_Minh", "host": "crm.acme.vn" },
            "tenant": { "name": "acme", "display_name": null },
        });
        let names = |spec: &BlueprintSpec| given_once(spec, &values).into_keys().collect::<Vec<_>>();
        assert_eq!(names(&spec), ["company", "instance.time_zone", "tenant.display_name"]);
        spec.env.insert("TZ".into(), "{{ instance.time_zone }}".into());
        spec.env.insert("PLAN".into(), "{{ plan | tojson }}".into());
        assert_eq!(names(&spec), ["company", "tenant.display_name"]);
        spec.personalise = serde_json::from_value(json!({ "steps": [{ "name": "a", "sql": "SELECT {{ instance | tojson | sql_quote }}, {{ admin.password | sql_quote }}" }] })).unwrap();
        let all = ["instance.admin_email", "instance.host", "instance.url"];
        assert_eq!(names(&spec), all, "all of it but what reaches the processes, and no key; also what is not set");
        assert_eq!(fields_only_personalise(&spec), ["instance.host", "instance.url", "instance.admin_email"]);
    }

    #[test]
    fn another_value_is_told_by_name_and_its_print_says_nothing_of_it() {
        let key = Secret::new("k");
        let values = |mail: &str| [("company", "Acme"), ("mail", mail)].map(|(k, v)| (k.into(), v.into())).into();
        let made = prints(&values("a"), &key);
        assert_eq!(changed(&made, &prints(&values("a"), &key)), Vec::<&str>::new());
        assert_eq!(changed(&made, &prints(&values("b"), &key)), ["mail"]);
        assert_ne!(prints(&values("a"), &Secret::new("other")), made, "of each instance's own");
        assert_eq!(changed(&BTreeMap::new(), &made), Vec::<&str>::new(), "not known");
    }
}
