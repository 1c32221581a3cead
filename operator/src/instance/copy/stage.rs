//! The stages of a copy that are jobs: which runs, what it said, and what goes before one begins. Does I/O (Kubernetes).

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use tenantry_api::condition::ConditionType;
use tenantry_core::class::ErrorClass;
use tenantry_core::names::{self, LABEL_INSTANCE_ID, LABEL_PROCESS, LABEL_PURPOSE};
use tenantry_plan::Kind;

use super::Filling;
use crate::error::Error;
use crate::halt::{Halt, OrHalt};
use crate::operation::{self, Followed, Work, attempt};

/// A stage of a copy that a job does; the stages are in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The database.
    Database,
    /// The volumes.
    Files,
    /// The blueprint's commands that neutralise.
    Neutralise,
}

impl Stage {
    const ALL: [Self; 3] = [Self::Database, Self::Files, Self::Neutralise];

    fn word(self) -> &'static str {
        match self {
            Self::Database => "database",
            Self::Files => "files",
            Self::Neutralise => "neutralise",
        }
    }

    /// The condition that waits for the stage.
    pub fn condition(self) -> ConditionType {
        match self {
            Self::Database | Self::Files => ConditionType::Copied,
            Self::Neutralise => ConditionType::Neutralised,
        }
    }

    /// What the stage's jobs are called in traces.
    fn trace(self) -> &'static str {
        match self {
            Self::Database => "copy database",
            Self::Files => "copy files",
            Self::Neutralise => "neutralise",
        }
    }

    fn doing(self) -> &'static str {
        match self {
            Self::Database => "the original's database is being copied",
            Self::Files => "the original's files are being copied",
            Self::Neutralise => "the copy is being made unable to write to customers",
        }
    }

    /// The purpose that the stage's jobs are labelled with.
    pub fn purpose(self, generation: u32) -> String {
        format!("copy-{}-g{generation}", self.word())
    }

    /// Name of the job of an attempt, and of its Secret.
    pub fn job_name(self, filling: &Filling<'_>, attempt: u32) -> String {
        names::copy_job(&filling.inputs.wanted.id, self.word(), filling.inputs.wanted.generation, attempt)
    }

    fn api<K>(filling: &Filling<'_>) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
    {
        Api::namespaced(filling.ctx.client.clone(), &filling.inputs.wanted.namespace)
    }

    /// The stage's newest job with the number of the attempt.
    ///
    /// # Errors
    /// [`Halt`] at the stage's condition.
    pub async fn newest(self, filling: &Filling<'_>) -> Result<Option<(u32, Job)>, Halt> {
        let jobs = jobs_of(filling, self.condition(), &self.purpose(filling.inputs.wanted.generation)).await?;
        Ok(attempt::newest(jobs))
    }

    /// Follows a job. None means that the job did all of its work. A number is the attempt that may begin now.
    ///
    /// # Errors
    /// [`Halt`] at the stage's condition while the job runs, and while the pause after a failure lasts.
    pub async fn follow(self, filling: &Filling<'_>, attempt: u32, job: &Job) -> Result<Option<u32>, Halt> {
        let work = StageOf { stage: self, filling };
        Ok(match operation::follow(filling.ctx, &work, attempt, job, filling.inputs.now).await? {
            Followed::Done => None,
            Followed::Due(next) => Some(next),
        })
    }

    /// The wait while a job does the stage.
    pub fn under_way(self, filling: &Filling<'_>, attempt: u32) -> Halt {
        let text = format!(
            "{} (attempt {attempt}). Log: kubectl -n {} logs job/{}",
            self.doing(),
            filling.inputs.wanted.namespace,
            self.job_name(filling, attempt)
        );
        let reason = if self == Self::Neutralise { "Neutralising" } else { "Copying" };
        Halt::wait(self.condition(), reason, text, Duration::from_secs(20))
    }

    /// Makes sure that the stage may begin: nothing runs in the copy, and what later stages did before no longer
    /// counts.
    ///
    /// # Errors
    /// [`Halt`] at the stage's condition.
    pub async fn clear_the_way(self, filling: &Filling<'_>) -> Result<(), Halt> {
        let (ctx, wanted, condition) = (filling.ctx, filling.inputs.wanted, self.condition());
        let generation = wanted.generation;
        let later = Self::ALL.into_iter().skip_while(|s| *s != self).skip(1).map(|s| s.purpose(generation));
        for purpose in later.chain([format!("personalise-g{generation}")]) {
            for job in jobs_of(filling, condition, &purpose).await? {
                ctx.remove(Kind::Job, Some(&wanted.namespace), &job.name_any()).await.halt(condition)?;
            }
        }
        let mine = ListParams::default().labels(&format!("{LABEL_INSTANCE_ID}={}", wanted.id));
        let processes = Self::api::<Deployment>(filling).list(&mine).await;
        let processes = processes.map_err(Error::kube("list deployments")).halt(condition)?.items;
        let runs = |d: &Deployment| d.spec.as_ref().is_some_and(|s| s.replicas != Some(0));
        let page = tenantry_plan::instance::PAGE;
        let is_page = |d: &Deployment| d.labels().get(LABEL_PROCESS).map(String::as_str) == Some(page);
        if let Some(running) = processes.iter().find(|d| runs(d) && !is_page(d)) {
            let text = format!(
                "process {} of this copy runs, and nothing is loaded beneath it; delete the copy and make a new one",
                running.name_any()
            );
            return Err(Halt::fail(condition, "ProcessesRun", text, ErrorClass::Blocked));
        }
        let schedules = Self::api::<CronJob>(filling).list(&mine).await;
        let schedules = schedules.map_err(Error::kube("list schedules")).halt(condition)?.items;
        let fires = |c: &&CronJob| c.spec.as_ref().is_some_and(|s| s.suspend != Some(true));
        if let Some(schedule) = schedules.iter().find(fires) {
            let text = format!(
                "schedule {} of this copy runs, and nothing is loaded beneath it; delete the copy and make a new one",
                schedule.name_any()
            );
            return Err(Halt::fail(condition, "ProcessesRun", text, ErrorClass::Blocked));
        }
        let pods = Self::api::<Pod>(filling).list(&mine).await.map_err(Error::kube("list pods")).halt(condition)?;
        let left = pods.items.iter().filter(|p| !ended(p)).count();
        if left > 0 {
            let text = format!("waiting until {left} pods of an earlier attempt have ended");
            return Err(Halt::wait(condition, "StoppingJobs", text, Duration::from_secs(2)));
        }
        // Nothing runs that could read the Secrets, and they hold the passwords of both databases.
        clear_secrets(filling).await
    }

    /// The pods of one of the stage's jobs.
    ///
    /// # Errors
    /// [`Halt`] at the stage's condition.
    pub async fn pods(self, filling: &Filling<'_>, job: &Job) -> Result<Vec<Pod>, Halt> {
        operation::pods_of(filling.ctx, self.condition(), &filling.inputs.wanted.namespace, &job.name_any()).await
    }
}

/// A stage of one copy.
struct StageOf<'a> {
    stage: Stage,
    filling: &'a Filling<'a>,
}

impl Work for StageOf<'_> {
    fn condition(&self) -> ConditionType {
        self.stage.condition()
    }

    fn trace(&self) -> &'static str {
        self.stage.trace()
    }

    fn namespace(&self) -> &str {
        &self.filling.inputs.wanted.namespace
    }

    fn under_way(&self, attempt: u32) -> Halt {
        self.stage.under_way(self.filling, attempt)
    }

    fn failed(&self) -> &'static str {
        if self.stage == Stage::Neutralise { "NeutraliseFailed" } else { "CopyFailed" }
    }

    fn failure(&self, said: &str) -> String {
        format!("{said}. The original is untouched, and nothing of the copy was started.")
    }
}

/// Whether nothing of a pod runs any more. A pod of the page counts as ended, because it does not work on the data.
pub fn ended(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|s| s.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
        || pod.labels().get(LABEL_PROCESS).map(String::as_str) == Some(tenantry_plan::instance::PAGE)
}

async fn jobs_of(filling: &Filling<'_>, condition: ConditionType, purpose: &str) -> Result<Vec<Job>, Halt> {
    let selector = format!("{LABEL_INSTANCE_ID}={},{LABEL_PURPOSE}={purpose}", filling.inputs.wanted.id);
    let list = Stage::api::<Job>(filling).list(&ListParams::default().labels(&selector)).await;
    let jobs = list.map_err(Error::kube("list the copy's jobs")).halt(condition)?.items;
    // A job that is being deleted no longer counts.
    Ok(jobs.into_iter().filter(|j| j.metadata.deletion_timestamp.is_none()).collect())
}

/// Removes the Secrets of all jobs, which hold the passwords of both databases: a copy that is well is not looked at
/// again until something changes. The logs stay as long as the jobs.
///
/// # Errors
/// [`Halt`] at `Copied`.
pub async fn clear_secrets(filling: &Filling<'_>) -> Result<(), Halt> {
    let (ctx, wanted) = (filling.ctx, filling.inputs.wanted);
    let mine = format!("{LABEL_INSTANCE_ID}={},{LABEL_PURPOSE}=config", wanted.id);
    let all = Stage::api::<Secret>(filling).list_metadata(&ListParams::default().labels(&mine)).await;
    let all = all.map_err(Error::kube("list the Secrets of the copy's jobs")).halt(ConditionType::Copied)?.items;
    let of_jobs = names::copy_jobs(&wanted.id);
    for name in all.iter().map(ResourceExt::name_any).filter(|name| name.starts_with(&of_jobs)) {
        ctx.remove(Kind::Secret, Some(&wanted.namespace), &name).await.halt(ConditionType::Copied)?;
    }
    Ok(())
}
