//! Upgrading the operator must not restart running pods: they keep the shape that their operator's version gave them. No
//! I/O.

use serde_json::Value;
use tenantry_api::blueprint::{Process, Strategy};

/// The ways in which pods of a process are built, oldest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Build {
    /// A pod that is told to end ends at once.
    WithoutDrain,
    /// As the current operator builds pods.
    Now,
}

/// The builds of older operators that give this process different pods.
pub(super) fn older(process: &Process) -> &'static [Build] {
    if drains(process) { &[Build::WithoutDrain] } else { &[] }
}

/// Whether a pod still answers for a moment after it was told to end. Only where another pod takes its place meanwhile:
/// elsewhere the pause would only make the interruption longer.
pub(super) fn drains(process: &Process) -> bool {
    process.serves && process.strategy == Strategy::Rolling
}

/// Whether an older operator built the pods of this process differently, so that its live Deployment must be read.
#[must_use]
pub fn was_built_otherwise(process: &Process) -> bool {
    !older(process).is_empty()
}

/// Number of pods that a live Deployment wants. None means that it wants no pods, so that no change can restart any.
pub(super) fn running(live: &Value) -> Option<u32> {
    let wanted = live.pointer("/spec/replicas").and_then(Value::as_u64)?;
    u32::try_from(wanted).ok().filter(|n| *n > 0)
}
