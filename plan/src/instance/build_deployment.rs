//! Processes of an instance as Deployments. No I/O.

use serde_json::{Value, json};
use tenantry_api::blueprint::{Probe, Process, Strategy};
use tenantry_api::plan::Resources;
use tenantry_core::names::{self, LABEL_INSTANCE_ID, LABEL_PROCESS, LABEL_SERVES};

use super::older::{Build, drains, older, running};
use super::{Wanted, may_be_many};
use crate::child::{Child, Kind, is_applied};
use crate::config::Config;
use crate::one_node::Together;
use crate::view::View;
use crate::{PlanError, Settings, pod, pull, scheduling};

/// Everything that a Deployment is made from, apart from the process itself.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    pub wanted: &'a Wanted,
    pub settings: &'a Settings,
    pub config: &'a Config,
    /// Name of the Secret with the configuration.
    pub secret: &'a str,
    /// Template values without the secrets.
    pub open: &'a Value,
    pub plan_resources: Option<&'a Resources>,
}

/// The Deployment of one process. `live` is the Deployment as it exists: running pods that an older operator built keep
/// their shape until something else about them changes.
pub(super) fn build_deployment(
    parts: &Parts<'_>,
    process: &Process,
    replicas: u32,
    live: Option<&Value>,
) -> Result<Child, PlanError> {
    if let Some((live, running)) = live.and_then(|live| Some((live, running(live)?))) {
        for build in older(process) {
            if is_applied(&built(parts, process, running, *build)?, live) {
                return built(parts, process, replicas, *build);
            }
        }
    }
    built(parts, process, replicas, Build::Now)
}

fn built(parts: &Parts<'_>, process: &Process, replicas: u32, build: Build) -> Result<Child, PlanError> {
    let Parts { wanted, settings, config, secret, open, plan_resources } = parts;
    let blueprint = &wanted.release.blueprint;
    let place = format!("processes[{}]", process.name);
    let selector = json!({ LABEL_INSTANCE_ID: wanted.id.as_str(), LABEL_PROCESS: process.name });
    let mut labels = wanted.labels().and(LABEL_PROCESS, &process.name);
    if process.serves {
        labels = labels.and(LABEL_SERVES, "app");
    }
    let image = process.image.as_ref().or(wanted.release.release().map(|r| &r.image));
    let image = image.map(|name| settings.image(name)).unwrap_or_default();
    // The plan's resources are meant for the product, not for companions.
    let plan_resources = plan_resources.filter(|_| !process.is_companion());
    let view = View::of_process(&wanted.release.spec, process);
    let mut container = json!({
        "name": process.name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "securityContext": pod::container_security(view.security),
        "resources": pod::resources(plan_resources, process.resources.as_ref()),
    });
    if !process.command.is_empty() {
        container["command"] = pod::words(blueprint, &format!("{place}.command"), &process.command, open)?.into();
    }
    let env = config.container_env(secret, Some(process));
    if !env.is_empty() {
        container["env"] = env.into();
    }
    let mounts = view.mounts(config);
    if !mounts.is_empty() {
        container["volumeMounts"] = mounts.into();
    }
    if let Some(port) = process.port {
        container["ports"] = json!([{ "name": "http", "containerPort": port, "protocol": "TCP" }]);
        let tcp = Probe { http: None, tcp: true, command: None, period_seconds: 5, failures: 3, timeout_seconds: 5 };
        let readiness = process.readiness.as_ref().unwrap_or(&tcp);
        container["readinessProbe"] = pod::probe(blueprint, &format!("{place}.readiness"), readiness, open)?;
        // The startup probe asks the readiness question every second until the first success. So a start is noticed
        // within a second, and later probes run at the blueprint's own pace.
        let start = Probe { period_seconds: 1, failures: process.start_timeout_seconds, ..readiness.clone() };
        container["startupProbe"] = pod::probe(blueprint, &format!("{place}.readiness"), &start, open)?;
    }
    if let Some(liveness) = &process.liveness {
        container["livenessProbe"] = pod::probe(blueprint, &format!("{place}.liveness"), liveness, open)?;
    }
    let drains = build == Build::Now && drains(process);
    if drains {
        container["lifecycle"] = pod::drain();
    }
    let claim = |volume: &str| names::volume(&wanted.id, volume, wanted.generation);
    let mut pod_spec = json!({
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "securityContext": pod::pod_security(view.security),
        // Longer by the drain pause, because the pause counts against the grace period.
        "terminationGracePeriodSeconds": process.stop_timeout_seconds.saturating_add(if drains { pod::DRAIN_SECONDS } else { 0 }),
        "containers": [container],
    });
    pull::allow(&mut pod_spec, settings);
    scheduling::place(&mut pod_spec, wanted.scheduling.as_ref());
    if may_be_many(process) {
        scheduling::spread(&mut pod_spec, wanted.scheduling.as_ref(), &selector);
    }
    let volumes = view.pod_volumes(config, secret, Some(&claim));
    if !volumes.is_empty() {
        pod_spec["volumes"] = volumes.into();
    }
    let mut template = json!({ "metadata": { "labels": labels.to_map() }, "spec": pod_spec });
    if let Some(together) = Together::process(wanted, process) {
        together.mark(&mut template);
    }
    let strategy = match process.strategy {
        Strategy::Recreate => json!({ "type": "Recreate" }),
        Strategy::Rolling => {
            json!({ "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": 0, "maxSurge": 1 } })
        }
    };
    let rest = json!({ "spec": {
        "replicas": replicas,
        "revisionHistoryLimit": 1,
        "progressDeadlineSeconds": process.start_timeout_seconds + 60,
        "strategy": strategy,
        "selector": { "matchLabels": selector },
        "template": template,
    }});
    let name = names::process(&wanted.id, &process.name);
    Ok(Child::new(Kind::Deployment, Some(&wanted.namespace), &name, &labels, rest))
}
