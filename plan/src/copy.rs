//! Jobs that fill a copy of an instance: its database by the client programs, its files by the agent. No I/O.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tenantry_api::blueprint::BlueprintSpec;
use tenantry_api::database_server::DatabaseServer;
use tenantry_api::scheduling::Scheduling;
use tenantry_core::id::Id;
use tenantry_core::names::{LABEL_INSTANCE_ID, LABEL_PROCESS};
use tenantry_core::steps::JobFile;

use crate::agent_pod::{AgentPod, job_rest};
use crate::child::{Child, Kind};
use crate::labels::Labels;
use crate::view::{scratch_mounts, scratch_volumes};
use crate::{PlanError, Settings, pod, scheduling};

mod steps;

pub use steps::{Side, database_file, files_file};

/// Annotation of a job that fills a database: when the server wrote that database down. A job says nothing of
/// another database of the same name.
pub const ANNOTATION_DATABASE: &str = "tenantry.dev/database-made";
/// Seconds that a pod may need to start, added to the steps' own time.
const START_SECONDS: u32 = 600;
/// User and group of the pod that copies a database: its image's own does not matter.
const USER: i64 = 10001;
/// Least room for a dump, in bytes.
const SCRATCH_LEAST: u64 = 500_000_000;

/// Where a dump is written.
const SCRATCH: &str = "/scratch";
/// Where the volumes of the original and of the copy are mounted, each below its name.
const FROM: &str = "/tenantry/from";
const TO: &str = "/tenantry/to";

/// What both jobs have in common.
#[derive(Debug, Clone)]
pub struct Place<'a> {
    /// Namespace of the tenant.
    pub namespace: &'a str,
    /// Name of the job and of its Secret.
    pub name: &'a str,
    /// Labels of the copy.
    pub labels: Labels,
    /// What the job is for, as its label says.
    pub purpose: &'a str,
    /// Image in which the steps run.
    pub image: String,
    /// On which nodes it may run; on any when absent.
    pub scheduling: Option<&'a Scheduling>,
}

/// The pods of an original that hold its volumes, which only their node can mount then.
#[derive(Debug, Clone, Copy)]
pub struct Beside<'a> {
    /// Id of the original.
    pub original: &'a Id,
    /// Its processes with volumes that run. Those that share a volume are on one node; others need not be, and then
    /// there is no node for the job, which its pod says.
    pub processes: &'a BTreeSet<String>,
}

/// Whether a pod of the original waits for volumes that the job of a copy holds on another node: a volume that one
/// node has mounted may be closed to all others. `original` are nodes of pods that hold such volumes and are not up
/// yet, `job` those of the job's pods that have not ended.
#[must_use]
pub fn original_waits(original: &[String], job: &[String]) -> bool {
    original.iter().any(|node| job.iter().any(|held| held != node))
}

/// Whether a copy of `size` bytes fits on a server that has `storage` bytes (none: not known, for it is an external
/// one) and holds `used`: a tenth stays free for what its tenants write meanwhile, and a server whose disk is full
/// stops all of them.
#[must_use]
pub fn has_room(storage: Option<u64>, used: u64, size: u64) -> bool {
    storage.is_none_or(|storage| used.saturating_add(size) <= storage / 10 * 9)
}

/// Where a job may run that mounts volumes of the original and of the copy: on the copy's nodes, where the new
/// volumes will be needed, and whatever taints keep others away from either.
#[must_use]
pub fn nodes(copy: Option<&Scheduling>, original: Option<&Scheduling>) -> Option<Scheduling> {
    let mut both = copy.or(original)?.clone();
    if copy.is_none() {
        both.node_selector.clear();
    }
    let borne = copy.and(original).into_iter().flat_map(|o| &o.tolerations);
    for taint in borne {
        if !both.tolerations.contains(taint) {
            both.tolerations.push(taint.clone());
        }
    }
    Some(both)
}

/// A volume of the original and the one of the copy that takes its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// The blueprint's name of the volume.
    pub name: String,
    /// Claim of the original.
    pub from: String,
    /// Claim of the copy.
    pub to: String,
}

/// Image with the client programs of a server; none: an external server for which nobody named one.
#[must_use]
pub fn client_image(server: &DatabaseServer, settings: &Settings) -> Option<String> {
    let own = server.spec.managed.as_ref().map(|m| &m.image);
    server.spec.client_image.as_ref().or(own).map(|image| settings.image(image))
}

/// The Secret of a job: its steps, and the authorities of the servers' certificates. It holds passwords and is
/// cleared away like any rendered configuration.
///
/// # Errors
/// When the steps cannot be written as JSON.
pub fn build_secret(place: &Place<'_>, file: &JobFile, sides: &[(&str, &Side<'_>)]) -> Result<Child, PlanError> {
    let mut data = json!({ "steps.json": serde_json::to_string(file)? });
    for (name, side) in sides {
        if let Some(ca) = side.ca {
            data[format!("{name}-ca.pem")] = ca.into();
        }
    }
    let labels = place.labels.clone().and(tenantry_core::names::LABEL_PURPOSE, "config");
    let rest = json!({ "type": "Opaque", "stringData": data });
    Ok(Child::new(Kind::Secret, Some(place.namespace), place.name, &labels, rest))
}

/// The job that copies a database: the server's client programs, run by the agent, with room for the dump.
/// `made` is when the server wrote the copy's database down, `size_bytes` the size of the original's: a node with
/// less room is not chosen.
#[must_use]
pub fn build_database_job(
    place: &Place<'_>,
    file: &JobFile,
    storage_bytes: u64,
    size_bytes: u64,
    made: &str,
    settings: &Settings,
) -> Child {
    // The dump, and for MariaDB the same once more without the original's role in it.
    let scratch = storage_bytes.max(SCRATCH_LEAST).saturating_mul(2);
    let parts = Parts {
        pod_security: json!({ "runAsNonRoot": true, "runAsUser": USER, "runAsGroup": USER, "fsGroup": USER,
            "seccompProfile": { "type": "RuntimeDefault" } }),
        security: pod::agent_security(),
        env: json!([{ "name": "HOME", "value": SCRATCH }, { "name": "TMPDIR", "value": SCRATCH }]),
        volumes: vec![json!({ "name": "scratch", "emptyDir": { "sizeLimit": scratch.to_string() } })],
        mounts: vec![json!({ "name": "scratch", "mountPath": SCRATCH })],
        affinity: None,
        room: Some(size_bytes.min(scratch)),
    };
    let mut job = build(place, file, parts, settings);
    job.object["metadata"]["annotations"] = json!({ ANNOTATION_DATABASE: made });
    job
}

/// The job that copies files, as the product's own user. `beside`: when pods of the original hold its volumes.
#[must_use]
pub fn build_files_job(
    place: &Place<'_>,
    file: &JobFile,
    spec: &BlueprintSpec,
    pairs: &[Pair],
    beside: Option<Beside<'_>>,
    settings: &Settings,
) -> Child {
    let mut volumes: Vec<Value> = scratch_volumes(&spec.pod_security).collect();
    let mut mounts: Vec<Value> = scratch_mounts(&spec.pod_security).collect();
    for Pair { name, from, to } in pairs {
        // Read-only in the pod, not for the storage: the original's own pods hold the volume to write.
        volumes.push(json!({ "name": format!("from-{name}"), "persistentVolumeClaim": { "claimName": from } }));
        volumes.push(json!({ "name": format!("to-{name}"), "persistentVolumeClaim": { "claimName": to } }));
        mounts.push(json!({ "name": format!("from-{name}"), "mountPath": format!("{FROM}/{name}"), "readOnly": true }));
        mounts.push(json!({ "name": format!("to-{name}"), "mountPath": format!("{TO}/{name}") }));
    }
    let affinity = beside.map(|Beside { original, processes }| {
        let one = |process: &String| {
            json!({
                "topologyKey": "kubernetes.io/hostname",
                "labelSelector": {
                    "matchLabels": { LABEL_INSTANCE_ID: original.as_str(), LABEL_PROCESS: process },
                },
            })
        };
        let all: Vec<Value> = processes.iter().map(one).collect();
        json!({ "podAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": all } })
    });
    let parts = Parts {
        pod_security: pod::pod_security(&spec.pod_security),
        security: pod::container_security(&spec.pod_security),
        env: json!([]),
        volumes,
        mounts,
        affinity,
        room: None,
    };
    build(place, file, parts, settings)
}

/// What differs between the jobs.
struct Parts {
    pod_security: Value,
    security: Value,
    env: Value,
    volumes: Vec<Value>,
    mounts: Vec<Value>,
    affinity: Option<Value>,
    /// Bytes that a node must have free.
    room: Option<u64>,
}

fn build(place: &Place<'_>, file: &JobFile, parts: Parts, settings: &Settings) -> Child {
    let Parts { pod_security, security, env, volumes, mounts, affinity, room } = parts;
    let pod =
        AgentPod { image: &place.image, env, pod_security, security, volumes, mounts, secret: place.name, keys: None };
    let mut pod_spec = pod.spec(settings);
    if let Some(bytes) = room {
        pod_spec["containers"][0]["resources"]["requests"]["ephemeral-storage"] = bytes.to_string().into();
    }
    scheduling::place(&mut pod_spec, place.scheduling);
    if let Some(affinity) = affinity {
        pod_spec["affinity"] = affinity;
    }
    let labels = place.labels.clone().and(tenantry_core::names::LABEL_PURPOSE, place.purpose);
    let template = json!({ "metadata": { "labels": labels.to_map() }, "spec": pod_spec });
    let rest = job_rest(file, START_SECONDS, &template);
    Child::new(Kind::Job, Some(place.namespace), place.name, &labels, rest)
}

#[cfg(test)]
mod tests;
