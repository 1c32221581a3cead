//! From a Compose file to a draft. Passwords are never carried over. No I/O.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use tenantry_api::database_server::Engine;

use super::draft::{Draft, Process};
use super::names::Names;
use super::values::{Known, literal, settled, words};
use crate::blueprint::hints::secret_name;

/// Largest Compose file that is read, in bytes.
pub const MAX_BYTES: usize = 1_000_000;
/// Most processes, volumes and variables that a blueprint may have.
const PROCESSES: usize = 10;
const VOLUMES: usize = 10;

/// Keys of a service that are carried over, or whose work Tenantry does itself.
const UNDERSTOOD: [&str; 20] = [
    "image",
    "build",
    "command",
    "entrypoint",
    "environment",
    "ports",
    "expose",
    "volumes",
    "healthcheck",
    "user",
    "depends_on",
    "restart",
    "networks",
    "container_name",
    "hostname",
    "links",
    "logging",
    "init",
    "pull_policy",
    "stop_grace_period",
];

/// A service with its name and fields.
struct Service<'a> {
    name: &'a str,
    fields: &'a Map<String, Value>,
}

/// Images that run an engine, or a product that can be exchanged for it.
fn images(engine: Engine) -> &'static [&'static str] {
    match engine {
        Engine::Postgresql => &["postgres", "postgresql", "postgis", "pgvector", "timescaledb"],
        Engine::Mariadb => &["mysql", "mariadb", "percona", "mysql-server"],
    }
}

impl Service<'_> {
    fn text(&self, key: &str) -> Option<String> {
        self.fields.get(key).and_then(Value::as_str).map(str::to_owned)
    }

    fn image(&self) -> String {
        settled(&self.text("image").unwrap_or_default())
    }

    /// The program of the image: `registry.example/library/postgres:16` is `postgres`.
    fn program(&self) -> String {
        let image = self.image();
        let image = image.split('@').next().unwrap_or_default();
        let last = image.rsplit('/').next().unwrap_or_default();
        last.split(':').next().unwrap_or_default().to_owned()
    }

    fn engine(&self) -> Option<Engine> {
        let program = self.program();
        Engine::ALL.into_iter().find(|engine| images(*engine).contains(&program.as_str()))
    }

    fn list(&self, key: &str) -> Vec<&Value> {
        self.fields.get(key).and_then(Value::as_array).map(|a| a.iter().collect()).unwrap_or_default()
    }

    /// Ports inside the container: the published ones first.
    fn ports(&self) -> Vec<u16> {
        let inside = |v: &Value| -> Option<u16> {
            if let Some(target) = v.get("target") {
                return target.as_u64().and_then(|n| u16::try_from(n).ok());
            }
            let text = v.as_str().map_or_else(|| v.to_string(), settled);
            text.split('/').next()?.rsplit(':').next()?.split('-').next()?.parse().ok()
        };
        self.list("ports").into_iter().chain(self.list("expose")).filter_map(inside).filter(|p| *p > 0).collect()
    }

    fn is_published(&self) -> bool {
        !self.list("ports").is_empty()
    }

    /// Environment as pairs. A variable without a value takes the shell's value in Compose.
    fn environment(&self) -> Vec<(String, String)> {
        match self.fields.get("environment") {
            Some(Value::Object(map)) => map.iter().map(|(k, v)| (k.clone(), literal(v))).collect(),
            Some(Value::Array(all)) => all
                .iter()
                .filter_map(Value::as_str)
                .map(|line| line.split_once('=').unwrap_or((line, "")))
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .collect(),
            _ => Vec::new(),
        }
    }
}

/// Makes a draft from a Compose file.
///
/// # Errors
/// A text for people when the file is no Compose file, or has no service that could be the product.
pub fn draft(name: &str, text: &str) -> Result<Draft, String> {
    if text.len() > MAX_BYTES {
        return Err(format!("the file has {} bytes; at most {MAX_BYTES} are read", text.len()));
    }
    let file: Value = tenantry_core::yaml::from_str(text).map_err(|e| format!("it is not YAML: {e}"))?;
    let file = merged(file);
    let services = file.get("services").and_then(Value::as_object).ok_or("it has no `services`")?;
    let services: Vec<Service<'_>> =
        services.iter().filter_map(|(name, fields)| Some(Service { name, fields: fields.as_object()? })).collect();
    let (databases, others): (Vec<_>, Vec<_>) = services.iter().partition(|s| s.engine().is_some());
    let main = main(&others).ok_or("it has no service but databases: which one is the product?")?;
    let mut draft = Draft { name: name.to_owned(), image: main.image(), ..Draft::default() };
    if draft.image.is_empty() {
        draft.image = format!("registry.example.org/{name}:1");
        draft
            .remarks
            .push(format!("service {} is built from source: push its image and name it in releases", main.name));
    }
    let database = databases.first().copied();
    draft.engine = database.and_then(Service::engine);
    if let Some(database) = database
        && database.program().contains("mysql")
    {
        draft.remarks.push("the database is MySQL there and MariaDB here: see that the product runs on it".into());
    }
    for more in databases.iter().skip(1) {
        draft.remarks.push(format!("a second database, service {}, is left away: an instance has one", more.name));
    }
    let own = |s: &Service<'_>| {
        std::ptr::eq(s, main) || (!s.image().is_empty() && s.image() == main.image()) || same_build(s, main)
    };
    let companions: Vec<String> = others.iter().filter(|s| !own(s)).map(|s| s.name.to_owned()).collect();
    let mut names = Names::default();
    let mut known = Known::new(database.map(|d| (d.name, d.environment())));
    for service in companions.iter() {
        known.companion(service, &names.process(service));
    }
    let mut ordered: Vec<&Service<'_>> = vec![main];
    ordered.extend(others.iter().copied().filter(|s| !std::ptr::eq(*s, main)));
    for service in ordered.iter().skip(PROCESSES) {
        draft
            .remarks
            .push(format!("service {} is left away: a blueprint has {PROCESSES} processes at most", service.name));
    }
    for service in ordered.into_iter().take(PROCESSES) {
        let process = process(service, own(service), std::ptr::eq(service, main), &mut draft, &mut known, &mut names);
        draft.processes.push(process);
    }
    shared_environment(&mut draft);
    draft.secrets = known.secrets();
    draft.settings = known.settings();
    draft.remarks.extend(known.remarks());
    for key in file.as_object().into_iter().flatten().map(|(k, _)| k.as_str()) {
        if !["services", "version", "volumes", "networks", "name"].contains(&key) && !key.starts_with("x-") {
            draft.remarks.push(format!("`{key}` of the Compose file is left away"));
        }
    }
    Ok(draft)
}

/// Puts YAML's merge keys (`<<: *other`) in place, because the YAML reader leaves them as they stand.
fn merged(value: Value) -> Value {
    match value {
        Value::Object(mut map) => {
            let sources = match map.remove("<<") {
                Some(Value::Array(all)) => all,
                Some(one) => vec![one],
                None => Vec::new(),
            };
            for source in sources.into_iter().map(merged) {
                for (key, value) in source.as_object().into_iter().flatten() {
                    map.entry(key.clone()).or_insert_with(|| value.clone());
                }
            }
            Value::Object(map.into_iter().map(|(key, value)| (key, merged(value))).collect())
        }
        Value::Array(all) => Value::Array(all.into_iter().map(merged).collect()),
        other => other,
    }
}

/// The service that people open, in this order: published and named like a web service, published, named like a web
/// service, any other.
fn main<'a, 'b>(services: &[&'a Service<'b>]) -> Option<&'a Service<'b>> {
    const WORDS: [&str; 8] = ["web", "app", "server", "frontend", "crm", "http", "nginx", "site"];
    let called = |s: &Service<'_>| WORDS.iter().any(|w| s.name.to_ascii_lowercase().contains(w));
    let companion = |s: &Service<'_>| {
        ["redis", "valkey", "memcached", "rabbitmq", "elasticsearch", "opensearch", "mailhog", "adminer", "phpmyadmin"]
            .contains(&s.program().as_str())
    };
    services.iter().copied().min_by_key(|s| (companion(s), !s.is_published(), !called(s)))
}

fn same_build(a: &Service<'_>, b: &Service<'_>) -> bool {
    a.image().is_empty()
        && b.image().is_empty()
        && a.fields.get("build").is_some()
        && a.fields.get("build") == b.fields.get("build")
}

fn process(
    service: &Service<'_>,
    own: bool,
    serves: bool,
    draft: &mut Draft,
    known: &mut Known,
    names: &mut Names,
) -> Process {
    let mut process = Process { name: names.process(service.name), serves, ..Process::default() };
    if !own {
        process.image = Some(service.image()).filter(|i| !i.is_empty());
        if process.image.is_none() {
            process.image = Some(format!("registry.example.org/{}:1", process.name));
            draft.remarks.push(format!("service {} is built from source: push its image and name it", service.name));
        }
    }
    let ports = service.ports();
    process.port = ports.first().copied().or_else(|| companion_port(&service.program())).or(serves.then_some(80));
    if serves && ports.is_empty() {
        draft.remarks.push(format!("service {} says no port: 80 is a guess", service.name));
    }
    if ports.len() > 1 {
        draft.remarks.push(format!("service {} has more ports; only {} is taken", service.name, ports[0]));
    }
    process.command = command(service, draft);
    for (name, value) in service.environment() {
        if let Some(value) = known.value(service.name, &name, &value) {
            process.env.insert(name, value);
        }
    }
    volumes(service, own, &mut process, draft, names);
    process.readiness = readiness(service);
    if let Some(user) = service.text("user") {
        let mut parts = user.split(':').map(|p| p.parse::<i64>().ok());
        match (parts.next().flatten(), parts.next().flatten()) {
            (Some(id), group) if own => draft.user = draft.user.or(Some((id, group))),
            _ => draft.remarks.push(format!("`user: {user}` of service {} is left away", service.name)),
        }
    }
    for key in service.fields.keys().filter(|k| !UNDERSTOOD.contains(&k.as_str()) && !k.starts_with("x-")) {
        draft.remarks.push(format!("`{key}` of service {} is left away", service.name));
    }
    process
}

/// The usual port of a program that often runs beside a product.
fn companion_port(program: &str) -> Option<u16> {
    Some(match program {
        "redis" | "valkey" => 6379,
        "memcached" => 11_211,
        "rabbitmq" => 5672,
        "elasticsearch" | "opensearch" => 9200,
        _ => return None,
    })
}

/// Entry point and command as one line. A line that holds a password is left out.
fn command(service: &Service<'_>, draft: &mut Draft) -> Vec<String> {
    let entrypoint = service.fields.get("entrypoint").map(words).unwrap_or_default();
    let arguments = service.fields.get("command").map(words).unwrap_or_default();
    if entrypoint.is_empty() && !arguments.is_empty() {
        draft.remarks.push(format!(
            "`command` of service {} replaces the image's entrypoint here: put that before it, if the image has one",
            service.name
        ));
    }
    let line: Vec<String> = entrypoint.into_iter().chain(arguments).collect();
    let is_secret = |word: &str| secret_name(word.trim_start_matches('-').split('=').next().unwrap_or_default());
    if line.iter().any(|w| is_secret(w) || w.contains("://") && w.contains('@')) {
        draft.remarks.push(format!(
            "the command of service {} holds a password and is left away: give it by env or a file",
            service.name
        ));
        return Vec::new();
    }
    line.iter().map(|w| super::values::escaped(&settled(w))).collect()
}

fn readiness(service: &Service<'_>) -> Vec<String> {
    let test = service.fields.get("healthcheck").and_then(|h| h.get("test"));
    let line: Vec<String> = match test {
        Some(Value::String(shell)) => vec!["CMD-SHELL".into(), shell.clone()],
        Some(Value::Array(all)) => all.iter().map(literal).collect(),
        _ => return Vec::new(),
    };
    let line: Vec<String> = line.iter().map(|w| super::values::escaped(&settled(w))).collect();
    match line.split_first() {
        Some((kind, rest)) if kind == "CMD" => rest.to_vec(),
        Some((kind, rest)) if kind == "CMD-SHELL" => vec!["/bin/sh".into(), "-c".into(), rest.join(" ")],
        _ => Vec::new(),
    }
}

/// Named volumes become volumes of the blueprint. Files of the author's machine cannot be carried over.
fn volumes(service: &Service<'_>, own: bool, process: &mut Process, draft: &mut Draft, names: &mut Names) {
    for volume in service.list("volumes") {
        let (source, target) = match volume {
            Value::String(text) => {
                let text = settled(text);
                let mut parts = text.split(':').map(str::to_owned);
                match (parts.next(), parts.next()) {
                    (Some(source), Some(target)) => (source, target),
                    (Some(target), None) => (String::new(), target),
                    _ => continue,
                }
            }
            long => {
                let field = |key: &str| long.get(key).and_then(Value::as_str).map(settled).unwrap_or_default();
                if field("type") == "tmpfs" {
                    draft.remarks.push(format!("name {} in podSecurity.writablePaths", field("target")));
                    continue;
                }
                (field("source"), field("target"))
            }
        };
        if source.starts_with(['.', '/', '~']) {
            draft.remarks.push(format!(
                "service {} mounts {source} of its machine at {target}: use `files`, or put it into the image",
                service.name
            ));
            continue;
        }
        if !target.starts_with('/') || target.len() < 2 {
            continue;
        }
        let key = if source.is_empty() { format!("{}{target}", service.name) } else { source.clone() };
        let wanted = if source.is_empty() { target.clone() } else { source };
        let name = names.name(&format!("volume {key}"), &wanted);
        match draft.volumes.iter().find(|(n, _)| *n == name) {
            Some((_, path)) if *path != target => draft.remarks.push(format!(
                "volume {name} is at {path} for one service and at {target} for {}: a blueprint has one place",
                service.name
            )),
            Some(_) => {}
            None if draft.volumes.len() >= VOLUMES => {
                draft.remarks.push(format!("volume {name} is left away: a blueprint has {VOLUMES} at most"));
                continue;
            }
            None => draft.volumes.push((name.clone(), target)),
        }
        if !own {
            process.volumes.push(name);
        }
    }
}

/// Variables that all processes of the product share are written once, for the whole draft.
fn shared_environment(draft: &mut Draft) {
    let own: Vec<&Process> = draft.processes.iter().filter(|p| p.image.is_none()).collect();
    let Some(first) = own.first() else { return };
    let shared: BTreeMap<String, String> = first
        .env
        .iter()
        .filter(|(k, v)| own.iter().all(|p| p.env.get(*k) == Some(*v)))
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    for process in draft.processes.iter_mut().filter(|p| p.image.is_none()) {
        process.env.retain(|k, _| !shared.contains_key(k));
    }
    draft.env = shared;
}
