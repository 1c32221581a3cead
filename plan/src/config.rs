//! Rendered files and environment of an instance or template, in one Secret that is named after its content. No I/O.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use tenantry_api::blueprint::{BlueprintSpec, Process};
use tenantry_core::template;

use crate::PlanError;
use crate::blueprint::refused::OBJECT_MAX;

/// Rendered configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// For each file: its key in the Secret and its path in the container.
    pub files: Vec<(String, String)>,
    /// Names of the environment variables that all containers of the product get.
    pub env: Vec<String>,
    /// Names of the environment variables that only one process gets, by process.
    pub process_env: BTreeMap<String, Vec<String>>,
    /// Data of the Secret.
    pub data: BTreeMap<String, String>,
}

impl Config {
    /// Renders a blueprint's files and environment.
    ///
    /// # Errors
    /// [`PlanError::Template`] with file, line and variable; [`PlanError::Invalid`] when the result does not fit into a
    /// Secret.
    pub fn render(blueprint: &str, spec: &BlueprintSpec, context: &Value, processes: bool) -> Result<Self, PlanError> {
        let text = |name: &str, source: &str| render(blueprint, name, source, context);
        let mut config = Self::default();
        for (i, file) in spec.files.iter().enumerate() {
            let key = format!("file-{i}");
            config.data.insert(key.clone(), text(&format!("files[{}]", file.path), &file.content)?);
            config.files.push((key, file.path.clone()));
        }
        for (name, source) in &spec.env {
            config.data.insert(env_key(None, name), text(&format!("env.{name}"), source)?);
            config.env.push(name.clone());
        }
        for process in spec.processes.iter().filter(|_| processes) {
            for (name, source) in &process.env {
                let label = format!("processes[{}].env.{name}", process.name);
                config.data.insert(env_key(Some(&process.name), name), text(&label, source)?);
                config.process_env.entry(process.name.clone()).or_default().push(name.clone());
            }
        }
        fits(blueprint, config.data.values().map(String::len).sum())?;
        Ok(config)
    }

    /// The bytes from which the Secret's name is made.
    #[must_use]
    pub fn content(&self) -> Vec<u8> {
        json!(self.data).to_string().into_bytes()
    }

    /// Whether there is anything to mount or to set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// `env` of a container. Every value is a reference to the Secret; no value stands in the pod itself.
    #[must_use]
    pub fn container_env(&self, secret: &str, process: Option<&Process>) -> Vec<Value> {
        let name = process.map(|p| p.name.as_str());
        let own = name.and_then(|p| self.process_env.get(p)).map_or(&[][..], Vec::as_slice);
        // A companion gets only its own variables.
        let product = process.is_none_or(|p| !p.is_companion());
        let common = self.env.iter().filter(|n| product && !own.contains(n)).map(|n| (n, env_key(None, n)));
        common
            .chain(own.iter().map(|n| (n, env_key(name, n))))
            .map(|(name, key)| json!({"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}))
            .collect()
    }

    /// `volumeMounts` of the files.
    #[must_use]
    pub fn mounts(&self) -> Vec<Value> {
        self.files
            .iter()
            .map(|(key, path)| json!({"name": "config", "mountPath": path, "subPath": key, "readOnly": true}))
            .collect()
    }

    /// The volume of the files.
    #[must_use]
    pub fn volume(&self, secret: &str) -> Option<Value> {
        if self.files.is_empty() {
            return None;
        }
        let items: Vec<Value> = self.files.iter().map(|(key, _)| json!({"key": key, "path": key})).collect();
        Some(json!({"name": "config", "secret": {"secretName": secret, "items": items, "defaultMode": 0o440}}))
    }
}

/// Checks that this many bytes fit into one Secret.
pub(crate) fn fits(blueprint: &str, bytes: usize) -> Result<(), PlanError> {
    if bytes <= OBJECT_MAX {
        return Ok(());
    }
    let text = format!(
        "files, env and steps have {bytes} bytes when they are rendered, {OBJECT_MAX} fit into a Secret; put large files into the image"
    );
    Err(PlanError::invalid(format!("blueprint {blueprint:?}"), text))
}

fn env_key(process: Option<&str>, name: &str) -> String {
    match process {
        Some(p) => format!("env.{p}.{name}"),
        None => format!("env.{name}"),
    }
}

/// Renders one text of a blueprint.
///
/// # Errors
/// [`PlanError::Template`] with place, line and variable.
pub fn render(blueprint: &str, name: &str, source: &str, context: &Value) -> Result<String, PlanError> {
    template::render(name, source, context)
        .map_err(|source| PlanError::Template { blueprint: blueprint.to_owned(), source: Box::new(source) })
}

/// The context without its secrets, for command lines and probes.
#[must_use]
pub fn without_secrets(context: &Value) -> Value {
    fn strip(context: &Value, path: &str, value: &Value) -> Option<Value> {
        match value {
            Value::Object(map) => Some(Value::Object(
                map.iter()
                    .filter_map(|(k, v)| {
                        let inner = if path.is_empty() { k.clone() } else { format!("{path}.{k}") };
                        strip(context, &inner, v).map(|v| (k.clone(), v))
                    })
                    .collect::<Map<_, _>>(),
            )),
            // A map counts as secret as soon as one value in it is secret, so each leaf is checked by itself.
            _ if template::is_secret_in(context, path) => None,
            other => Some(other.clone()),
        }
    }
    strip(context, "", context).unwrap_or_default()
}
