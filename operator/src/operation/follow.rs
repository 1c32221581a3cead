//! Follows the job of an attempt, whatever work the job does: what is waited for, what keeps the job's pods from
//! running, and when the next attempt is due. Does I/O (Kubernetes).

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use tenantry_api::condition::ConditionType;
use tenantry_core::class::ErrorClass;

use super::attempt;
use super::outcome::{Outcome, last_words, outcome};
use crate::cluster::trouble;
use crate::context::Ctx;
use crate::error::Error;
use crate::halt::{Halt, OrHalt};

/// A kind of work that jobs do, and how it is reported to people.
pub trait Work {
    /// The condition that waits for the work.
    fn condition(&self) -> ConditionType;
    /// What its jobs are called in traces.
    fn trace(&self) -> &'static str;
    /// Namespace of its jobs.
    fn namespace(&self) -> &str;
    /// The wait while an attempt is under way.
    fn under_way(&self, attempt: u32) -> Halt;
    /// Reason of the condition after a failure.
    fn failed(&self) -> &'static str;
    /// What is reported about a failure: why the attempt failed, and what is safe.
    fn failure(&self, said: &str) -> String;
}

/// The result of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Followed {
    /// The job did all of its work.
    Done,
    /// The attempt failed, and the pause is over: the attempt with this number may begin.
    Due(u32),
}

/// Follows the job of an attempt.
///
/// # Errors
/// [`Halt`] at the work's condition while the job runs, and while the pause after a failure lasts.
pub async fn follow(ctx: &Ctx, work: &impl Work, attempt: u32, job: &Job, now: Timestamp) -> Result<Followed, Halt> {
    let (condition, name) = (work.condition(), job.name_any());
    ctx.trace_job(work.trace(), job);
    match outcome(job, now) {
        Outcome::Succeeded => Ok(Followed::Done),
        Outcome::Running => match trouble(&pods_of(ctx, condition, work.namespace(), &name).await?) {
            Some(t) => Err(Halt::fail(condition, &t.reason, t.message, ErrorClass::Blocked)),
            None => Err(work.under_way(attempt)),
        },
        Outcome::Failed { why, seconds_ago } => {
            let Some(left) = attempt::pause_left(attempt, Duration::from_secs(seconds_ago)) else {
                return Ok(Followed::Due(attempt.saturating_add(1)));
            };
            let said = last_words(&pods_of(ctx, condition, work.namespace(), &name).await?).unwrap_or(why);
            let text = format!(
                "{} It is tried again {} s after a failure (attempt {attempt} failed); log: kubectl -n {} logs job/{name}",
                work.failure(&said),
                attempt::pause(attempt),
                work.namespace()
            );
            Err(Halt { again: Some(left), ..Halt::fail(condition, work.failed(), text, ErrorClass::Blocked) })
        }
    }
}

/// The pods of a job.
///
/// # Errors
/// [`Halt`] at a condition.
pub async fn pods_of(ctx: &Ctx, condition: ConditionType, namespace: &str, job: &str) -> Result<Vec<Pod>, Halt> {
    let api: Api<Pod> = Api::namespaced(ctx.client.clone(), namespace);
    let params = ListParams::default().labels(&format!("batch.kubernetes.io/job-name={job}"));
    let list = api.list(&params).await.map_err(Error::kube("list the job's pods")).halt(condition)?;
    Ok(list.items)
}
