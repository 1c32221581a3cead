//! Upgrading the operator must not restart running pods: they keep the shape that their operator's version gave them. No
//! I/O.

use serde_json::Value;
use tenantry_api::blueprint::{Process, Strategy};

/// How pods of a process are built, oldest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Build {
    /// A pod that is told to end does so at once.
    WithoutDrain,
    /// As they are built now.
    Now,
}

/// The builds of older operators that differ for a process.
pub(super) fn older(process: &Process) -> &'static [Build] {
    if drains(process) { &[Build::WithoutDrain] } else { &[] }
}

/// Whether a pod still answers for a moment after it was told to end: where another one takes its place meanwhile.
/// Elsewhere a pause would only make the interruption longer.
pub(super) fn drains(process: &Process) -> bool {
    process.serves && process.strategy == Strategy::Rolling
}

/// Whether an older operator built the pods of a process otherwise, so that its Deployment must be looked at.
#[must_use]
pub fn was_built_otherwise(process: &Process) -> bool {
    !older(process).is_empty()
}

/// Pods that a live Deployment wants; none when it wants none, and nothing would be restarted.
pub(super) fn running(live: &Value) -> Option<u32> {
    let wanted = live.pointer("/spec/replicas").and_then(Value::as_u64)?;
    u32::try_from(wanted).ok().filter(|n| *n > 0)
}
