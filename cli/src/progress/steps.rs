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
        /// What is known of it.
        detail: String,
    },
    /// A step is done.
    Done {
        /// The step.
        label: &'static str,
        /// What came of it.
        detail: String,
        /// How long it took.
        took: Duration,
    },
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Verified and serving.
    Ready,
    /// Stopped behind the page, as its tenant is suspended.
    Suspended,
    /// A step failed for good, or the spec cannot be.
    Failed {
        /// The condition; none: the operator did not say.
        at: Option<ConditionType>,
        /// The step or condition, as people call it.
        label: String,
        /// Reason and message.
        why: String,
    },
    /// The object was deleted.
    Gone,
}

/// The steps that are shown: a spec that can be is nothing to wait for.
fn steps(instance: &CrmInstance) -> &'static [ConditionType] {
    let road: &[ConditionType] = if instance.spec.from.is_some() { &ROAD_OF_A_COPY } else { &ROAD };
    road.split_first().map_or(road, |(_, rest)| rest)
}

/// Follows one instance. Times are measured from when the tracker was made.
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
            // Nothing yet, unless it was there before.
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

    /// How it ended, if it has.
    pub fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }
}

/// Facts where they are known, else what the operator says.
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

/// The phase by name, and what the operator says of the step.
fn waiting_for(status: &CrmInstanceStatus, step: Option<ConditionType>) -> String {
    let said = step.and_then(|kind| find(&status.conditions, kind));
    let said = said.or_else(|| find(&status.conditions, ConditionType::Ready));
    let phase = format!("{:?}", status.phase);
    match said.map(|c| c.message.as_str()).filter(|m| !m.is_empty()) {
        Some(message) => format!("{phase}: {message}"),
        None => phase,
    }
}

/// How far an instance is whose tenant was resumed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Back {
    /// It comes back; what is known of it.
    Comes(String),
    /// People reach it; how.
    Reached(String),
    /// It does not come back by itself; why.
    Failed(String),
}

/// How far an instance is, as of this generation of its tenant: what it said of an older one says nothing of now.
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

/// Waits that only another decision of the person ends: a host that another tenant or somebody else's Ingress has.
fn hopeless(status: &CrmInstanceStatus) -> bool {
    find(&status.conditions, ConditionType::HostClaimed)
        .is_some_and(|c| c.status == "False" && matches!(c.reason.as_str(), "HostTaken" | "HostServedElsewhere"))
}

/// Where it failed: the first step of the longer road that is false, which has all steps of the other. Whether people
/// reach it is no failure.
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

/// What a failed step is called: the condition itself where it is no step that people saw.
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
