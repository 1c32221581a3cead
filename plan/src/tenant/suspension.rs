//! Whether a tenant counts as suspended: from when its instances are stopped until one of them is back. No I/O.

use tenantry_api::condition::{ConditionType, find, holds};
use tenantry_api::crm_instance::CrmInstance;

/// The condition of an instance that is stopped together with its tenant: none of its processes runs, and nobody
/// reaches it.
pub const STOPPED: ConditionType = ConditionType::Stopped;

/// The current state of a tenant, and the instances that it waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspension {
    /// Whether the tenant is suspended. This is what is billed and reported.
    pub suspended: bool,
    /// Names of the instances that are not yet in the state that the tenant wants.
    pub waits_for: Vec<String>,
}

impl Suspension {
    /// Decides by the status of the tenant's instances. `wanted` is what a person wants, `recorded` is what is billed
    /// so far. `generation` is the tenant's generation: a status for an older generation says nothing about this one.
    ///
    /// Nobody is billed as suspended while one of their CRMs answers, nor as resumed before one of them answers.
    /// Without instances there is nothing to wait for, and a resume does not wait for instances that were never
    /// installed. An instance that cannot be read (`unreadable`) is not stopped by anybody, so it may answer.
    #[must_use]
    pub fn judge(
        wanted: bool,
        recorded: bool,
        generation: Option<i64>,
        instances: &[CrmInstance],
        unreadable: Vec<String>,
    ) -> Self {
        let mut waits_for = if wanted { unreadable } else { Vec::new() };
        let mut runs = false;
        for instance in instances {
            if is_going(instance) {
                continue;
            }
            let status = instance.status.as_ref();
            let fresh = status.is_some_and(|s| s.tenant_generation >= generation);
            let stopped = status.is_some_and(|s| holds(&s.conditions, STOPPED));
            runs |= fresh && !stopped;
            if !fresh || stopped != wanted {
                waits_for.push(instance.metadata.name.clone().unwrap_or_default());
            }
        }
        waits_for.sort();
        let suspended = match (wanted, waits_for.is_empty()) {
            (_, true) => wanted,
            (true, false) => recorded,
            // Instances that are not back yet do not delay the bill.
            (false, false) => recorded && !runs,
        };
        Self { suspended, waits_for }
    }
}

/// Whether the instance is being archived and its processes are stopped. No other state of it will be reported any
/// more.
fn is_going(instance: &CrmInstance) -> bool {
    let conditions = instance.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default();
    instance.metadata.deletion_timestamp.is_some()
        && find(conditions, ConditionType::Archived).is_some_and(|c| c.reason != "StoppingProcesses")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// An instance whose status says, for a generation of its tenant, whether it is stopped. None means that it has no
    /// status.
    fn instance(name: &str, said: Option<(i64, bool)>) -> CrmInstance {
        let stopped = |yes: bool| match yes {
            true => json!([{ "type": STOPPED.word(), "status": "True", "reason": "Suspended", "message": "",
                "lastTransitionTime": "2026-11-01T00:00:00Z" }]),
            false => json!([]),
        };
        let status = said.map(|(tenant, yes)| json!({ "tenantGeneration": tenant, "conditions": stopped(yes) }));
        serde_json::from_value(json!({
            "apiVersion": "tenantry.dev/v1alpha1", "kind": "CrmInstance", "metadata": { "name": name },
            "spec": { "tenant": "acme", "blueprint": "b", "host": "a.example" }, "status": status,
        }))
        .unwrap()
    }

    fn judged(wanted: bool, recorded: bool, instances: &[CrmInstance]) -> (bool, String) {
        let found = Suspension::judge(wanted, recorded, Some(7), instances, Vec::new());
        (found.suspended, found.waits_for.join(","))
    }

    #[test]
    fn a_tenant_is_suspended_when_all_of_its_instances_are_stopped_and_not_before() {
        let (stops, stopped, never) =
            (instance("stops", Some((7, false))), instance("stopped", Some((7, true))), instance("never", None));
        assert_eq!(judged(true, false, &[]), (true, String::new()));
        assert_eq!(judged(true, false, std::slice::from_ref(&stopped)), (true, String::new()));
        assert_eq!(judged(true, false, &[stops, stopped.clone()]), (false, "stops".into()));
        assert_eq!(judged(true, false, &[never, stopped]), (false, "never".into()), "it may run");
        let before = instance("before", Some((6, true)));
        assert_eq!(judged(true, false, std::slice::from_ref(&before)), (false, "before".into()), "of an older wish");
        let unread = Suspension::judge(true, false, Some(7), &[], vec!["odd".into()]);
        assert_eq!((unread.suspended, unread.waits_for), (false, vec!["odd".to_owned()]));
        assert!(!Suspension::judge(false, true, Some(7), &[], vec!["odd".into()]).suspended, "who pays is not held up");
        assert_eq!(judged(true, true, &[before]), (true, "before".into()), "billed already, and not said yet");
    }

    #[test]
    fn who_is_being_archived_is_waited_for_until_its_processes_are_stopped() {
        let going = |reason: &str| {
            let mut going = instance("going", Some((7, false)));
            going.metadata.deletion_timestamp = serde_json::from_value(json!("2026-11-01T00:00:00Z")).unwrap();
            let said = json!({ "type": "Archived", "status": "False", "reason": reason, "message": "",
                "lastTransitionTime": "2026-11-01T00:00:00Z" });
            let conditions = &mut going.status.as_mut().unwrap().conditions;
            conditions.push(serde_json::from_value(said).unwrap());
            going
        };
        assert_eq!(judged(true, false, &[going("StoppingProcesses")]), (false, "going".into()));
        assert_eq!(judged(true, false, &[going("DatabaseServerUnreachable")]), (true, String::new()));
        assert_eq!(judged(false, true, &[going("DatabaseServerUnreachable")]), (false, String::new()));
    }

    #[test]
    fn a_tenant_is_resumed_when_one_of_its_instances_is_back_and_waits_for_the_others() {
        let (back, stopped) = (instance("back", Some((7, false))), instance("stopped", Some((7, true))));
        assert_eq!(judged(false, true, &[]), (false, String::new()));
        assert_eq!(judged(false, true, std::slice::from_ref(&stopped)), (true, "stopped".into()));
        assert_eq!(judged(false, true, &[back.clone(), stopped.clone()]), (false, "stopped".into()));
        assert_eq!(judged(false, true, std::slice::from_ref(&back)), (false, String::new()));
        assert_eq!(judged(false, false, &[stopped]), (false, "stopped".into()), "never billed as suspended");
        assert_eq!(judged(false, true, &[instance("unknown", None)]), (true, "unknown".into()));
    }
}
