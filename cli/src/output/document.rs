//! Documents for machines: JSON and YAML without bookkeeping fields. No I/O.

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::error::Problem;

/// One JSON document.
pub fn json(value: &impl Serialize) -> Result<String, Problem> {
    let value = prepared(value)?;
    serde_json::to_string_pretty(&value).map_err(|e| Problem::failed(format!("cannot write JSON: {e}")))
}

/// One YAML document.
pub fn yaml(value: &impl Serialize) -> Result<String, Problem> {
    let value = prepared(value)?;
    tenantry_core::yaml::to_string(&value).map_err(|e| Problem::failed(format!("cannot write YAML: {e}")))
}

/// Several objects as one list, as `kubectl` writes them.
pub fn list<T: Serialize>(items: &[T]) -> Value {
    json!({"apiVersion": "v1", "kind": "List", "items": items})
}

fn prepared(value: &impl Serialize) -> Result<Value, Problem> {
    let mut value = serde_json::to_value(value).map_err(|e| Problem::failed(format!("cannot write: {e}")))?;
    tidy(&mut value);
    Ok(value)
}

/// Annotation in which `kubectl apply` keeps everything that it was given, including secret settings.
const APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Removes what nobody reads and what hides the rest (`metadata.managedFields`), and copies of values that are not
/// shown elsewhere.
pub fn tidy(value: &mut Value) {
    match value {
        Value::Object(map) => {
            if let Some(Value::Object(metadata)) = map.get_mut("metadata") {
                metadata.remove("managedFields");
                if let Some(Value::Object(annotations)) = metadata.get_mut("annotations") {
                    annotations.remove(APPLIED);
                }
            }
            if map.get("kind").and_then(Value::as_str) == Some("Archive") {
                archived(map);
            }
            map.values_mut().for_each(tidy);
        }
        Value::Array(all) => all.iter_mut().for_each(tidy),
        _ => {}
    }
}

/// An archive keeps the spec of an instance as text. All settings are removed from it, because only the blueprint tells
/// which of them are secret.
fn archived(archive: &mut Map<String, Value>) {
    let Some(Value::String(text)) = archive.get_mut("spec").and_then(|spec| spec.get_mut("object")) else { return };
    if let Ok(Value::Object(mut object)) = serde_json::from_str::<Value>(text)
        && object.remove("settings").is_some()
    {
        *text = Value::Object(object).to_string();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_of_secret_settings_are_in_no_document() {
        let spec = json!({"blueprint": "tryton", "settings": {"smtp_password": "hunter2"}});
        let archive = json!({"kind": "Archive", "metadata": {"name": "a"}, "spec": {"object": spec.to_string()}});
        let applied = json!({"kind": "CrmInstance", "metadata": {"managedFields": [],
            "annotations": {APPLIED: spec.to_string(), "tenantry.dev/release": "abc"}}});
        let shown = json(&list(&[archive, applied])).unwrap();
        assert!(!shown.contains("hunter2") && !shown.contains("managedFields"), "{shown}");
        assert!(shown.contains("tryton") && shown.contains("tenantry.dev/release"), "{shown}");
    }
}
