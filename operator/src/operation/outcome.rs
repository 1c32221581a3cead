//! How far a job is, and why it failed. No I/O.

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;

/// How far a job is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It has not ended.
    Running,
    /// It did all of its work.
    Succeeded,
    /// It failed.
    Failed {
        /// The reason that Kubernetes gives.
        why: String,
        /// Seconds since its end.
        seconds_ago: u64,
    },
}

/// Reads from a job how far it is.
#[must_use]
pub fn outcome(job: &Job, now: Timestamp) -> Outcome {
    let conditions = job.status.as_ref().and_then(|s| s.conditions.as_ref());
    let find = |kind: &str| conditions.into_iter().flatten().find(|c| c.type_ == kind && c.status == "True");
    if find("Complete").is_some() {
        return Outcome::Succeeded;
    }
    match find("Failed") {
        Some(failed) => {
            let at = failed.last_transition_time.as_ref().map(|t| t.0);
            let seconds = at.map_or(0, |t| now.as_second().saturating_sub(t.as_second()));
            let reason = failed.reason.clone().unwrap_or_default();
            let why = failed.message.clone().map_or(reason.clone(), |m| format!("{reason}: {m}"));
            Outcome::Failed { why, seconds_ago: u64::try_from(seconds).unwrap_or(0) }
        }
        None => Outcome::Running,
    }
}

/// What the agent wrote when it failed.
#[must_use]
pub fn last_words(pods: &[Pod]) -> Option<String> {
    pods.iter().find_map(|pod| {
        let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
        statuses.iter().find_map(|c| {
            let message = c.state.as_ref()?.terminated.as_ref()?.message.clone()?;
            let report = tenantry_core::progress::last_failure(&message);
            Some(report.map_or(message, |r| format!("step {:?}: {}", r.step, r.message)))
        })
    })
}
