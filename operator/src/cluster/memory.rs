//! What this process applied last and what it has seen since: no write and no read without a change. No I/O.

use std::collections::HashMap;
use std::sync::Mutex;

use kube::api::ObjectMeta;
use tenantry_core::id::Id;
use tenantry_plan::{Child, Kind};

/// Key of an object: kind, namespace, name.
type Key = (Kind, String, String);

/// The state of an object after our last apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Hash of what we applied.
    pub hash: String,
    /// `uid` and `resourceVersion` that the server gave it.
    pub uid: String,
    /// Version after our apply.
    pub version: String,
    /// Generation after our apply, for kinds that count one.
    pub generation: Option<i64>,
}

/// Memory of one process. Losing it costs one read for each object, never a write.
#[derive(Debug, Default)]
pub struct Memory {
    applied: Mutex<HashMap<Key, Seen>>,
    settled: Mutex<HashMap<String, String>>,
    failures: Mutex<HashMap<String, u32>>,
    pruned: Mutex<HashMap<Id, String>>,
}

fn key(kind: Kind, namespace: Option<&str>, name: &str) -> Key {
    (kind, namespace.unwrap_or_default().to_owned(), name.to_owned())
}

impl Memory {
    fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
        // A panic elsewhere leaves the map whole: every change is one insert or remove.
        mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Remembers an apply.
    pub fn applied(&self, child: &Child, meta: &ObjectMeta) {
        let seen = Seen {
            hash: child.hash(),
            uid: meta.uid.clone().unwrap_or_default(),
            version: meta.resource_version.clone().unwrap_or_default(),
            generation: meta.generation,
        };
        Self::lock(&self.applied).insert(key(child.kind, child.namespace.as_deref(), &child.name), seen);
    }

    /// Whether exactly this child was applied and nothing foreign was seen since.
    #[must_use]
    pub fn knows(&self, child: &Child) -> bool {
        let all = Self::lock(&self.applied);
        all.get(&key(child.kind, child.namespace.as_deref(), &child.name)).is_some_and(|s| s.hash == child.hash())
    }

    /// A watch saw a change of a child. Returns whether it is foreign: not the echo of our own apply, and
    /// not a mere change of status. A foreign change is forgotten here, so that the child is compared anew.
    pub fn observe(&self, kind: Kind, meta: &ObjectMeta, deleted: bool) -> bool {
        let k = key(kind, meta.namespace.as_deref(), meta.name.as_deref().unwrap_or_default());
        let mut all = Self::lock(&self.applied);
        let Some(seen) = all.get(&k) else { return true };
        let same_object = meta.uid.as_deref() == Some(seen.uid.as_str());
        let same = match (seen.generation, meta.generation) {
            (Some(a), Some(b)) => a == b,
            _ => meta.resource_version.as_deref() == Some(seen.version.as_str()),
        };
        if !deleted && same_object && same {
            // Statuses of processes and jobs matter to their instance even when the spec is untouched.
            let echo = meta.resource_version.as_deref() == Some(seen.version.as_str());
            return !echo && matches!(kind, Kind::Deployment | Kind::StatefulSet | Kind::Job);
        }
        all.remove(&k);
        true
    }

    /// Forgets a child that was removed.
    pub fn forget(&self, kind: Kind, namespace: Option<&str>, name: &str) {
        Self::lock(&self.applied).remove(&key(kind, namespace, name));
    }

    /// Forgets every child of a kind: a watch began anew and may have missed something.
    pub fn forget_kind(&self, kind: Kind) {
        Self::lock(&self.applied).retain(|(k, _, _), _| *k != kind);
    }

    /// Remembers that an object is as it should be, for this fingerprint of all that it depends on.
    pub fn settle(&self, uid: &str, fingerprint: String) {
        Self::lock(&self.settled).insert(uid.to_owned(), fingerprint);
    }

    /// Whether nothing that it depends on has changed since.
    #[must_use]
    pub fn is_settled(&self, uid: &str, fingerprint: &str) -> bool {
        Self::lock(&self.settled).get(uid).is_some_and(|f| f == fingerprint)
    }

    /// Something changed: look at the object anew.
    pub fn unsettle(&self, uid: &str) {
        Self::lock(&self.settled).remove(uid);
    }

    /// Everything may have changed.
    pub fn unsettle_all(&self) {
        Self::lock(&self.settled).clear();
    }

    /// Remembers that nothing old is left beside what an instance uses.
    pub fn pruned(&self, instance: &Id, in_use: String) {
        Self::lock(&self.pruned).insert(instance.clone(), in_use);
    }

    /// Whether nothing old is left beside what an instance uses.
    #[must_use]
    pub fn is_pruned(&self, instance: &Id, in_use: &str) -> bool {
        Self::lock(&self.pruned).get(instance).is_some_and(|known| known == in_use)
    }

    /// Counts a failure of an object and returns how many there were in a row.
    pub fn failed(&self, uid: &str) -> u32 {
        let mut all = Self::lock(&self.failures);
        let count = all.entry(uid.to_owned()).or_insert(0);
        *count = count.saturating_add(1);
        *count
    }

    /// The object is well again.
    pub fn recovered(&self, uid: &str) {
        Self::lock(&self.failures).remove(uid);
    }
}
