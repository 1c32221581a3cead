//! Jobs without a node: this says of their pods what a node would say when they end. Does I/O.

use std::time::{Duration, Instant};

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::{Client, ResourceExt};
use serde_json::json;

use crate::life::Outcome;

/// What the controller of jobs may take.
const PATIENCE: Duration = Duration::from_secs(90);

/// Whether a job has ended, well or not.
pub fn over(job: &Job) -> bool {
    let conditions = job.status.as_ref().and_then(|s| s.conditions.as_ref());
    conditions.into_iter().flatten().any(|c| matches!(c.type_.as_str(), "Complete" | "Failed") && c.status == "True")
}

/// Ends the pods of a job, well or not, and waits until the controller of jobs has seen it.
pub async fn finish(base: &Client, namespace: &str, job: &str, well: bool) -> Outcome {
    let (start, phase) = (Instant::now(), if well { "Succeeded" } else { "Failed" });
    let pods: Api<Pod> = Api::namespaced(base.clone(), namespace);
    let jobs: Api<Job> = Api::namespaced(base.clone(), namespace);
    let of_job = ListParams::default().labels(&format!("batch.kubernetes.io/job-name={job}"));
    while start.elapsed() < PATIENCE {
        match jobs.get_opt(job).await.map_err(|e| e.to_string())? {
            Some(job) if !over(&job) => {}
            _ => return Ok(()),
        }
        for pod in pods.list(&of_job).await.map_err(|e| e.to_string())?.items {
            // Only after the other player of this test has said that it runs, so that it does not say so later.
            if pod.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Running") {
                let status = Patch::Merge(json!({"status": {"phase": phase}}));
                let _ = pods.patch_status(&pod.name_any(), &PatchParams::default(), &status).await;
            }
        }
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    Err(format!("job {job} is not over after {} s", PATIENCE.as_secs()))
}
