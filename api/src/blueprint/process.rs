//! What a process is, and what of its blueprint it sees. No I/O.

use super::{BlueprintSpec, PodSecurity, Process, Volume};
use crate::site::PodSecurityLevel;

impl Process {
    /// Whether it runs another program than the product's.
    #[must_use]
    pub fn is_companion(&self) -> bool {
        self.image.is_some()
    }

    /// Whether it sees a volume of its blueprint.
    #[must_use]
    pub fn sees(&self, volume: &str) -> bool {
        match &self.volumes {
            Some(named) => named.iter().any(|name| name == volume),
            None => !self.is_companion(),
        }
    }

    /// The port at which others of its instance reach it; none when it serves, for then the Service does.
    #[must_use]
    pub fn inner_port(&self) -> Option<u16> {
        self.port.filter(|_| !self.serves)
    }

    /// How its pods run.
    #[must_use]
    pub fn security<'a>(&'a self, spec: &'a BlueprintSpec) -> &'a PodSecurity {
        self.pod_security.as_ref().unwrap_or(&spec.pod_security)
    }
}

impl BlueprintSpec {
    /// The volumes that a process sees.
    pub fn volumes_of<'a>(&'a self, process: &'a Process) -> impl Iterator<Item = &'a Volume> {
        self.volumes.iter().filter(|v| process.sees(&v.name))
    }

    /// The volumes that jobs and schedules see: all but those that nobody besides a companion does.
    pub fn volumes_of_jobs(&self) -> impl Iterator<Item = &Volume> {
        let seen = |v: &Volume, companion: bool| {
            self.processes.iter().any(|p| p.is_companion() == companion && p.sees(&v.name))
        };
        self.volumes.iter().filter(move |v| seen(v, false) || !seen(v, true))
    }

    /// The loosest Pod Security level of its pods.
    #[must_use]
    pub fn loosest_level(&self) -> PodSecurityLevel {
        let own = self.processes.iter().filter_map(|p| p.pod_security.as_ref());
        own.map(|s| s.level).fold(self.pod_security.level, PodSecurityLevel::max)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn spec(processes: Value) -> BlueprintSpec {
        let volume = |name: &str| json!({ "name": name, "mountPath": format!("/{name}"), "percentOfStorage": 10 });
        serde_json::from_value(json!({
            "title": "T", "releases": [{ "version": "1", "image": "i" }],
            "volumes": [volume("files"), volume("redis"), volume("work")], "processes": processes,
        }))
        .unwrap()
    }

    #[test]
    fn a_product_sees_all_volumes_and_a_companion_those_that_it_names() {
        let all = spec(json!([{ "name": "web" }, { "name": "redis", "image": "r" }]));
        assert_eq!(all.volumes_of(&all.processes[0]).count(), 3);
        assert_eq!(all.volumes_of(&all.processes[1]).count(), 0);
        let named =
            spec(json!([{ "name": "web", "volumes": [] }, { "name": "redis", "image": "r", "volumes": ["redis"] }]));
        assert_eq!(named.volumes_of(&named.processes[0]).count(), 0);
        let seen: Vec<_> = named.volumes_of(&named.processes[1]).map(|v| v.name.as_str()).collect();
        assert_eq!(seen, ["redis"]);
    }

    #[test]
    fn jobs_do_not_see_what_only_a_companion_does() {
        let names = |spec: &BlueprintSpec| spec.volumes_of_jobs().map(|v| v.name.clone()).collect::<Vec<_>>();
        let web = json!({ "name": "web", "volumes": ["files"] });
        let redis = json!({ "name": "redis", "image": "r", "volumes": ["redis"] });
        assert_eq!(names(&spec(json!([web, redis]))), ["files", "work"]);
        assert_eq!(names(&spec(json!([{ "name": "web" }, redis]))), ["files", "redis", "work"]);
    }

    #[test]
    fn the_loosest_level_is_that_of_the_loosest_process() {
        let with = |level: &str| {
            spec(json!([{ "name": "web" }, { "name": "redis", "image": "r", "podSecurity": { "level": level } }]))
        };
        assert_eq!(with("restricted").loosest_level(), PodSecurityLevel::Restricted);
        assert_eq!(with("baseline").loosest_level(), PodSecurityLevel::Baseline);
        let mut looser = with("restricted");
        looser.pod_security.level = PodSecurityLevel::Privileged;
        assert_eq!(looser.loosest_level(), PodSecurityLevel::Privileged);
    }

    #[test]
    fn what_a_blueprint_does_not_say_does_not_stand_in_its_pinned_form() {
        let plain = spec(json!([{ "name": "web", "port": 80 }]));
        let written = serde_json::to_value(&plain.processes[0]).unwrap();
        let keys: Vec<&str> = written.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["name", "port", "replicas", "startTimeoutSeconds", "stopTimeoutSeconds", "strategy"]);
    }
}
