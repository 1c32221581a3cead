//! Finds what the API server would later refuse in objects made from a blueprint, and names its place. No I/O.

use tenantry_api::blueprint::BlueprintSpec;

use crate::resources;

/// Maximum size of a Secret or ConfigMap, in bytes.
pub const OBJECT_MAX: usize = 1 << 20;
/// Bytes reserved for everything but the blueprint in the ConfigMap that keeps one of its releases.
const BESIDE: usize = 4 << 10;

/// All such problems. `names` holds the names of the environment variables, by place.
pub(super) fn problems<'a>(spec: &BlueprintSpec, names: impl Iterator<Item = (String, &'a String)>) -> Vec<String> {
    let mut found = Vec::new();
    for (place, name) in names.filter(|(_, name)| !is_variable(name)) {
        found.push(format!(
            "{place}: {name:?} is not the name of a variable: letters, digits, _ - and ., not beginning with a digit"
        ));
    }
    for p in &spec.processes {
        let place = format!("processes[{}].resources", p.name);
        found.extend(p.resources.iter().flat_map(|r| resources::problems(&place, r)));
    }
    let own =
        spec.processes.iter().filter_map(|p| p.pod_security.as_ref().map(|s| (format!("processes[{}].", p.name), s)));
    for (place, security) in std::iter::once((String::new(), &spec.pod_security)).chain(own) {
        let wrong = |path: &&String| !path.starts_with('/') || path.len() < 2 || path.contains(':');
        for path in security.writable_paths.iter().filter(wrong) {
            found.push(format!(
                "{place}podSecurity.writablePaths: {path:?} is not a path: it begins with / and has no colon"
            ));
        }
    }
    let releases = spec.releases.iter().map(|r| (format!("releases[{}].image", r.version), &r.image));
    let companions =
        spec.processes.iter().filter_map(|p| Some((format!("processes[{}].image", p.name), p.image.as_ref()?)));
    for (place, image) in releases.chain(companions).filter(|(_, image)| image.contains(char::is_whitespace)) {
        found.push(format!("{place}: {image:?} has a space: an image is one word"));
    }
    found.extend(too_large(spec));
    found
}

fn too_large(spec: &BlueprintSpec) -> Vec<String> {
    let files: usize = spec.files.iter().map(|f| f.content.len()).sum();
    let whole = serde_json::to_string(spec).map_or(0, |text| text.len());
    let mut found = Vec::new();
    if files > OBJECT_MAX {
        found
            .push(format!("files: together they have {files} bytes, {OBJECT_MAX} fit; put large files into the image"));
    } else if whole > OBJECT_MAX - BESIDE {
        found.push(format!(
            "the blueprint has {whole} bytes as JSON, {} fit beside an instance that keeps it; put large files into the image",
            OBJECT_MAX - BESIDE
        ));
    }
    found
}

/// Whether an environment variable can have this name, and whether a key of a Secret can end with it.
fn is_variable(name: &str) -> bool {
    let inner = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
    inner && name.bytes().next().is_some_and(|b| !b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tenantry_api::blueprint::BlueprintSpec;

    use crate::blueprint::problems;

    fn with(change: Value) -> String {
        let mut spec = json!({
            "title": "Desk", "releases": [{ "version": "1", "image": "i" }],
            "processes": [{ "name": "web", "port": 80, "serves": true }],
        });
        for (key, value) in change.as_object().unwrap() {
            spec[key] = value.clone();
        }
        problems(&serde_json::from_value::<BlueprintSpec>(spec).unwrap()).join("\n")
    }

    #[test]
    fn quantities_names_paths_and_images_that_would_be_refused_are_told() {
        let web = |more: Value| {
            let mut web = json!({ "name": "web", "port": 80, "serves": true });
            web.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            json!({ "processes": [web] })
        };
        let step = |env: Value| json!({ "steps": [{ "name": "set up", "command": ["x"], "env": env }] });
        assert_eq!(with(json!({ "env": { "A_b-c.d": "x" } })), "");
        for (wrong, told) in [
            (web(json!({ "resources": { "memoryLimit": "64MB" } })), "processes[web].resources.memoryLimit: \"64MB\""),
            (
                web(json!({ "resources": { "memoryRequest": "2Gi", "memoryLimit": "1Gi" } })),
                "processes[web].resources.memoryRequest is above memoryLimit",
            ),
            (json!({ "env": { "MY NAME": "x" } }), "env: \"MY NAME\" is not the name of a variable"),
            (web(json!({ "env": { "1ST": "x" } })), "processes[web].env: \"1ST\""),
            (json!({ "personalise": step(json!({ "A=B": "x" })) }), "personalise[set up].env: \"A=B\""),
            (
                json!({ "schedules": [{ "name": "s", "cron": "H * * * *", "command": ["x"], "env": { "": "x" } }] }),
                "schedules[s].env: \"\"",
            ),
            (
                json!({ "podSecurity": { "writablePaths": ["tmp"] } }),
                "podSecurity.writablePaths: \"tmp\" is not a path",
            ),
            (
                web(json!({ "podSecurity": { "writablePaths": ["/a:b"] } })),
                "processes[web].podSecurity.writablePaths: \"/a:b\"",
            ),
            (json!({ "releases": [{ "version": "1", "image": "i:1 " }] }), "releases[1].image: \"i:1 \" has a space"),
        ] {
            let said = with(wrong.clone());
            assert!(said.contains(told), "{wrong}: {said}");
        }
    }

    #[test]
    fn files_that_do_not_fit_into_one_secret_are_told() {
        let files = |number: usize| {
            let file = |n| json!({ "path": format!("/f{n}"), "content": "x".repeat(200_000) });
            json!({ "files": (0..number).map(file).collect::<Vec<_>>() })
        };
        assert_eq!(with(files(5)), "");
        assert!(with(files(6)).contains("files: together they have 1200000 bytes, 1048576 fit"), "{}", with(files(6)));
        let mut many = files(5);
        many["env"] = json!({ "A": "\u{1}".repeat(9_000) });
        assert!(with(many).contains("as JSON"), "escaped characters count as they are written");
    }
}
