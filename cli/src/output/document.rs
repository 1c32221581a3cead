//! Documents for machines: JSON and YAML without bookkeeping fields. No I/O.

use serde::Serialize;
use serde_json::{Value, json};

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

/// Takes `metadata.managedFields` away, which nobody reads and which hides the rest.
pub fn tidy(value: &mut Value) {
    match value {
        Value::Object(map) => {
            if let Some(Value::Object(metadata)) = map.get_mut("metadata") {
                metadata.remove("managedFields");
            }
            map.values_mut().for_each(tidy);
        }
        Value::Array(all) => all.iter_mut().for_each(tidy),
        _ => {}
    }
}
