//! The pod of a job whose steps the agent runs: the part that all such jobs have in common. No I/O.

use serde_json::{Value, json};
use tenantry_core::quantity;
use tenantry_core::steps::JobFile;

use crate::{Settings, pod, pull};

/// Folder in the pod for the steps and for everything else that their Secret holds for the agent.
pub const JOB: &str = "/tenantry/job";
/// Folder in the pod for the agent's program.
const BIN: &str = "/tenantry/bin";
/// Seconds that a finished job is kept so that its log can be read.
const KEEP_SECONDS: u32 = 86_400;

/// The parts in which such pods differ.
pub struct AgentPod<'a> {
    /// Image in which the steps run.
    pub image: &'a str,
    /// Environment of the container in which the steps run.
    pub env: Value,
    /// `securityContext` of the pod.
    pub pod_security: Value,
    /// `securityContext` of the container in which the steps run.
    pub security: Value,
    /// Volumes in addition to the agent's own.
    pub volumes: Vec<Value>,
    /// Mounts of these volumes in the container in which the steps run.
    pub mounts: Vec<Value>,
    /// The Secret with `steps.json`.
    pub secret: &'a str,
    /// Keys of that Secret that the agent may see. None means all keys.
    pub keys: Option<&'a [&'a str]>,
}

impl AgentPod<'_> {
    /// The pod's spec: an init container copies the agent into a volume, and the image of the steps runs it from there.
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

/// Limit on the pod's use of its node's disk: the size of all its folders, plus the limit that every container has.
fn own_disk(volumes: &[Value]) -> String {
    let limits = volumes.iter().filter_map(|v| v.pointer("/emptyDir/sizeLimit")?.as_str());
    let folders: u64 = limits.filter_map(|text| quantity::bytes(text).ok()).fold(0, u64::saturating_add);
    folders.saturating_add(pod::DISK_LIMIT_BYTES).to_string()
}

/// The rest of such a job: one pod, no second pod after a failure, and a deadline. `start_seconds` is the time that a
/// pod may need to start; it is added to the steps' own time.
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
