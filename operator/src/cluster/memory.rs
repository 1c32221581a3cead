//! What this process applied last and has seen since, so that nothing is read or written without a change. No I/O.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;

use kube::api::ObjectMeta;
use tenantry_core::hash::content_hash;
use tenantry_core::id::Id;
use tenantry_core::names;
use tenantry_plan::{Child, Kind};

use crate::integration::Checks;
use crate::integration::front::Away;

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
    /// Hash of who had written which fields after our apply, without statuses. None means that the server does not
    /// report it.
    pub fields: Option<String>,
}

/// Memory of one process. Losing it costs one read for each object, never a write.
#[derive(Debug, Default)]
pub struct Memory {
    /// What is known about integrations.
    pub checks: Checks,
    /// Addresses that could not be reached.
    pub away: Away,
    applied: Mutex<HashMap<Key, Seen>>,
    settled: Mutex<HashMap<String, String>>,
    failures: Mutex<HashMap<String, u32>>,
    /// The reason why an object waits, and how often the object was looked at since, by uid.
    waits: Mutex<HashMap<String, (String, u32)>>,
    pruned: Mutex<HashMap<Id, String>>,
    /// Versions of our own objects as this process last wrote them, by uid.
    written: Mutex<HashMap<String, u64>>,
    /// When checks that are made only now and then were made last, by uid.
    looked: Mutex<HashMap<String, jiff::Timestamp>>,
    /// Volumes that outlive their claims.
    kept: Mutex<HashSet<String>>,
    /// Pinned releases whose copies exist, by hash.
    releases: Mutex<HashSet<String>>,
    /// Names of the children of each kind: all of them, once the watch of the kind has listed them.
    present: Mutex<HashMap<Kind, Present>>,
    /// Instances whose database was not found by the sweep of its server, by uid. Each instance checks that itself.
    doubted: Mutex<HashSet<String>>,
    /// Objects of our own kinds of which no version could be read, by kind.
    unreadable: Mutex<HashMap<String, HashSet<String>>>,
    /// Servers that had nothing of an object, by the object's uid.
    nothing: Mutex<HashMap<String, String>>,
    /// Numbers of the last event in streams of billing events, by id.
    ends: Mutex<HashMap<Id, u64>>,
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

/// The resource version as a number, which grows with every write of any object.
fn version(meta: &ObjectMeta) -> Option<u64> {
    meta.resource_version.as_deref().and_then(|v| v.parse().ok())
}

/// Hash of who wrote which fields, without statuses. A different hash means that somebody wrote more than a status.
fn fields(meta: &ObjectMeta) -> Option<String> {
    let entries = meta.managed_fields.as_ref().filter(|all| !all.is_empty())?;
    let spec: Vec<_> = entries.iter().filter(|e| e.subresource.as_deref() != Some("status")).collect();
    content_hash(&spec).ok()
}

impl Memory {
    fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
        // A panic elsewhere leaves the map intact: every change is one insert or remove.
        mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Remembers that an object of ours was written, and the version that it got.
    pub fn wrote(&self, meta: &ObjectMeta) {
        if let (Some(uid), Some(version)) = (&meta.uid, version(meta)) {
            Self::lock(&self.written).insert(uid.clone(), version);
        }
    }

    /// Whether an object is older than the version that this process wrote: the watch is about to bring the newer
    /// version, and work on the old version would be wasted.
    #[must_use]
    pub fn is_stale(&self, meta: &ObjectMeta) -> bool {
        let written = meta.uid.as_ref().and_then(|uid| Self::lock(&self.written).get(uid).copied());
        matches!((version(meta), written), (Some(now), Some(written)) if now < written)
    }

    /// Remembers an apply.
    pub fn applied(&self, child: &Child, meta: &ObjectMeta) {
        let seen = Seen {
            hash: child.hash(),
            uid: meta.uid.clone().unwrap_or_default(),
            version: meta.resource_version.clone().unwrap_or_default(),
            generation: meta.generation,
            fields: fields(meta),
        };
        Self::lock(&self.applied).insert(key(child.kind, child.namespace.as_deref(), &child.name), seen);
    }

    /// Whether exactly this child was applied, and no foreign change was seen since.
    #[must_use]
    pub fn knows(&self, child: &Child) -> bool {
        let all = Self::lock(&self.applied);
        all.get(&key(child.kind, child.namespace.as_deref(), &child.name)).is_some_and(|s| s.hash == child.hash())
    }

    /// A watch saw a change of a child. Returns whether the change is foreign: not the echo of our own apply, and not
    /// only a change of status. After a foreign change the child is forgotten here, so that it is compared again.
    pub fn observe(&self, kind: Kind, meta: &ObjectMeta, deleted: bool) -> bool {
        let k = key(kind, meta.namespace.as_deref(), meta.name.as_deref().unwrap_or_default());
        {
            let mut present = Self::lock(&self.present);
            let names = &mut present.entry(kind).or_default().names;
            let name = (k.1.clone(), k.2.clone());
            if deleted {
                names.remove(&name)
            } else {
                names.insert(name)
            };
        }
        let mut all = Self::lock(&self.applied);
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
        Self::lock(&self.applied).remove(&key(kind, namespace, name));
    }

    /// Forgets every child of a kind: a watch was restarted and may have missed something.
    pub fn forget_kind(&self, kind: Kind) {
        Self::lock(&self.applied).retain(|(k, _, _), _| *k != kind);
    }

    /// A watch begins to list: what it reported before no longer proves that an object does not exist.
    pub fn watch_begins(&self, kind: Kind) {
        Self::lock(&self.present).insert(kind, Present::default());
    }

    /// A watch has listed all objects of a kind.
    pub fn watch_is_whole(&self, kind: Kind) {
        Self::lock(&self.present).entry(kind).or_default().whole = true;
    }

    /// Whether a watch that has listed all objects has not reported this child, so that the child is very likely new.
    #[must_use]
    pub fn is_unseen(&self, child: &Child) -> bool {
        let name = (child.namespace.clone().unwrap_or_default(), child.name.clone());
        Self::lock(&self.present).get(&child.kind).is_some_and(|p| p.whole && !p.names.contains(&name))
    }

    /// Remembers that an object is as it should be, for this fingerprint of everything that it depends on.
    pub fn settle(&self, uid: &str, fingerprint: String) {
        Self::lock(&self.settled).insert(uid.to_owned(), fingerprint);
    }

    /// Whether nothing that the object depends on has changed since it was settled.
    #[must_use]
    pub fn is_settled(&self, uid: &str, fingerprint: &str) -> bool {
        Self::lock(&self.settled).get(uid).is_some_and(|f| f == fingerprint)
    }

    /// Something changed: the object must be looked at again.
    pub fn unsettle(&self, uid: &str) {
        Self::lock(&self.settled).remove(uid);
    }

    /// Everything may have changed.
    pub fn unsettle_all(&self) {
        Self::lock(&self.settled).clear();
        Self::lock(&self.releases).clear();
    }

    /// Remembers that the copy of a pinned release exists.
    pub fn release_is_kept(&self, hash: &str) {
        Self::lock(&self.releases).insert(hash.to_owned());
    }

    /// Forgets the copy of a release, because the copy was not found.
    pub fn forget_release(&self, hash: &str) {
        Self::lock(&self.releases).remove(hash);
    }

    /// Whether the copy of a pinned release is known to exist.
    #[must_use]
    pub fn has_release(&self, hash: &str) -> bool {
        Self::lock(&self.releases).contains(hash)
    }

    /// Remembers that no outdated objects are left beside the objects that an instance uses.
    pub fn pruned(&self, instance: &Id, in_use: String) {
        Self::lock(&self.pruned).insert(instance.clone(), in_use);
    }

    /// Whether no outdated objects are known to be left beside the objects that an instance uses.
    #[must_use]
    pub fn is_pruned(&self, instance: &Id, in_use: &str) -> bool {
        Self::lock(&self.pruned).get(instance).is_some_and(|known| known == in_use)
    }

    /// Remembers that these servers had nothing of an object.
    pub fn found_nothing(&self, uid: &str, servers: String) {
        Self::lock(&self.nothing).insert(uid.to_owned(), servers);
    }

    /// Whether these servers were asked and had nothing of the object.
    #[must_use]
    pub fn has_found_nothing(&self, uid: &str, servers: &str) -> bool {
        Self::lock(&self.nothing).get(uid).is_some_and(|asked| asked == servers)
    }

    /// Whether a check that is made only now and then is due. It is always due when a process has just started.
    #[must_use]
    pub fn is_due(&self, uid: &str, now: jiff::Timestamp, every: std::time::Duration) -> bool {
        Self::lock(&self.looked).get(uid).is_none_or(|at| now.duration_since(*at).unsigned_abs() >= every)
    }

    /// Remembers that such a check was made.
    pub fn looked(&self, uid: &str, now: jiff::Timestamp) {
        Self::lock(&self.looked).insert(uid.to_owned(), now);
    }

    /// Remembers that a volume outlives its claim.
    pub fn kept(&self, volume: &str) {
        Self::lock(&self.kept).insert(volume.to_owned());
    }

    /// Whether a volume is known to outlive its claim.
    #[must_use]
    pub fn is_kept(&self, volume: &str) -> bool {
        Self::lock(&self.kept).contains(volume)
    }

    /// Remembers that a stream of billing events ends with this number. None means that the end is not known, because
    /// an event is about to be written.
    pub fn stream_ends(&self, id: &Id, sequence: Option<u64>) {
        let mut all = Self::lock(&self.ends);
        all.remove(id);
        all.extend(sequence.map(|sequence| (id.clone(), sequence)));
    }

    /// Whether a stream of billing events is known to end with this number.
    #[must_use]
    pub fn is_end_of_stream(&self, id: &Id, sequence: u64) -> bool {
        Self::lock(&self.ends).get(id) == Some(&sequence)
    }

    /// The sweep of a server did not find an instance's database: the instance looks for its database in its next pass.
    pub fn doubt(&self, uid: &str) {
        Self::lock(&self.doubted).insert(uid.to_owned());
        self.unsettle(uid);
    }

    /// Whether an instance's database is in doubt.
    #[must_use]
    pub fn is_doubted(&self, uid: &str) -> bool {
        Self::lock(&self.doubted).contains(uid)
    }

    /// An instance has found its database.
    pub fn trust(&self, uid: &str) {
        Self::lock(&self.doubted).remove(uid);
    }

    /// Counts a failure of an object and returns how many there were in a row.
    pub fn failed(&self, uid: &str) -> u32 {
        let mut all = Self::lock(&self.failures);
        let count = all.entry(uid.to_owned()).or_insert(0);
        *count = count.saturating_add(1);
        *count
    }

    /// Counts a look at a waiting object, and returns how many looks there were for the same reason.
    pub fn waited(&self, uid: &str, reason: &str) -> u32 {
        let mut all = Self::lock(&self.waits);
        let entry = all.entry(uid.to_owned()).or_default();
        if entry.0 != reason {
            *entry = (reason.to_owned(), 0);
        }
        entry.1 = entry.1.saturating_add(1);
        entry.1
    }

    /// How many failures in a row there were.
    #[must_use]
    pub fn failures(&self, uid: &str) -> u32 {
        Self::lock(&self.failures).get(uid).copied().unwrap_or_default()
    }

    /// The object is fine again: its failures and waits are forgotten.
    pub fn recovered(&self, uid: &str) {
        Self::lock(&self.failures).remove(uid);
        Self::lock(&self.waits).remove(uid);
    }

    /// Remembers which objects of a kind cannot be read and have no earlier version that could be read.
    pub fn cannot_read(&self, kind: &str, names: &HashSet<String>) {
        let mut all = Self::lock(&self.unreadable);
        if all.get(kind) != Some(names) {
            all.insert(kind.to_owned(), names.clone());
        }
    }

    /// Whether a list of a kind is complete. It is incomplete while nothing is known about some object of the kind.
    #[must_use]
    pub fn is_list_whole(&self, kind: &str) -> bool {
        Self::lock(&self.unreadable).get(kind).is_none_or(HashSet::is_empty)
    }

    /// Forgets an object that is gone.
    pub fn forget_object(&self, uid: &str) {
        Self::lock(&self.nothing).remove(uid);
        self.unsettle(uid);
        self.recovered(uid);
        self.checks.forget(uid);
        self.trust(uid);
        Self::lock(&self.looked).remove(uid);
        Self::lock(&self.written).remove(uid);
    }

    /// Forgets an instance that is gone, and its children, whose names begin with the instance's id.
    pub fn forget_instance(&self, uid: &str, namespace: &str, id: &Id) {
        self.forget_object(uid);
        Self::lock(&self.pruned).remove(id);
        Self::lock(&self.ends).remove(id);
        let of_instance =
            |name: &str| name.strip_prefix(id.as_str()).is_some_and(|r| r.is_empty() || r.starts_with('-'));
        Self::lock(&self.applied).retain(|(_, ns, name), _| ns != namespace || !of_instance(name));
    }

    /// Forgets a tenant that is gone, and everything in its namespace.
    pub fn forget_tenant(&self, uid: &str, namespace: &str) {
        self.forget_object(uid);
        Self::lock(&self.ends).retain(|id, _| names::namespace(id) != namespace);
        Self::lock(&self.applied)
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

    fn applied(memory: &Memory, kind: Kind, namespace: Option<&str>, name: &str) -> Child {
        let child = Child::new(kind, namespace, name, &Labels::managed(), json!({}));
        memory.applied(&child, &ObjectMeta::default());
        child
    }

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
        let memory = Memory::default();
        let child = Child::new(Kind::ResourceQuota, Some(NAMESPACE), "quota", &Labels::managed(), json!({}));
        memory.applied(&child, &meta("1", vec![ours()]));
        assert!(!memory.observe(Kind::ResourceQuota, &meta("2", vec![ours(), status.clone()]), false));
        assert!(memory.knows(&child));
        assert!(memory.observe(Kind::ResourceQuota, &meta("3", vec![ours(), status, hand]), false));
        assert!(!memory.knows(&child));
    }

    #[test]
    fn an_object_older_than_what_was_written_is_stale_and_its_successor_is_not() {
        let meta = |uid: &str, version: &str| ObjectMeta {
            uid: Some(uid.into()),
            resource_version: Some(version.into()),
            ..ObjectMeta::default()
        };
        let memory = Memory::default();
        memory.wrote(&meta("a", "100"));
        assert!(memory.is_stale(&meta("a", "99")));
        assert!(!memory.is_stale(&meta("a", "100")));
        assert!(!memory.is_stale(&meta("b", "7")), "a new object of the same name");
        memory.forget_object("a");
        assert!(!memory.is_stale(&meta("a", "99")));
    }

    #[test]
    fn an_instance_that_is_gone_leaves_nothing_behind_but_its_neighbours() {
        let (memory, id) = (Memory::default(), Id::parse("kkkkkkkkkk").unwrap());
        memory.settle("uid", "print".into());
        memory.settle("other", "print".into());
        memory.failed("uid");
        memory.pruned(&id, "in use".into());
        let own = ["kkkkkkkkkk", "kkkkkkkkkk-web", "kkkkkkkkkk-database-g1"]
            .map(|name| applied(&memory, Kind::Secret, Some(NAMESPACE), name));
        let neighbour = applied(&memory, Kind::Secret, Some(NAMESPACE), "kkkkkkkkkz-web");
        memory.forget_instance("uid", NAMESPACE, &id);
        assert!(own.iter().all(|child| !memory.knows(child)) && memory.knows(&neighbour));
        assert!(!memory.is_settled("uid", "print") && memory.is_settled("other", "print"));
        assert!(!memory.is_pruned(&id, "in use"));
        assert_eq!(memory.failed("uid"), 1, "counted anew");
    }

    #[test]
    fn a_tenant_that_is_gone_leaves_nothing_of_its_namespace_behind() {
        let memory = Memory::default();
        let own = [
            applied(&memory, Kind::Namespace, None, NAMESPACE),
            applied(&memory, Kind::ConfigMap, Some(NAMESPACE), "any"),
        ];
        let others = [
            applied(&memory, Kind::Namespace, None, "tenant-bbbbbbbbbb"),
            applied(&memory, Kind::ConfigMap, Some("tenantry-system"), "host.crm.example"),
        ];
        memory.forget_tenant("uid", NAMESPACE);
        assert!(!own.iter().any(|child| memory.knows(child)) && others.iter().all(|child| memory.knows(child)));
    }

    #[test]
    fn a_list_is_whole_unless_an_object_of_the_kind_cannot_be_read() {
        let memory = Memory::default();
        assert!(memory.is_list_whole("DatabaseServer"));
        memory.cannot_read("DatabaseServer", &HashSet::from(["pg-1".to_owned()]));
        assert!(!memory.is_list_whole("DatabaseServer") && memory.is_list_whole("Plan"));
        memory.cannot_read("DatabaseServer", &HashSet::new());
        assert!(memory.is_list_whole("DatabaseServer"));
    }
}
