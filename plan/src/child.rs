//! Children: the objects that the operator makes for its own kinds. No I/O.

use serde::Serialize;
use serde_json::Value;
use tenantry_core::hash::short_hash;

pub use crate::kind::Kind;
pub use crate::owned::FIELD_MANAGER;

/// An object as it should be in the cluster.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Child {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace. None for a Namespace.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// The whole object, ready to be applied.
    pub object: Value,
}

impl Child {
    /// A child from its metadata and the rest of its content (`spec`, `data`, ...).
    #[must_use]
    pub fn new(kind: Kind, namespace: Option<&str>, name: &str, labels: &crate::labels::Labels, rest: Value) -> Self {
        let api = kind.api();
        let mut object = match rest {
            Value::Object(map) => map,
            _ => serde_json::Map::new(),
        };
        let mut metadata = match object.remove("metadata") {
            Some(Value::Object(map)) => map,
            _ => serde_json::Map::new(),
        };
        metadata.insert("name".into(), name.into());
        if let Some(ns) = namespace {
            metadata.insert("namespace".into(), ns.into());
        }
        let mut all = labels.to_map();
        if let Some(Value::Object(more)) = metadata.remove("labels") {
            all.extend(more);
        }
        metadata.insert("labels".into(), Value::Object(all));
        object.insert("apiVersion".into(), api.api_version.into());
        object.insert("kind".into(), api.kind.into());
        object.insert("metadata".into(), Value::Object(metadata));
        Self { kind, namespace: namespace.map(str::to_owned), name: name.to_owned(), object: Value::Object(object) }
    }

    /// Hash of the content, so that an unchanged object is not applied again.
    #[must_use]
    pub fn hash(&self) -> String {
        short_hash(self.object.to_string().as_bytes())
    }

    /// The child as the API server returns it: the `stringData` of a Secret comes back as `data`.
    #[must_use]
    pub fn stored(&self) -> Value {
        let mut object = self.object.clone();
        if self.kind == Kind::Secret
            && let Some(map) = object.as_object_mut()
            && let Some(Value::Object(texts)) = map.remove("stringData")
        {
            let data = texts.into_iter().map(|(key, text)| (key, encoded(text.as_str().unwrap_or_default())));
            map.insert("data".into(), Value::Object(data.collect()));
        }
        object
    }

    /// `Kind namespace/name`, for messages.
    #[must_use]
    pub fn describe(&self) -> String {
        let kind = self.kind.api().kind;
        match &self.namespace {
            Some(ns) => format!("{kind} {ns}/{}", self.name),
            None => format!("{kind} {}", self.name),
        }
    }
}

fn encoded(text: &str) -> Value {
    // Bytes can always be written as JSON.
    serde_json::to_value(k8s_openapi::ByteString(text.as_bytes().to_vec())).unwrap_or_default()
}

/// Whether an apply of a child would change nothing on a live object: every value of the child is there, and the
/// operator owns no field there that the child no longer has.
#[must_use]
pub fn is_applied(child: &Child, live: &Value) -> bool {
    let wanted = child.stored();
    holds(&wanted, live) && !crate::owned::is_more(&wanted, live)
}

/// Whether every value of `wanted` is also in `live`. Other values in `live` belong to somebody else.
///
/// Lists are compared item by item, because the operator owns each of its lists as a whole. Lists whose items have a
/// `name` are compared by name, because the API server may add items (a ServiceAccount's volume).
#[must_use]
pub fn holds(wanted: &Value, live: &Value) -> bool {
    match (wanted, live) {
        (Value::Object(w), Value::Object(l)) => {
            w.iter().all(|(k, v)| l.get(k).map_or(empty(v), |found| holds(v, found)))
        }
        (Value::Array(w), Value::Array(l)) => {
            let named = |v: &Value| v.get("name").and_then(Value::as_str).map(str::to_owned);
            if !w.is_empty() && w.iter().all(|v| named(v).is_some()) {
                return w.len() == l.len() && w.iter().all(|v| l.iter().any(|x| named(x) == named(v) && holds(v, x)));
            }
            w.len() == l.len() && w.iter().zip(l).all(|(a, b)| holds(a, b))
        }
        (Value::String(w), Value::String(l)) => w == l || same_quantity(w, l),
        (Value::Number(w), Value::String(l)) => w.to_string() == *l,
        _ => wanted == live,
    }
}

fn empty(v: &Value) -> bool {
    match v {
        Value::Null => true,
        // For example an empty value of an environment variable, which the API server leaves out.
        Value::String(s) => s.is_empty(),
        Value::Object(m) => m.is_empty(),
        Value::Array(a) => a.is_empty(),
        _ => false,
    }
}

/// Compares sizes as numbers, because the API server writes quantities in its own form (`1000M` becomes `1G`).
fn same_quantity(a: &str, b: &str) -> bool {
    match (tenantry_core::quantity::bytes(a), tenantry_core::quantity::bytes(b)) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_secret_is_compared_as_it_is_stored() {
        let labels = crate::labels::Labels::managed();
        let made = Child::new(Kind::Secret, Some("a"), "b", &labels, json!({"stringData": {"key": "text"}}));
        assert_eq!(made.stored()["data"], json!({"key": "dGV4dA=="}));
        assert!(made.stored().get("stringData").is_none());
        let mut live = made.stored();
        live["metadata"]["uid"] = "u".into();
        assert!(holds(&made.stored(), &live) && !holds(&made.object, &live));
        let other = Child::new(Kind::ConfigMap, Some("a"), "b", &labels, json!({"data": {"key": "text"}}));
        assert_eq!(other.stored(), other.object);
    }

    #[test]
    fn what_the_server_adds_does_not_count_as_a_difference() {
        let wanted =
            json!({"spec": {"replicas": 1, "list": [{"name": "a", "x": 1}]}, "metadata": {"labels": {"a": "b"}}});
        let live = json!({"spec": {"replicas": 1, "other": 2, "list": [{"name": "a", "x": 1, "y": 2}]},
            "metadata": {"labels": {"a": "b", "c": "d"}, "uid": "u"}});
        assert!(holds(&wanted, &live));
        assert!(!holds(&json!({"spec": {"replicas": 2}}), &live));
        assert!(holds(&json!({"s": "1000M"}), &json!({"s": "1G"})));
        assert!(holds(&json!({"env": [{"name": "A", "value": ""}]}), &json!({"env": [{"name": "A"}]})));
        assert!(!holds(&json!({"env": [{"name": "A", "value": "x"}]}), &json!({"env": [{"name": "A"}]})));
        assert!(!holds(&json!({"token": false}), &json!({})), "absent is not false");
    }
}
