//! How many pods of each process run: the number that the instance asks for, as far as its blueprint allows it. No I/O.

use std::collections::BTreeMap;

use tenantry_api::blueprint::{BlueprintSpec, Process, Strategy};

use crate::PlanError;

/// Maximum number of pods of all processes of an instance. The namespace's quota (60) leaves room for jobs, the page
/// and one additional pod of each process while its pods are replaced.
const MOST: u32 = 40;

/// How many pods of a process run, given the numbers that the instance asks for.
#[must_use]
pub(super) fn pods(wishes: &BTreeMap<String, u32>, process: &Process) -> u32 {
    wishes.get(&process.name).copied().unwrap_or(process.replicas.default)
}

/// Checks these numbers against the blueprint.
///
/// # Errors
/// [`PlanError::Invalid`] naming the field and the remedy.
pub(super) fn check(blueprint: &str, spec: &BlueprintSpec, wishes: &BTreeMap<String, u32>) -> Result<(), PlanError> {
    for (name, wished) in wishes {
        let refused = |why: String| Err(PlanError::invalid(format!("spec.replicas.{name}"), why));
        let Some(process) = spec.processes.iter().find(|p| &p.name == name) else {
            let known: Vec<_> = spec.processes.iter().map(|p| p.name.as_str()).collect();
            return refused(format!("blueprint {blueprint:?} has no such process; it has: {}", known.join(", ")));
        };
        let most = process.replicas.max;
        if *wished > most {
            return refused(format!("blueprint {blueprint:?} bears {most} at most, {wished} are too many"));
        }
        if *wished > 1 && process.strategy == Strategy::Recreate {
            return refused(format!(
                "blueprint {blueprint:?} exchanges this process with strategy recreate, so that no two run side by side: 1 at most"
            ));
        }
    }
    let all = spec.processes.iter().fold(0_u32, |sum, p| sum.saturating_add(pods(wishes, p)));
    if all > MOST && !wishes.is_empty() {
        let text = format!("{all} pods of all processes together are too many for one instance: {MOST} at most");
        return Err(PlanError::invalid("spec.replicas", text));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn blueprint() -> BlueprintSpec {
        let process = |name: &str, strategy: &str, default: u32, max: u32| {
            json!({
            "name": name, "strategy": strategy, "replicas": { "default": default, "max": max } })
        };
        let spec = json!({
            "title": "A product",
            "releases": [{ "version": "1", "image": "product:1" }],
            "processes": [process("web", "rolling", 1, 30), process("worker", "rolling", 2, 20), process("clock", "recreate", 1, 3)],
        });
        serde_json::from_value(spec).unwrap()
    }

    fn said(wishes: &[(&str, u32)]) -> Option<String> {
        let wishes = wishes.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect();
        check("crm", &blueprint(), &wishes).err().map(|e| e.to_string())
    }

    #[test]
    fn a_wish_counts_before_the_blueprints_own_number() {
        let spec = blueprint();
        let wishes = BTreeMap::from([("web".to_owned(), 3)]);
        let all: Vec<u32> = spec.processes.iter().map(|p| pods(&wishes, p)).collect();
        assert_eq!(all, [3, 2, 1]);
    }

    #[test]
    fn what_the_blueprint_does_not_bear_is_refused_with_field_and_remedy() {
        assert_eq!(said(&[]), None);
        assert_eq!(said(&[("web", 30), ("worker", 1), ("clock", 1)]), None);
        for (wishes, words) in [
            (vec![("wep", 2)], ["spec.replicas.wep", "web, worker, clock"]),
            (vec![("web", 31)], ["spec.replicas.web", "30 at most"]),
            (vec![("clock", 2)], ["spec.replicas.clock", "1 at most"]),
            (vec![("web", 30), ("worker", 20)], ["spec.replicas", "40 at most"]),
        ] {
            let said = said(&wishes).unwrap_or_default();
            assert!(words.iter().all(|w| said.contains(w)), "{said}");
        }
    }
}
