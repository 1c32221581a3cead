//! A disruption budget for a process with several pods: one of them keeps running while nodes are drained. No I/O.

use serde_json::json;
use tenantry_api::blueprint::{Process, Strategy};
use tenantry_core::names::{self, LABEL_INSTANCE_ID, LABEL_PROCESS};

use super::Wanted;
use crate::child::{Child, Kind};

/// The budget of a process. A process with a single pod must not have one, because its node could then never be
/// drained.
#[must_use]
pub fn build_budget(wanted: &Wanted, process: &Process) -> Child {
    let rest = json!({ "spec": {
        "minAvailable": 1,
        "selector": { "matchLabels": { LABEL_INSTANCE_ID: wanted.id.as_str(), LABEL_PROCESS: process.name } },
    }});
    let labels = wanted.labels().and(LABEL_PROCESS, &process.name);
    let name = names::process(&wanted.id, &process.name);
    Child::new(Kind::PodDisruptionBudget, Some(&wanted.namespace), &name, &labels, rest)
}

/// Whether several pods of a process can run side by side, as its blueprint says.
#[must_use]
pub fn may_be_many(process: &Process) -> bool {
    process.replicas.max > 1 && process.strategy == Strategy::Rolling
}
