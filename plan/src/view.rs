//! The parts of a blueprint that a pod sees: volumes, files, and writable paths whose content is not kept. No I/O.

use serde_json::{Value, json};
use tenantry_api::blueprint::{BlueprintSpec, PodSecurity, Process, Volume};

use crate::config::Config;

/// The parts of a blueprint that a pod sees.
#[derive(Debug)]
pub struct View<'a> {
    /// Volumes.
    pub volumes: Vec<&'a Volume>,
    /// Whether the pod sees the rendered files. Companions do not.
    pub files: bool,
    /// Security settings of the pod.
    pub security: &'a PodSecurity,
}

impl<'a> View<'a> {
    /// The view of a process.
    #[must_use]
    pub fn of_process(spec: &'a BlueprintSpec, process: &'a Process) -> Self {
        Self {
            volumes: spec.volumes_of(process).collect(),
            files: !process.is_companion(),
            security: process.security(spec),
        }
    }

    /// The view of jobs and schedules.
    #[must_use]
    pub fn of_jobs(spec: &'a BlueprintSpec) -> Self {
        Self { volumes: spec.volumes_of_jobs().collect(), files: true, security: &spec.pod_security }
    }

    /// `volumeMounts` of the container. Their order does not matter, because kubelet mounts a path inside another one
    /// after it.
    #[must_use]
    pub fn mounts(&self, config: &Config) -> Vec<Value> {
        let data = |v: &&Volume| json!({"name": format!("data-{}", v.name), "mountPath": v.mount_path});
        let mut all: Vec<Value> = self.volumes.iter().map(data).collect();
        all.extend(scratch_mounts(self.security));
        if self.files {
            all.extend(config.mounts());
        }
        all
    }

    /// `volumes` of the pod for [`mounts`](Self::mounts). `claim` gives the name of a volume's claim. None means that
    /// the pod gets temporary empty folders instead.
    #[must_use]
    pub fn pod_volumes(&self, config: &Config, secret: &str, claim: Option<&dyn Fn(&str) -> String>) -> Vec<Value> {
        let data = |v: &&Volume| {
            let name = format!("data-{}", v.name);
            match claim {
                Some(claim) => json!({"name": name, "persistentVolumeClaim": {"claimName": claim(&v.name)}}),
                None => json!({"name": name, "emptyDir": {"sizeLimit": FORGOTTEN}}),
            }
        };
        let mut all: Vec<Value> = self.volumes.iter().map(data).collect();
        all.extend(scratch_volumes(self.security));
        if self.files {
            all.extend(config.volume(secret));
        }
        all
    }

    /// Every path at which something is mounted.
    pub fn paths<'b>(&'b self, spec: &'b BlueprintSpec) -> impl Iterator<Item = &'b str> {
        let files = spec.files.iter().filter(|_| self.files).map(|f| f.path.as_str());
        let volumes = self.volumes.iter().map(|v| v.mount_path.as_str());
        volumes.chain(self.security.writable_paths.iter().map(String::as_str)).chain(files)
    }
}

/// Size limit of the empty folder that replaces a blueprint's volume while a template is built.
const FORGOTTEN: &str = "4Gi";

/// `volumeMounts` of the writable paths whose content is not kept.
pub fn scratch_mounts(security: &PodSecurity) -> impl Iterator<Item = Value> {
    let paths = security.writable_paths.iter().enumerate();
    paths.map(|(i, path)| json!({"name": format!("scratch-{i}"), "mountPath": path}))
}

/// `volumes` of the pod for [`scratch_mounts`].
pub fn scratch_volumes(security: &PodSecurity) -> impl Iterator<Item = Value> {
    (0..security.writable_paths.len())
        .map(|i| json!({"name": format!("scratch-{i}"), "emptyDir": {"sizeLimit": "256Mi"}}))
}
