//! The pod of a job whose steps the agent runs: what all such jobs have in common. No I/O.

use serde_json::{Value, json};
use tenantry_core::quantity;
use tenantry_core::steps::JobFile;

use crate::{Settings, pod, pull};

/// Where the steps, and what else their Secret holds for the agent, lie in the pod.
pub const JOB: &str = "/tenantry/job";
/// Where the agent's program lies in the pod.
const BIN: &str = "/tenantry/bin";
/// Seconds that a finished job is kept for its log.
const KEEP_SECONDS: u32 = 86_400;

/// What differs between such pods.
pub struct AgentPod<'a> {
    /// Image in which the steps run.
    pub image: &'a str,
    /// Its environment.
    pub env: Value,
    /// `securityContext` of the pod.
    pub pod_security: Value,
    /// `securityContext` of the container in which the steps run.
    pub security: Value,
    /// Volumes beside those of the agent.
    pub volumes: Vec<Value>,
    /// Their mounts in the container in which the steps run.
    pub mounts: Vec<Value>,
    /// The Secret with `steps.json`.
    pub secret: &'a str,
    /// Which of its keys the agent may see; all when absent.
    pub keys: Option<&'a [&'a str]>,
}

impl AgentPod<'_> {
    /// The pod's spec: an init container brings the agent into the image, which then runs the steps.
    #[must_use]
    pub fn spec(self, settings: &Settings) -> Value {
        let Self { image, env, pod_security, security, mut volumes, mut mounts, secret, keys } = self;
        let mut source = json!({ "secretName": secret, "defaultMode": 0o440 });
        if let Some(keys) = keys {
            source["items"] = keys.iter().map(|key| json!({ "key": key, "path": key })).collect();
        }
        volumes.push(json!({ "name": "agent", "emptyDir": { "sizeLimit": "128Mi" } }));
        volumes.push(json!({ "name": "job", "secret": source }));
        let disk = own_disk(&volumes);
        mounts.push(json!({ "name": "agent", "mountPath": BIN, "readOnly": true }));
        mounts.push(json!({ "name": "job", "mountPath": JOB, "readOnly": true }));
        let mut spec = json!({
            "restartPolicy": "Never",
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "securityContext": pod_security,
            "terminationGracePeriodSeconds": 20,
            "initContainers": [{
                "name": "agent",
                "image": settings.agent_image,
                "imagePullPolicy": "IfNotPresent",
                "args": ["install-to", BIN],
                "securityContext": pod::agent_security(),
                "resources": { "requests": { "cpu": "10m", "memory": "16Mi" }, "limits": { "memory": "64Mi" } },
                "volumeMounts": [{ "name": "agent", "mountPath": BIN }],
            }],
            "containers": [{
                "name": "steps",
                "image": image,
                "imagePullPolicy": "IfNotPresent",
                "command": [format!("{BIN}/tenantry-agent"), "run", "--file", format!("{JOB}/steps.json")],
                "env": env,
                "securityContext": security,
                "resources": {
                    "requests": { "cpu": "50m", "memory": "128Mi", "ephemeral-storage": pod::DISK_REQUEST },
                    "limits": { "memory": "1Gi", "ephemeral-storage": disk },
                },
                "volumeMounts": mounts,
            }],
            "volumes": volumes,
        });
        pull::allow(&mut spec, settings);
        spec
    }
}

/// What a pod may take of its node's disk: all its folders when they are full, and beside them what any container may.
fn own_disk(volumes: &[Value]) -> String {
    let limits = volumes.iter().filter_map(|v| v.pointer("/emptyDir/sizeLimit")?.as_str());
    let folders: u64 = limits.filter_map(|text| quantity::bytes(text).ok()).fold(0, u64::saturating_add);
    folders.saturating_add(pod::DISK_LIMIT_BYTES).to_string()
}

/// The rest of such a job: one pod, never a second one by itself, and a deadline. `start_seconds` is what a pod may
/// need to start, added to the steps' own time.
#[must_use]
pub fn job_rest(file: &JobFile, start_seconds: u32, template: &Value) -> Value {
    json!({ "spec": {
        "backoffLimit": 0,
        "activeDeadlineSeconds": file.timeout_seconds.saturating_add(start_seconds),
        "ttlSecondsAfterFinished": KEEP_SECONDS,
        "template": template,
    }})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_may_fill_all_its_folders_and_no_more_of_the_disk_than_others() {
        let volumes = [
            json!({ "name": "data", "emptyDir": { "sizeLimit": "20000000000" } }),
            json!({ "name": "scratch-0", "emptyDir": { "sizeLimit": "256Mi" } }),
            json!({ "name": "files", "persistentVolumeClaim": { "claimName": "files" } }),
        ];
        let limit = 20_000_000_000 + (256 << 20) + pod::DISK_LIMIT_BYTES;
        assert_eq!(own_disk(&volumes), limit.to_string());
        assert_eq!(quantity::bytes(pod::DISK_LIMIT), Ok(pod::DISK_LIMIT_BYTES));
    }
}
