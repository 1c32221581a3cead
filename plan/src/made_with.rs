//! Settings that only `personalise` uses: it runs when an instance is made, and what they say later reaches nothing. No I/O.
//!
//! It is not run again for them. What it sets, people change afterwards (the administrator's password, names, mail
//! servers), and a second run would take that away from them.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use tenantry_api::blueprint::{BlueprintSpec, Probe};
use tenantry_core::hash::sha256_hex;
use tenantry_core::secret::Secret;
use tenantry_core::template;

/// The condition of an instance whose settings are not all in use.
pub const CONDITION: &str = "SettingsApplied";
/// Characters of a print that are kept: enough to tell values apart, and of no use to guess one.
const PRINT: usize = 16;

/// Names of the settings that `personalise` uses and nothing else that an instance is made of. Checks of integrations
/// and the verification only ask; installs and copies are before it.
#[must_use]
pub fn only_personalise(spec: &BlueprintSpec) -> BTreeSet<&str> {
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
    let once = spec.personalise.iter().flat_map(|list| &list.steps);
    let once: Vec<&String> =
        once.flat_map(|s| s.command.iter().chain(&s.sql).chain(&s.stdin).chain(s.env.values())).collect();
    let (living, once) = (used(spec, &living), used(spec, &once));
    once.difference(&living).copied().collect()
}

/// Settings that some templates use. One that uses them as a whole uses all of them; what cannot be read uses none,
/// and is a problem of its own.
fn used<'a>(spec: &'a BlueprintSpec, sources: &[&String]) -> BTreeSet<&'a str> {
    let named: Vec<String> = sources.iter().filter_map(|s| template::check("settings", s).ok()).flatten().collect();
    let whole = named.iter().any(|v| v == "settings");
    let of = |name: &str| named.iter().any(|v| v.strip_prefix("settings.") == Some(name));
    spec.settings.keys().map(String::as_str).filter(|name| whole || of(name)).collect()
}

/// Prints of the values of some settings: they tell whether a value is another one, and nothing of it. `key` is a
/// secret of the instance, so that a print says nothing to whoever guesses.
#[must_use]
pub fn prints(names: &BTreeSet<&str>, values: &BTreeMap<String, String>, key: &Secret) -> BTreeMap<String, String> {
    #[derive(Serialize)]
    struct Printed<'a>(&'a str, &'a str, &'a str);
    let print = |name: &str, value: &str| {
        let text = serde_json::to_string(&Printed(key.reveal(), name, value)).unwrap_or_default();
        let mut print = sha256_hex(text.as_bytes());
        print.truncate(PRINT);
        print
    };
    let given = names.iter().filter_map(|name| Some((*name, values.get(*name)?)));
    given.map(|(name, value)| (name.to_owned(), print(name, value))).collect()
}

/// Names of the settings whose values are others than those that the instance was made with.
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
    fn another_value_is_told_by_name_and_its_print_says_nothing_of_it() {
        let (names, key) = (["company", "mail"].into(), Secret::new("k"));
        let values = |mail: &str| [("company", "Acme"), ("mail", mail)].map(|(k, v)| (k.into(), v.into())).into();
        let made = prints(&names, &values("a"), &key);
        assert_eq!(changed(&made, &prints(&names, &values("a"), &key)), Vec::<&str>::new());
        assert_eq!(changed(&made, &prints(&names, &values("b"), &key)), ["mail"]);
        assert_ne!(prints(&names, &values("a"), &Secret::new("other")), made, "of each instance's own");
        assert_eq!(changed(&BTreeMap::new(), &made), Vec::<&str>::new(), "not known");
    }
}
