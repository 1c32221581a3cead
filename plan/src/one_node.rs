//! Which pods of an instance must run on the same node: those that mount the same volumes. No I/O.
//!
//! The volumes are ReadWriteOnce: pods on one node can share a volume, while a pod on another node would wait forever.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tenantry_api::blueprint::{BlueprintSpec, Process, Strategy, Volume};
use tenantry_core::names::{self, LABEL_INSTANCE_ID, LABEL_VOLUMES};

use crate::instance::Wanted;

/// A group of pods that run on the same node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Together {
    instance: String,
    volumes: String,
}

impl Together {
    /// The group of a process. None means that at most one pod at a time mounts its volumes.
    #[must_use]
    pub fn process(wanted: &Wanted, process: &Process) -> Option<Self> {
        Self::with(wanted, wanted.release.spec.volumes_of(process))
    }

    /// The group of jobs and schedules.
    #[must_use]
    pub fn jobs(wanted: &Wanted) -> Option<Self> {
        Self::with(wanted, wanted.release.spec.volumes_of_jobs())
    }

    fn with<'a>(wanted: &Wanted, volumes: impl Iterator<Item = &'a Volume>) -> Option<Self> {
        let mine: BTreeSet<&str> = volumes.map(|v| v.name.as_str()).collect();
        let groups = groups(&wanted.release.spec);
        let (volumes, _) = groups.into_iter().find(|(volumes, pods)| *pods > 1 && !volumes.is_disjoint(&mine))?;
        let first = volumes.first()?;
        Some(Self { instance: wanted.id.to_string(), volumes: names::volume_group(first, wanted.generation) })
    }

    /// Labels a pod template and ties it to the node of the group's other pods. The first pod matches its own label, so
    /// it can run on any node.
    pub fn mark(&self, template: &mut Value) {
        template["metadata"]["labels"][LABEL_VOLUMES] = self.volumes.clone().into();
        template["spec"]["affinity"]["podAffinity"] = json!({ "requiredDuringSchedulingIgnoredDuringExecution": [{
            "topologyKey": "kubernetes.io/hostname",
            "labelSelector": { "matchLabels": { LABEL_INSTANCE_ID: self.instance, LABEL_VOLUMES: self.volumes } },
        }]});
    }
}

/// Groups of volumes that belong together because some pod mounts several of them, each with the number of pods that
/// may run at the same time.
fn groups(spec: &BlueprintSpec) -> Vec<(BTreeSet<&str>, u32)> {
    let processes = spec.processes.iter().map(|p| {
        let pods = match (p.replicas.max, p.strategy) {
            (0, _) => 0,
            (1, Strategy::Recreate) => 1,
            // Several pods may run: a rolling update starts the new pod beside the old one, or the process has several
            // replicas.
            _ => 2,
        };
        (spec.volumes_of(p).map(|v| v.name.as_str()).collect::<BTreeSet<_>>(), pods)
    });
    let schedules = spec.schedules.iter().map(|_| (spec.volumes_of_jobs().map(|v| v.name.as_str()).collect(), 1));
    let mut groups: Vec<(BTreeSet<&str>, u32)> = Vec::new();
    for (volumes, pods) in processes.chain(schedules) {
        let (tied, mut apart): (Vec<_>, Vec<_>) = groups.into_iter().partition(|(g, _)| !g.is_disjoint(&volumes));
        let mut one = (volumes, pods);
        for (volumes, pods) in tied {
            one.0.extend(volumes);
            one.1 += pods;
        }
        apart.push(one);
        groups = apart;
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(processes: Value, schedules: Value) -> BlueprintSpec {
        let volume = |name: &str| json!({ "name": name, "mountPath": format!("/{name}"), "percentOfStorage": 10 });
        serde_json::from_value(json!({
            "title": "T", "releases": [{ "version": "1", "image": "i" }], "volumes": [volume("a"), volume("b")],
            "processes": processes, "schedules": schedules,
        }))
        .unwrap()
    }

    fn shared(processes: Value, schedules: Value) -> Vec<String> {
        let spec = spec(processes, schedules);
        let mut all: Vec<String> = groups(&spec)
            .into_iter()
            .filter(|(_, pods)| *pods > 1)
            .map(|(volumes, _)| volumes.into_iter().collect::<Vec<_>>().join("+"))
            .collect();
        all.sort();
        all
    }

    #[test]
    fn volumes_of_one_pod_alone_bind_nothing() {
        assert_eq!(shared(json!([{ "name": "web" }]), json!([])), [""; 0]);
        let apart = json!([{ "name": "web", "volumes": ["a"] }, { "name": "redis", "image": "r", "volumes": ["b"] }]);
        assert_eq!(shared(apart, json!([])), [""; 0]);
        let companion = json!([{ "name": "web" }, { "name": "redis", "image": "r" }]);
        assert_eq!(shared(companion, json!([])), [""; 0]);
    }

    #[test]
    fn pods_that_mount_a_volume_of_others_are_bound_to_them() {
        let two = json!([{ "name": "web", "volumes": ["a"] }, { "name": "worker", "volumes": ["a"] }]);
        assert_eq!(shared(two, json!([])), ["a"]);
        let schedule = json!([{ "name": "cron", "cron": "H * * * *", "command": ["x"] }]);
        assert_eq!(shared(json!([{ "name": "web" }]), schedule), ["a+b"]);
        // The worker mounts both volumes and so ties them together, although the other processes mount only one.
        let three =
            json!([{ "name": "one", "volumes": ["a"] }, { "name": "two", "volumes": ["b"] }, { "name": "both" }]);
        assert_eq!(shared(three, json!([])), ["a+b"]);
    }

    #[test]
    fn a_second_pod_of_the_same_process_counts() {
        let rolling = json!([{ "name": "web", "volumes": ["a"], "strategy": "rolling" }]);
        assert_eq!(shared(rolling, json!([])), ["a"]);
        let many = json!([{ "name": "web", "volumes": ["b"], "replicas": { "default": 1, "max": 3 } }]);
        assert_eq!(shared(many, json!([])), ["b"]);
        let none = json!([{ "name": "web", "volumes": ["a"] },
            { "name": "never", "volumes": ["a"], "replicas": { "default": 0, "max": 0 } }]);
        assert_eq!(shared(none, json!([])), [""; 0]);
    }
}
