//! What a pod sees of its blueprint: volumes, files, forgotten paths. No I/O.

use serde_json::{Value, json};
use tenantry_api::blueprint::{BlueprintSpec, PodSecurity, Process, Volume};

use crate::config::Config;

/// What a pod sees of its blueprint.
#[derive(Debug)]
pub struct View<'a> {
    /// Volumes.
    pub volumes: Vec<&'a Volume>,
    /// Whether it sees the rendered files: companions do not.
    pub files: bool,
    /// How it runs.
    pub security: &'a PodSecurity,
}

impl<'a> View<'a> {
    /// Of a process.
    #[must_use]
    pub fn of_process(spec: &'a BlueprintSpec, process: &'a Process) -> Self {
        Self {
            volumes: spec.volumes_of(process).collect(),
            files: !process.is_companion(),
            security: process.security(spec),
        }
    }

    /// Of a job or schedule.
    #[must_use]
    pub fn of_jobs(spec: &'a BlueprintSpec) -> Self {
        Self { volumes: spec.volumes_of_jobs().collect(), files: true, security: &spec.pod_security }
    }

    /// `volumeMounts` of the container. Their order says nothing: kubelet mounts what lies inside of something
    /// else after it.
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

    /// `volumes` of the pod for [`mounts`](Self::mounts). `claim` names the claim of a volume; without one it is
    /// an empty folder that is forgotten.
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

/// Most of a volume of the blueprint that is an empty folder, where a template is built.
const FORGOTTEN: &str = "4Gi";

/// `volumeMounts` of the paths whose content is forgotten.
pub fn scratch_mounts(security: &PodSecurity) -> impl Iterator<Item = Value> {
    let paths = security.writable_paths.iter().enumerate();
    paths.map(|(i, path)| json!({"name": format!("scratch-{i}"), "mountPath": path}))
}

/// `volumes` of the pod for [`scratch_mounts`].
pub fn scratch_volumes(security: &PodSecurity) -> impl Iterator<Item = Value> {
    (0..security.writable_paths.len())
        .map(|i| json!({"name": format!("scratch-{i}"), "emptyDir": {"sizeLimit": "256Mi"}}))
}
