//! Children as this process applied them last and as watches reported them since. No I/O.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;

use kube::api::ObjectMeta;
use tenantry_core::hash::content_hash;
use tenantry_core::id::Id;
use tenantry_plan::{Child, Kind};

use super::lock::lock;

/// Key of an object: kind, namespace, name.
type Key = (Kind, String, String);

/// The state of an object after our last apply.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    /// Hash of what we applied.
    hash: String,
    /// `uid` and `resourceVersion` that the server gave it.
    uid: String,
    /// Version after our apply.
    version: String,
    /// Generation after our apply, for kinds that count one.
    generation: Option<i64>,
    /// Hash of who had written which fields after our apply, without statuses. None means that the server does not
    /// report it.
    fields: Option<String>,
}

/// What is known about children. Losing it costs one read for each child, never a write.
#[derive(Debug, Default)]
pub struct Children {
    applied: Mutex<HashMap<Key, Seen>>,
    /// Names of the children of each kind: all of them, once the watch of the kind has listed them.
    present: Mutex<HashMap<Kind, Present>>,
}

/// What a watch has reported about a kind.
#[derive(Debug, Default)]
struct Present {
    whole: bool,
    names: HashSet<(String, String)>,
}

fn key(kind: Kind, namespace: Option<&str>, name: &str) -> Key {
    (kind, namespace.unwrap_or_default().to_owned(), name.to_owned())
}

/// Hash of who wrote which fields, without statuses. A different hash means that somebody wrote more than a status.
fn fields(meta: &ObjectMeta) -> Option<String> {
    let entries = meta.managed_fields.as_ref().filter(|all| !all.is_empty())?;
    let spec: Vec<_> = entries.iter().filter(|e| e.subresource.as_deref() != Some("status")).collect();
    content_hash(&spec).ok()
}

impl Children {
    /// Remembers an apply.
    pub fn applied(&self, child: &Child, meta: &ObjectMeta) {
        let seen = Seen {
            hash: child.hash(),
            uid: meta.uid.clone().unwrap_or_default(),
            version: meta.resource_version.clone().unwrap_or_default(),
            generation: meta.generation,
            fields: fields(meta),
        };
        lock(&self.applied).insert(key(child.kind, child.namespace.as_deref(), &child.name), seen);
    }

    /// Whether exactly this child was applied, and no foreign change was seen since.
    #[must_use]
    pub fn knows(&self, child: &Child) -> bool {
        let all = lock(&self.applied);
        all.get(&key(child.kind, child.namespace.as_deref(), &child.name)).is_some_and(|s| s.hash == child.hash())
    }

    /// A watch saw a change of a child. Returns whether the change is foreign: not the echo of our own apply, and not
    /// only a change of status. After a foreign change the child is forgotten here, so that it is compared again.
    pub fn observe(&self, kind: Kind, meta: &ObjectMeta, deleted: bool) -> bool {
        let k = key(kind, meta.namespace.as_deref(), meta.name.as_deref().unwrap_or_default());
        {
            let mut present = lock(&self.present);
            let names = &mut present.entry(kind).or_default().names;
            let name = (k.1.clone(), k.2.clone());
            if deleted {
                names.remove(&name)
            } else {
                names.insert(name)
            };
        }
        let mut all = lock(&self.applied);
        let Some(seen) = all.get(&k) else { return true };
        let same_object = meta.uid.as_deref() == Some(seen.uid.as_str());
        let same = match (seen.generation, meta.generation) {
            (Some(a), Some(b)) => a == b,
            _ => {
                meta.resource_version.as_deref() == Some(seen.version.as_str())
                    || (seen.fields.is_some() && seen.fields == fields(meta))
            }
        };
        if !deleted && same_object && same {
            // Statuses of processes and jobs matter to their instance even when the spec is unchanged.
            let echo = meta.resource_version.as_deref() == Some(seen.version.as_str());
            return !echo && kind.status_matters();
        }
        all.remove(&k);
        true
    }

    /// Forgets a child that was removed.
    pub fn forget(&self, kind: Kind, namespace: Option<&str>, name: &str) {
        lock(&self.applied).remove(&key(kind, namespace, name));
    }

    /// Forgets every child of a kind: a watch was restarted and may have missed something.
    pub fn forget_kind(&self, kind: Kind) {
        lock(&self.applied).retain(|(k, _, _), _| *k != kind);
    }

    /// A watch begins to list: what it reported before no longer proves that an object does not exist.
    pub fn watch_begins(&self, kind: Kind) {
        lock(&self.present).insert(kind, Present::default());
    }

    /// A watch has listed all objects of a kind.
    pub fn watch_is_whole(&self, kind: Kind) {
        lock(&self.present).entry(kind).or_default().whole = true;
    }

    /// Whether a watch that has listed all objects has not reported this child, so that the child is very likely new.
    #[must_use]
    pub fn is_unseen(&self, child: &Child) -> bool {
        let name = (child.namespace.clone().unwrap_or_default(), child.name.clone());
        lock(&self.present).get(&child.kind).is_some_and(|p| p.whole && !p.names.contains(&name))
    }

    /// Forgets the children of an instance that is gone. Their names begin with the instance's id.
    pub(super) fn forget_instance(&self, namespace: &str, id: &Id) {
        let of_instance =
            |name: &str| name.strip_prefix(id.as_str()).is_some_and(|r| r.is_empty() || r.starts_with('-'));
        lock(&self.applied).retain(|(_, ns, name), _| ns != namespace || !of_instance(name));
    }

    /// Forgets a namespace that is gone, and everything in it.
    pub(super) fn forget_namespace(&self, namespace: &str) {
        lock(&self.applied)
            .retain(|(kind, ns, name), _| ns != namespace && (*kind != Kind::Namespace || name != namespace));
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{FieldsV1, ManagedFieldsEntry};
    use serde_json::json;
    use tenantry_plan::labels::Labels;

    use super::*;

    const NAMESPACE: &str = "tenant-abcdefghij";

    #[test]
    fn of_a_kind_without_generation_a_status_is_no_foreign_change_and_a_field_is() {
        let entry = |manager: &str, subresource: Option<&str>, fields: serde_json::Value| ManagedFieldsEntry {
            manager: Some(manager.into()),
            subresource: subresource.map(Into::into),
            fields_v1: Some(FieldsV1(fields)),
            ..ManagedFieldsEntry::default()
        };
        let meta = |version: &str, fields: Vec<ManagedFieldsEntry>| ObjectMeta {
            name: Some("quota".into()),
            namespace: Some(NAMESPACE.into()),
            uid: Some("uid".into()),
            resource_version: Some(version.into()),
            managed_fields: Some(fields),
            ..ObjectMeta::default()
        };
        let ours = || entry("tenantry-operator", None, json!({"f:spec": {}}));
        let status = entry("kube-controller-manager", Some("status"), json!({"f:status": {}}));
        let hand = entry("kubectl", None, json!({"f:spec": {"f:hard": {}}}));
        let children = Children::default();
        let child = Child::new(Kind::ResourceQuota, Some(NAMESPACE), "quota", &Labels::managed(), json!({}));
        children.applied(&child, &meta("1", vec![ours()]));
        assert!(!children.observe(Kind::ResourceQuota, &meta("2", vec![ours(), status.clone()]), false));
        assert!(children.knows(&child));
        assert!(children.observe(Kind::ResourceQuota, &meta("3", vec![ours(), status, hand]), false));
        assert!(!children.knows(&child));
    }
}
