//! Commands of an instance that run on a schedule. No I/O.

use serde_json::{Value, json};
use tenantry_api::blueprint::{Schedule, StepList};
use tenantry_core::names::{self, LABEL_PROCESS};
use tenantry_core::steps::Step;

use super::Wanted;
use crate::child::{Child, Kind};
use crate::config::Config;
use crate::job::{self, Place};
use crate::one_node::Together;
use crate::{PlanError, Settings};

/// The CronJob, with the Secret that tells the agent what to run. Two runs never overlap.
pub(super) fn build_cron_job(
    wanted: &Wanted,
    settings: &Settings,
    config: &Config,
    context: &Value,
    schedule: &Schedule,
    suspended: bool,
) -> Result<[Child; 2], PlanError> {
    let steps = StepList {
        timeout_seconds: schedule.timeout_seconds,
        steps: vec![Step {
            name: schedule.name.clone(),
            command: schedule.command.clone(),
            sql: None,
            env: schedule.env.clone(),
            stdin: None,
            working_dir: schedule.working_dir.clone(),
            timeout_seconds: schedule.timeout_seconds,
            fail_on_output: schedule.fail_on_output.clone(),
        }],
    };
    let file = job::file(&wanted.release.blueprint, &format!("schedules[{}]", schedule.name), &steps, context)?;
    let claim = |volume: &str| names::volume(&wanted.id, volume, wanted.generation);
    let content = format!("{}{}", json!(config.data), json!(file));
    // Named after its content like every configuration: changed content becomes a new Secret.
    let secret_name = names::config_secret(&wanted.id, wanted.generation, content.as_bytes());
    let place = Place {
        namespace: &wanted.namespace,
        name: &secret_name,
        labels: wanted.data_labels().and(LABEL_PROCESS, &schedule.name).and(names::LABEL_PURPOSE, "config"),
        spec: &wanted.release.spec,
        image: wanted.release.release().map(|r| settings.image(&r.image)).unwrap_or_default(),
        config,
        scheduling: wanted.scheduling.as_ref(),
        claims: Some(&claim),
        together: Together::jobs(wanted),
    };
    let secret = job::build_secret(&place, &file)?;
    let mut template = job::build_job(&place, &file, settings).object;
    let mut spec = template.get_mut("spec").map(Value::take).unwrap_or_default();
    if let Some(map) = spec.as_object_mut() {
        map.remove("ttlSecondsAfterFinished");
    }
    let cron = tenantry_core::cron::of_instance(&schedule.cron, &format!("{}/{}", wanted.id, schedule.name))
        .map_err(|e| PlanError::invalid(format!("schedules[{}].cron", schedule.name), e.to_string()))?;
    let rest = json!({ "spec": {
        "schedule": cron,
        "timeZone": wanted.time_zone,
        "concurrencyPolicy": "Forbid",
        "startingDeadlineSeconds": 300,
        "successfulJobsHistoryLimit": 1,
        "failedJobsHistoryLimit": 2,
        "suspend": suspended,
        "jobTemplate": { "spec": spec },
    }});
    let labels = wanted.labels().and(LABEL_PROCESS, &schedule.name);
    let name = names::process(&wanted.id, &schedule.name);
    Ok([secret, Child::new(Kind::CronJob, Some(&wanted.namespace), &name, &labels, rest)])
}
