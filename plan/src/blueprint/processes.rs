//! Static validation of processes: companions, volumes, mounts, addresses. No I/O.

use std::collections::BTreeSet;

use tenantry_api::blueprint::{BlueprintSpec, Process};

use crate::view::View;

/// What templates may use of other processes.
pub(super) const HINT: &str =
    "processes.NAME.host and processes.NAME.port are there for processes that have a port and do not serve";

/// Whether templates may use this path below `processes`.
pub(super) fn knows(spec: &BlueprintSpec, rest: &str) -> bool {
    let (name, field) = rest.split_once('.').unwrap_or((rest, ""));
    let inner = |p: &Process| p.name == name && p.inner_port().is_some();
    matches!(field, "" | "host" | "port") && spec.processes.iter().any(inner)
}

/// All problems of the processes.
pub(super) fn problems(spec: &BlueprintSpec) -> Vec<String> {
    let mut found = Vec::new();
    for p in &spec.processes {
        let place = format!("processes[{}]", p.name);
        if p.is_companion() && p.serves {
            found.push(format!("{place}: a companion (a process with an image of its own) cannot serve"));
        }
        let mut named = BTreeSet::new();
        for name in p.volumes.iter().flatten() {
            if !spec.volumes.iter().any(|v| v.name == *name) {
                found.push(format!("{place}.volumes: there is no volume {name:?}"));
            } else if !named.insert(name) {
                found.push(format!("{place}.volumes: {name:?} is there twice"));
            }
        }
        found.extend(twice(&place, spec, &View::of_process(spec, p)));
    }
    found.extend(twice("jobs and schedules", spec, &View::of_jobs(spec)));
    found
}

/// Paths at which a pod would mount two things. The API server refuses such a pod.
fn twice(place: &str, spec: &BlueprintSpec, view: &View<'_>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let again = view.paths(spec).filter(|path| !seen.insert(path.trim_end_matches('/')));
    again
        .map(|path| format!("{place}: {path} is the place of two of volumes, files and podSecurity.writablePaths"))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tenantry_api::blueprint::BlueprintSpec;

    use crate::blueprint::problems;

    fn with(change: Value) -> String {
        let mut spec = json!({
            "title": "Desk", "releases": [{ "version": "1", "image": "i" }], "database": { "engines": [{ "engine": "postgresql" }] },
            "volumes": [{ "name": "files", "mountPath": "/files", "percentOfStorage": 50 }],
            "processes": [{ "name": "web", "port": 80, "serves": true }, { "name": "queue", "image": "q", "port": 6379 }],
        });
        for (key, value) in change.as_object().unwrap() {
            spec[key] = value.clone();
        }
        problems(&serde_json::from_value::<BlueprintSpec>(spec).unwrap()).join("\n")
    }

    #[test]
    fn a_companion_that_serves_and_a_volume_that_is_not_there_are_told() {
        assert_eq!(with(json!({})), "");
        let queue = |more: Value| {
            let mut queue = json!({ "name": "queue", "image": "q", "port": 1 });
            queue.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            with(json!({ "processes": [queue] }))
        };
        assert_eq!(queue(json!({ "volumes": ["files"] })), "");
        for (more, told) in [
            (
                json!({ "serves": true }),
                "processes[queue]: a companion (a process with an image of its own) cannot serve",
            ),
            (json!({ "volumes": ["fiels"] }), "processes[queue].volumes: there is no volume \"fiels\""),
            (json!({ "volumes": ["files", "files"] }), "processes[queue].volumes: \"files\" is there twice"),
        ] {
            assert_eq!(queue(more), told);
        }
    }

    #[test]
    fn addresses_of_processes_are_known_where_there_are_some() {
        let used = |text: &str| with(json!({ "env": { "QUEUE": text } }));
        for fine in [
            "{{ processes.queue.host }}:{{ processes.queue.port }}",
            "{{ processes['queue'].host }}",
            "{% if processes is defined %}{{ processes.queue.host }}{% endif %}",
        ] {
            assert_eq!(used(fine), "", "{fine}");
        }
        for unknown in
            ["processes.web.host", "processes.quue.port", "processes.queue.address", "processes.queue.host.x"]
        {
            let said = used(&format!("{{{{ {unknown} }}}}"));
            assert!(said.contains(unknown) && said.contains("that have a port and do not serve"), "{said}");
        }
    }

    #[test]
    fn a_verification_asks_processes_that_have_a_port() {
        let asks = |process: &str| {
            let step = json!({ "name": "health", "path": "/", "process": process });
            with(json!({ "verify": { "steps": [step] } }))
        };
        assert_eq!((asks("web"), asks("queue")), (String::new(), String::new()));
        assert_eq!(
            asks("quue"),
            "verify.steps[health].process: no process \"quue\" has a port and runs before the verification"
        );
    }

    #[test]
    fn a_file_may_lie_inside_a_volume_but_not_in_its_place() {
        let file = |path: &str| with(json!({ "files": [{ "path": path, "content": "" }] }));
        assert_eq!(file("/files/inside/config.php"), "");
        assert!(file("/files").contains("processes[web]: /files is the place of two"));
        assert!(!file("/files").contains("processes[queue]"), "a companion sees neither");
        let twice = with(json!({ "podSecurity": { "writablePaths": ["/files/"] } }));
        assert!(twice.contains("jobs and schedules: /files/ is the place of two"), "{twice}");
    }

    #[test]
    fn sql_stands_before_commands_and_an_install_is_of_one_kind() {
        let steps = |kinds: &str| {
            let step = |(i, kind): (usize, char)| match kind {
                's' => json!({ "name": format!("{i}"), "sql": "SELECT 1" }),
                _ => json!({ "name": format!("{i}"), "command": ["x"] }),
            };
            json!({ "steps": kinds.chars().enumerate().map(step).collect::<Vec<_>>() })
        };
        for place in ["personalise", "neutralise"] {
            for fine in ["s", "c", "ss", "cc", "sc", "sscc"] {
                assert_eq!(with(json!({ place: steps(fine) })), "", "{place} {fine}");
            }
            for (wrong, at) in [("cs", 1), ("scs", 2), ("ccss", 2)] {
                let told = format!("{place}[{at}]: SQL steps stand before the first command");
                assert_eq!(with(json!({ place: steps(wrong) })), told, "{wrong}");
            }
        }
        assert_eq!(with(json!({ "migrate": { "steps": steps("sc") } })), "");
        assert_eq!(with(json!({ "install": steps("ss") })), "");
        assert_eq!(with(json!({ "install": steps("sc") })), "install: its steps are all commands or all SQL");
        assert!(with(json!({ "install": steps("cs") })).contains("install[1]: SQL steps stand before"));
    }
}
