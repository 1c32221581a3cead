//! Children: the objects that the operator makes for its own kinds. No I/O.

use kube::core::ApiResource;
use serde::Serialize;
use serde_json::Value;
use tenantry_core::hash::short_hash;

pub use crate::owned::FIELD_MANAGER;

/// Every kind of child. The table in `properties` is exhaustive: a new kind does not compile until its row says how to
/// apply it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub enum Kind {
    /// A tenant's namespace.
    Namespace,
    /// Rules about which pods may talk to each other.
    NetworkPolicy,
    /// Limits on what a namespace may use in total.
    ResourceQuota,
    /// Defaults for containers without limits.
    LimitRange,
    /// The operator's own access to a namespace's Secrets.
    RoleBinding,
    /// Passwords, keys, rendered configuration.
    Secret,
    /// Texts without secrets: host claims, pinned releases.
    ConfigMap,
    /// A volume.
    PersistentVolumeClaim,
    /// A process of an instance.
    Deployment,
    /// A managed database server.
    StatefulSet,
    /// How many pods of a process may be missing while nodes are drained.
    PodDisruptionBudget,
    /// A stable address.
    Service,
    /// The way in from outside.
    Ingress,
    /// A command that runs on a schedule.
    CronJob,
    /// A command that runs once.
    Job,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 15] = [
        Self::Namespace,
        Self::NetworkPolicy,
        Self::ResourceQuota,
        Self::LimitRange,
        Self::RoleBinding,
        Self::Secret,
        Self::ConfigMap,
        Self::PersistentVolumeClaim,
        Self::Deployment,
        Self::StatefulSet,
        Self::PodDisruptionBudget,
        Self::Service,
        Self::Ingress,
        Self::CronJob,
        Self::Job,
    ];

    /// Everything that the operator must know about a kind. A new kind does not compile until all of it is given.
    const fn properties(self) -> Properties {
        const CORE: &str = "";
        // Group, kind, plural; whether it is watched; position in a stop; whether a change of its status wakes the
        // owner.
        const fn row(
            api: (&'static str, &'static str, &'static str),
            watched: bool,
            stop: Option<u8>,
            wakes: bool,
        ) -> Properties {
            Properties { api, is_watched: watched, stop, status_matters: wakes }
        }
        match self {
            Self::Namespace => row((CORE, "Namespace", "namespaces"), true, None, false),
            Self::NetworkPolicy => row(("networking.k8s.io", "NetworkPolicy", "networkpolicies"), true, None, false),
            Self::ResourceQuota => row((CORE, "ResourceQuota", "resourcequotas"), true, None, false),
            Self::LimitRange => row((CORE, "LimitRange", "limitranges"), true, None, false),
            Self::RoleBinding => row(("rbac.authorization.k8s.io", "RoleBinding", "rolebindings"), true, None, false),
            // Not watched: the operator may read Secrets only inside its tenants' namespaces, one at a time.
            Self::Secret => row((CORE, "Secret", "secrets"), false, None, false),
            // Not watched: ConfigMaps that are claims have a watch of their own, and nobody else changes the other
            // ConfigMaps.
            Self::ConfigMap => row((CORE, "ConfigMap", "configmaps"), false, None, false),
            Self::PersistentVolumeClaim => {
                row((CORE, "PersistentVolumeClaim", "persistentvolumeclaims"), true, None, false)
            }
            Self::Deployment => row(("apps", "Deployment", "deployments"), true, Some(3), true),
            Self::StatefulSet => row(("apps", "StatefulSet", "statefulsets"), true, None, true),
            Self::PodDisruptionBudget => {
                row(("policy", "PodDisruptionBudget", "poddisruptionbudgets"), true, Some(4), false)
            }
            Self::Service => row((CORE, "Service", "services"), true, Some(5), false),
            // Order of a stop: first no requests come in, then no schedule starts anything, then running pods end.
            Self::Ingress => row(("networking.k8s.io", "Ingress", "ingresses"), true, Some(1), false),
            Self::CronJob => row(("batch", "CronJob", "cronjobs"), true, Some(2), false),
            Self::Job => row(("batch", "Job", "jobs"), true, Some(6), true),
        }
    }

    /// Group, version, kind and plural of the API.
    #[must_use]
    pub fn api(self) -> ApiResource {
        let (group, kind, plural) = self.properties().api;
        ApiResource {
            group: group.into(),
            version: "v1".into(),
            api_version: if group.is_empty() { "v1".into() } else { format!("{group}/v1") },
            kind: kind.into(),
            plural: plural.into(),
        }
    }

    /// Whether a watch covers all children of the kind.
    #[must_use]
    pub const fn is_watched(self) -> bool {
        self.properties().is_watched
    }

    /// Whether the owner must react when only the status of a child changes.
    #[must_use]
    pub const fn status_matters(self) -> bool {
        self.properties().status_matters
    }

    /// Kinds whose children are removed when an instance stops for good, in the order of removal.
    #[must_use]
    pub fn stopped() -> Vec<Self> {
        let mut all: Vec<Self> = Self::ALL.into_iter().filter(|k| k.properties().stop.is_some()).collect();
        all.sort_by_key(|k| k.properties().stop);
        all
    }
}

/// What the operator must know about a kind.
struct Properties {
    /// Group, kind and plural.
    api: (&'static str, &'static str, &'static str),
    is_watched: bool,
    /// Position in the order in which a stop removes children. None means that children of this kind stay.
    stop: Option<u8>,
    status_matters: bool,
}

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
