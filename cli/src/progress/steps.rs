//! What happened to an instance between two looks at it: the steps of an installation. No I/O.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use tenantry_api::condition::{ConditionType, ROAD, ROAD_OF_A_COPY, find};
use tenantry_api::crm_instance::{CrmInstance, CrmInstanceStatus, InstancePhase};

/// A change to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A step is going on.
    Now {
        /// The step.
        label: &'static str,
        /// What is known of the step.
        detail: String,
    },
    /// A step is done.
    Done {
        /// The step.
        label: &'static str,
        /// The result of the step.
        detail: String,
        /// How long the step took.
        took: Duration,
    },
}

/// How the installation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Verified and serving.
    Ready,
    /// Stopped behind the page, as its tenant is suspended.
    Suspended,
    /// A step failed for good, or the spec is invalid.
    Failed {
        /// The condition; None means that the operator did not say.
        at: Option<ConditionType>,
        /// The step or condition, as people call it.
        label: String,
        /// Reason and message.
        why: String,
    },
    /// The object was deleted.
    Gone,
}

/// The steps that are shown: all but the first, because nobody waits for a valid spec.
fn steps(instance: &CrmInstance) -> &'static [ConditionType] {
    let road: &[ConditionType] = if instance.spec.from.is_some() { &ROAD_OF_A_COPY } else { &ROAD };
    road.split_first().map_or(road, |(_, rest)| rest)
}

/// Follows one instance. Times are measured from the creation of the tracker.
#[derive(Debug, Default)]
pub struct Tracker {
    done: usize,
    at: Duration,
    last: String,
    end: Option<End>,
}

impl Tracker {
    /// What changed since the last look, `elapsed` after the beginning.
    pub fn see(&mut self, instance: Option<&CrmInstance>, elapsed: Duration) -> Vec<Change> {
        let Some(instance) = instance else {
            // There is no instance yet, unless one was seen before.
            if !self.last.is_empty() {
                self.end = Some(End::Gone);
            }
            return Vec::new();
        };
        let empty = CrmInstanceStatus::default();
        let status = instance.status.as_ref().unwrap_or(&empty);
        let mut changes = Vec::new();
        let steps = steps(instance);
        while let Some(kind) = steps.get(self.done) {
            let Some(held) = find(&status.conditions, kind).filter(|c| c.status == "True") else { break };
            let took = elapsed.saturating_sub(self.at);
            changes.push(Change::Done { label: kind.label(), detail: detail(*kind, held, instance, status), took });
            self.at = elapsed;
            self.done += 1;
        }
        self.end = end(instance, status);
        if self.end.is_none() {
            let label = steps.get(self.done).map_or(ConditionType::Ready.label(), |kind| kind.label());
            let detail = waiting_for(status, steps.get(self.done).copied());
            let key = format!("{label}/{detail}");
            if key != self.last {
                changes.push(Change::Now { label, detail });
                self.last = key;
            }
        }
        changes
    }

    /// How the installation ended, if it has.
    pub fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }
}

/// Facts where they are known, else what the operator reports.
fn detail(kind: ConditionType, held: &Condition, instance: &CrmInstance, status: &CrmInstanceStatus) -> String {
    let release = status.release.clone().or_else(|| instance.spec.release.clone()).unwrap_or_default();
    let product = format!("{} {release}", instance.spec.blueprint).trim_end().to_owned();
    match kind {
        ConditionType::HostClaimed => instance.spec.host.clone(),
        ConditionType::DatabaseReady => match &status.database {
            Some(d) => format!("{} on {}", d.name, d.server),
            None => held.message.clone(),
        },
        ConditionType::Installed
        | ConditionType::Verified
        | ConditionType::Copied
        | ConditionType::Neutralised
        | ConditionType::Reachable => held.message.clone(),
        _ if held.message.is_empty() => product,
        _ => format!("{product} · {}", held.message),
    }
}

/// The phase by name, and what the operator reports of the step.
fn waiting_for(status: &CrmInstanceStatus, step: Option<ConditionType>) -> String {
    let said = step.and_then(|kind| find(&status.conditions, kind));
    let said = said.or_else(|| find(&status.conditions, ConditionType::Ready));
    let phase = format!("{:?}", status.phase);
    match said.map(|c| c.message.as_str()).filter(|m| !m.is_empty()) {
        Some(message) => format!("{phase}: {message}"),
        None => phase,
    }
}

/// How far an instance of a resumed tenant is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Back {
    /// The instance comes back; what is known of it.
    Comes(String),
    /// People reach the instance; how.
    Reached(String),
    /// The instance does not come back by itself; why.
    Failed(String),
}

/// How far an instance is, for this generation of its tenant: an older report says nothing about now.
pub fn back(instance: &CrmInstance, generation: Option<i64>) -> Back {
    let empty = CrmInstanceStatus::default();
    let status = instance.status.as_ref().unwrap_or(&empty);
    if status.tenant_generation < generation {
        return Back::Comes("the operator looks at it".into());
    }
    match end(instance, status) {
        Some(End::Ready) => {
            let how = find(&status.conditions, ConditionType::Reachable)
                .map(|c| c.message.as_str())
                .filter(|m| !m.is_empty());
            Back::Reached(how.unwrap_or("verified and serving").to_owned())
        }
        Some(End::Failed { label, why, .. }) => Back::Failed(format!("{label}: {why}")),
        Some(End::Suspended | End::Gone) | None => Back::Comes(waiting_for(status, None)),
    }
}

fn end(instance: &CrmInstance, status: &CrmInstanceStatus) -> Option<End> {
    // An old status says nothing about the present spec.
    if status.observed_generation < instance.metadata.generation {
        return None;
    }
    match status.phase {
        InstancePhase::Ready => Some(End::Ready),
        InstancePhase::Suspended => Some(End::Suspended),
        InstancePhase::Failed | InstancePhase::Invalid => Some(failed(status)),
        _ if hopeless(status) => Some(failed(status)),
        _ => None,
    }
}

/// Whether the instance waits for something that only another decision of the person ends: another tenant, or somebody
/// else's Ingress, has the host.
fn hopeless(status: &CrmInstanceStatus) -> bool {
    find(&status.conditions, ConditionType::HostClaimed)
        .is_some_and(|c| c.status == "False" && matches!(c.reason.as_str(), "HostTaken" | "HostServedElsewhere"))
}

/// Where the instance failed: the first step that is false on the longer road, which has all steps of the shorter one.
/// That people do not reach an instance is no failure.
fn failed(status: &CrmInstanceStatus) -> End {
    let steps = ROAD_OF_A_COPY.iter().filter(|kind| **kind != ConditionType::Reachable).chain([&ConditionType::Ready]);
    let mut at_fault = steps.filter_map(|kind| {
        let found = find(&status.conditions, kind).filter(|c| c.status == "False")?;
        Some((*kind, found))
    });
    match at_fault.next() {
        Some((kind, c)) => End::Failed { at: Some(kind), label: name_of(kind).to_owned(), why: said(c) },
        None => {
            End::Failed { at: None, label: format!("{:?}", status.phase), why: "the operator did not say why".into() }
        }
    }
}

/// The name of a failed step: the condition itself where people saw no such step.
fn name_of(kind: ConditionType) -> &'static str {
    if matches!(kind, ConditionType::SpecValid | ConditionType::Ready) { kind.word() } else { kind.label() }
}

/// `Reason: message`.
pub fn said(condition: &Condition) -> String {
    if condition.message.is_empty() {
        condition.reason.clone()
    } else {
        format!("{}: {}", condition.reason, condition.message)
    }
}
