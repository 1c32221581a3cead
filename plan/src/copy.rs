//! Jobs that fill a copy of an instance: the server's client programs copy its database, the agent its files. No I/O.

use std::collections::BTreeSet;

use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;
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

/// Annotation of a job that fills a database: the time at which the server recorded that database. The job's result
/// says nothing about a later database of the same name.
pub const ANNOTATION_DATABASE: &str = "tenantry.dev/database-made";
/// Annotation of a job that fills a database: the number of this beginning, as the server counts it.
const ANNOTATION_FILL: &str = "tenantry.dev/fill";
/// Seconds that a pod may need to start, added to the steps' own time.
const START_SECONDS: u32 = 600;
/// User and group of the pod that copies a database. The image's own user does not matter.
const USER: i64 = 10001;
/// Minimum room for a dump, in bytes.
const SCRATCH_LEAST: u64 = 500_000_000;

/// Folder for the dump.
const SCRATCH: &str = "/scratch";
/// Folders in which the volumes of the original and of the copy are mounted, each volume under its name.
const FROM: &str = "/tenantry/from";
const TO: &str = "/tenantry/to";

/// The parts that both jobs have in common.
#[derive(Debug, Clone)]
pub struct Place<'a> {
    /// Namespace of the tenant.
    pub namespace: &'a str,
    /// Name of the job and of its Secret.
    pub name: &'a str,
    /// Labels of the copy.
    pub labels: Labels,
    /// Value of the job's purpose label.
    pub purpose: &'a str,
    /// Image in which the steps run.
    pub image: String,
    /// Nodes on which the job may run. None means any node.
    pub scheduling: Option<&'a Scheduling>,
}

/// The running pods of an original that have its volumes mounted, so that only their node can mount them.
#[derive(Debug, Clone, Copy)]
pub struct Beside<'a> {
    /// Id of the original.
    pub original: &'a Id,
    /// The original's running processes that have volumes. Processes that share a volume are on one node. Others need
    /// not be; then no node fits the job, and the job's pod says so.
    pub processes: &'a BTreeSet<String>,
}

/// Whether a pod of the original waits for volumes that the copy's job holds on another node: once one node has mounted
/// a volume, other nodes may be unable to mount it. `original` lists the nodes of the original's pods that use such
/// volumes and are not up yet; `job` lists the nodes of the job's pods that have not ended.
#[must_use]
pub fn original_waits(original: &[String], job: &[String]) -> bool {
    original.iter().any(|node| job.iter().any(|held| held != node))
}

/// Whether a copy of `size` bytes fits on a server that has `storage` bytes and already uses `used`. A `storage` of
/// None means not known, because the server is external. A tenth stays free for what tenants write meanwhile, because a
/// full disk stops all of them.
#[must_use]
pub fn has_room(storage: Option<u64>, used: u64, size: u64) -> bool {
    storage.is_none_or(|storage| used.saturating_add(size) <= storage / 10 * 9)
}

/// Nodes for a job that mounts volumes of the original and of the copy: the copy's nodes, because the new volumes will
/// be needed there. The job tolerates the taints that either side tolerates.
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

/// A volume of the original and the volume of the copy that receives its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// Name of the volume in the blueprint.
    pub name: String,
    /// Claim of the original.
    pub from: String,
    /// Claim of the copy.
    pub to: String,
}

/// The empty database that a job fills.
#[derive(Debug, Clone, Copy)]
pub struct Made<'a> {
    /// The time at which the server recorded it.
    pub at: &'a str,
    /// How often its filling was begun, as the server counts it.
    pub fill: u64,
}

/// Which beginning of the filling a job belongs to; 0 for a job of an older operator.
#[must_use]
pub fn fill_of(job: &Job) -> u64 {
    job.annotations().get(ANNOTATION_FILL).and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Image with the client programs of a server. None means an external server for which no image was named.
#[must_use]
pub fn client_image(server: &DatabaseServer, settings: &Settings) -> Option<String> {
    let own = server.spec.managed.as_ref().map(|m| &m.image);
    server.spec.client_image.as_ref().or(own).map(|image| settings.image(image))
}

/// The Secret of a job: its steps, and the authorities of the servers' certificates. It holds passwords and is removed
/// later like any rendered configuration.
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

/// The job that copies a database: the agent runs the server's client programs, with room for the dump. `size_bytes` is the size of the original's database; a node
/// with less room is not chosen.
#[must_use]
pub fn build_database_job(
    place: &Place<'_>,
    file: &JobFile,
    storage_bytes: u64,
    size_bytes: u64,
    made: &Made<'_>,
    settings: &Settings,
) -> Child {
    // Room for the dump, and for MariaDB also for a second version of it without the original's role.
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
    job.object["metadata"]["annotations"] =
        json!({ ANNOTATION_DATABASE: made.at, ANNOTATION_FILL: made.fill.to_string() });
    job
}

/// The job that copies files, as the product's own user. `beside` is set when pods of the original hold its volumes.
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
        // Mounted read-only in the pod but attached read-write, because the original's own pods hold the volume
        // read-write.
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

/// The parts in which the jobs differ.
struct Parts {
    pod_security: Value,
    security: Value,
    env: Value,
    volumes: Vec<Value>,
    mounts: Vec<Value>,
    affinity: Option<Value>,
    /// Bytes that must be free on the node.
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
