//! Fields that the operator owns on a live object and no longer wants: an apply would remove them. No I/O.
//!
//! Ownership is read from `metadata.managedFields` as the API server keeps it: a tree of `f:FIELD`,
//! `k:{keys of an item}` and `v:VALUE`, in which a leaf is owned as a whole.

use serde_json::{Map, Value};

/// Field manager of everything that the operator applies. An apply removes the fields that this manager owns and no
/// longer sends.
pub const FIELD_MANAGER: &str = "tenantry-operator";

/// Whether an apply of `wanted` would remove something from `live`. Nothing can be removed from an object that does not
/// record who owns its fields.
#[must_use]
pub fn is_more(wanted: &Value, live: &Value) -> bool {
    let entries = live.pointer("/metadata/managedFields").and_then(Value::as_array);
    entries.into_iter().flatten().filter(|e| is_ours(e)).any(|e| match e.get("fieldsV1").and_then(Value::as_object) {
        Some(fields) => lacks(fields, wanted, live),
        None => false,
    })
}

fn is_ours(entry: &Value) -> bool {
    let says = |key: &str| entry.get(key).and_then(Value::as_str);
    says("manager") == Some(FIELD_MANAGER) && says("operation") == Some("Apply") && says("subresource").is_none()
}

fn lacks(fields: &Map<String, Value>, wanted: &Value, live: &Value) -> bool {
    fields.iter().any(|(path, inner)| {
        let inner = inner.as_object();
        if let Some(name) = path.strip_prefix("f:") {
            // A field that no longer exists cannot be removed, whoever removed it.
            let Some(there) = live.get(name) else { return false };
            let Some(ours) = wanted.get(name) else { return true };
            return match inner {
                Some(inner) if !inner.is_empty() => lacks(inner, ours, there),
                _ => has_other_keys(ours, there),
            };
        }
        if let Some(keys) = path.strip_prefix("k:") {
            let Ok(keys) = serde_json::from_str::<Map<String, Value>>(keys) else { return false };
            let Some(there) = item(&keys, live) else { return false };
            let Some(ours) = item(&keys, wanted) else { return true };
            return inner.is_some_and(|inner| lacks(inner, ours, there));
        }
        match path.strip_prefix("v:").and_then(|v| serde_json::from_str::<Value>(v).ok()) {
            Some(value) => {
                let holds = |list: &Value| list.as_array().is_some_and(|all| all.contains(&value));
                holds(live) && !holds(wanted)
            }
            None => false,
        }
    })
}

/// The item of a list with these keys. A key that the item leaves out has its default and counts as equal.
fn item<'a>(keys: &Map<String, Value>, list: &'a Value) -> Option<&'a Value> {
    let fits = |one: &&Value| keys.iter().all(|(k, v)| one.get(k).is_none_or(|found| found == v));
    list.as_array()?.iter().find(fits)
}

/// Whether a map that is owned as a whole, such as a selector, has keys that are not wanted.
fn has_other_keys(ours: &Value, there: &Value) -> bool {
    match (ours, there) {
        (Value::Object(ours), Value::Object(there)) => there.keys().any(|k| !ours.contains_key(k)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn live(manager: &str) -> Value {
        let fields = json!({ "f:spec": {
            "f:replicas": {},
            "f:template": { "f:spec": {
                "f:nodeSelector": {},
                "f:containers": { "k:{\"name\":\"web\"}": { ".": {}, "f:name": {}, "f:image": {},
                    "f:ports": { "k:{\"containerPort\":80,\"protocol\":\"TCP\"}": { ".": {}, "f:containerPort": {} } } } },
            } },
        }, "f:metadata": { "f:labels": { "f:a": {} }, "f:finalizers": { "v:\"x\"": {} } } });
        json!({
            "metadata": { "labels": { "a": "b", "foreign": "c" }, "finalizers": ["x"], "managedFields": [
                { "manager": manager, "operation": "Apply", "fieldsV1": fields },
                { "manager": manager, "operation": "Update", "subresource": "status", "fieldsV1": { "f:status": {} } },
            ] },
            "spec": { "replicas": 1, "paused": false, "template": { "spec": {
                "nodeSelector": { "pool": "acme" },
                "containers": [{ "name": "web", "image": "i", "tty": false,
                    "ports": [{ "containerPort": 80, "protocol": "TCP" }] }],
            } } },
            "status": {},
        })
    }

    fn wanted() -> Value {
        json!({
            "metadata": { "labels": { "a": "b" }, "finalizers": ["x"] },
            "spec": { "replicas": 1, "template": { "spec": {
                "nodeSelector": { "pool": "acme" },
                "containers": [{ "name": "web", "image": "i", "ports": [{ "containerPort": 80 }] }],
            } } },
        })
    }

    #[test]
    fn what_others_own_and_what_the_server_adds_is_not_ours_to_take() {
        assert!(!is_more(&wanted(), &live(FIELD_MANAGER)));
        assert!(!is_more(&json!({}), &live("somebody")), "nothing of it is ours");
        assert!(!is_more(&wanted(), &json!({ "metadata": {} })));
    }

    #[test]
    fn a_field_a_key_and_an_item_that_are_no_longer_wanted_are_noticed() {
        let without = |change: fn(&mut Value)| {
            let mut wanted = wanted();
            change(&mut wanted);
            is_more(&wanted, &live(FIELD_MANAGER))
        };
        let changes: [fn(&mut Value); 6] = [
            |w| drop(w["spec"]["template"]["spec"].as_object_mut().unwrap().remove("nodeSelector")),
            |w| w["spec"]["template"]["spec"]["nodeSelector"] = json!({ "other": "x" }),
            |w| w["spec"]["template"]["spec"]["containers"][0]["ports"] = json!([]),
            |w| w["spec"]["template"]["spec"]["containers"][0]["name"] = "worker".into(),
            |w| w["metadata"]["labels"] = json!({}),
            |w| w["metadata"]["finalizers"] = json!([]),
        ];
        for (i, change) in changes.into_iter().enumerate() {
            assert!(without(change), "change {i}");
        }
    }
}
