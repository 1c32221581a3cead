//! What this process knows about objects, so that nothing is read or written without a change. Children and retries
//! have files of their own. No I/O.

mod children;
mod lock;
mod retries;

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;

use kube::api::ObjectMeta;
use tenantry_core::id::Id;
use tenantry_core::names;

use self::lock::lock;
use crate::integration::Checks;
use crate::integration::front::Away;

pub use children::Children;
pub use retries::Retries;

/// Memory of one process. Losing it costs one read for each object, never a write.
#[derive(Debug, Default)]
pub struct Memory {
    /// What is known about children.
    pub children: Children,
    /// How often objects failed or waited in a row.
    pub retries: Retries,
    /// What is known about integrations.
    pub checks: Checks,
    /// Addresses that could not be reached.
    pub away: Away,
    settled: Mutex<HashMap<String, String>>,
    pruned: Mutex<HashMap<Id, String>>,
    /// Versions of our own objects as this process last wrote them, by uid.
    written: Mutex<HashMap<String, u64>>,
    /// When checks that are made only now and then were made last, by uid.
    looked: Mutex<HashMap<String, jiff::Timestamp>>,
    /// Volumes that outlive their claims.
    kept: Mutex<HashSet<String>>,
    /// Pinned releases whose copies exist, by hash.
    releases: Mutex<HashSet<String>>,
    /// Instances whose database was not found by the sweep of its server, by uid. Each instance checks that itself.
    doubted: Mutex<HashSet<String>>,
    /// Objects of our own kinds of which no version could be read, by kind.
    unreadable: Mutex<HashMap<String, HashSet<String>>>,
    /// Servers that had nothing of an object, by the object's uid.
    nothing: Mutex<HashMap<String, String>>,
    /// Numbers of the last event in streams of billing events, by id.
    ends: Mutex<HashMap<Id, u64>>,
}

/// The resource version as a number, which grows with every write of any object.
fn version(meta: &ObjectMeta) -> Option<u64> {
    meta.resource_version.as_deref().and_then(|v| v.parse().ok())
}

impl Memory {
    /// Remembers that an object of ours was written, and the version that it got.
    pub fn wrote(&self, meta: &ObjectMeta) {
        if let (Some(uid), Some(version)) = (&meta.uid, version(meta)) {
            lock(&self.written).insert(uid.clone(), version);
        }
    }

    /// Whether an object is older than the version that this process wrote: the watch is about to bring the newer
    /// version, and work on the old version would be wasted.
    #[must_use]
    pub fn is_stale(&self, meta: &ObjectMeta) -> bool {
        let written = meta.uid.as_ref().and_then(|uid| lock(&self.written).get(uid).copied());
        matches!((version(meta), written), (Some(now), Some(written)) if now < written)
    }

    /// Remembers that an object is as it should be, for this fingerprint of everything that it depends on.
    pub fn settle(&self, uid: &str, fingerprint: String) {
        lock(&self.settled).insert(uid.to_owned(), fingerprint);
    }

    /// Whether nothing that the object depends on has changed since it was settled.
    #[must_use]
    pub fn is_settled(&self, uid: &str, fingerprint: &str) -> bool {
        lock(&self.settled).get(uid).is_some_and(|f| f == fingerprint)
    }

    /// Something changed: the object must be looked at again.
    pub fn unsettle(&self, uid: &str) {
        lock(&self.settled).remove(uid);
    }

    /// Everything may have changed.
    pub fn unsettle_all(&self) {
        lock(&self.settled).clear();
        lock(&self.releases).clear();
    }

    /// Remembers that the copy of a pinned release exists.
    pub fn release_is_kept(&self, hash: &str) {
        lock(&self.releases).insert(hash.to_owned());
    }

    /// Forgets the copy of a release, because the copy was not found.
    pub fn forget_release(&self, hash: &str) {
        lock(&self.releases).remove(hash);
    }

    /// Whether the copy of a pinned release is known to exist.
    #[must_use]
    pub fn has_release(&self, hash: &str) -> bool {
        lock(&self.releases).contains(hash)
    }

    /// Remembers that no outdated objects are left beside the objects that an instance uses.
    pub fn pruned(&self, instance: &Id, in_use: String) {
        lock(&self.pruned).insert(instance.clone(), in_use);
    }

    /// Whether no outdated objects are known to be left beside the objects that an instance uses.
    #[must_use]
    pub fn is_pruned(&self, instance: &Id, in_use: &str) -> bool {
        lock(&self.pruned).get(instance).is_some_and(|known| known == in_use)
    }

    /// Remembers that these servers had nothing of an object.
    pub fn found_nothing(&self, uid: &str, servers: String) {
        lock(&self.nothing).insert(uid.to_owned(), servers);
    }

    /// Whether these servers were asked and had nothing of the object.
    #[must_use]
    pub fn has_found_nothing(&self, uid: &str, servers: &str) -> bool {
        lock(&self.nothing).get(uid).is_some_and(|asked| asked == servers)
    }

    /// Whether a check that is made only now and then is due. It is always due when a process has just started.
    #[must_use]
    pub fn is_due(&self, uid: &str, now: jiff::Timestamp, every: std::time::Duration) -> bool {
        lock(&self.looked).get(uid).is_none_or(|at| now.duration_since(*at).unsigned_abs() >= every)
    }

    /// Remembers that such a check was made.
    pub fn looked(&self, uid: &str, now: jiff::Timestamp) {
        lock(&self.looked).insert(uid.to_owned(), now);
    }

    /// Remembers that a volume outlives its claim.
    pub fn kept(&self, volume: &str) {
        lock(&self.kept).insert(volume.to_owned());
    }

    /// Whether a volume is known to outlive its claim.
    #[must_use]
    pub fn is_kept(&self, volume: &str) -> bool {
        lock(&self.kept).contains(volume)
    }

    /// Remembers that a stream of billing events ends with this number. None means that the end is not known, because
    /// an event is about to be written.
    pub fn stream_ends(&self, id: &Id, sequence: Option<u64>) {
        let mut all = lock(&self.ends);
        all.remove(id);
        all.extend(sequence.map(|sequence| (id.clone(), sequence)));
    }

    /// Whether a stream of billing events is known to end with this number.
    #[must_use]
    pub fn is_end_of_stream(&self, id: &Id, sequence: u64) -> bool {
        lock(&self.ends).get(id) == Some(&sequence)
    }

    /// The sweep of a server did not find an instance's database: the instance looks for its database in its next pass.
    pub fn doubt(&self, uid: &str) {
        lock(&self.doubted).insert(uid.to_owned());
        self.unsettle(uid);
    }

    /// Whether an instance's database is in doubt.
    #[must_use]
    pub fn is_doubted(&self, uid: &str) -> bool {
        lock(&self.doubted).contains(uid)
    }

    /// An instance has found its database.
    pub fn trust(&self, uid: &str) {
        lock(&self.doubted).remove(uid);
    }

    /// Remembers which objects of a kind cannot be read and have no earlier version that could be read.
    pub fn cannot_read(&self, kind: &str, names: &HashSet<String>) {
        let mut all = lock(&self.unreadable);
        if all.get(kind) != Some(names) {
            all.insert(kind.to_owned(), names.clone());
        }
    }

    /// Whether a list of a kind is complete. It is incomplete while nothing is known about some object of the kind.
    #[must_use]
    pub fn is_list_whole(&self, kind: &str) -> bool {
        lock(&self.unreadable).get(kind).is_none_or(HashSet::is_empty)
    }

    /// Forgets an object that is gone.
    pub fn forget_object(&self, uid: &str) {
        lock(&self.nothing).remove(uid);
        self.unsettle(uid);
        self.retries.recovered(uid);
        self.checks.forget(uid);
        self.trust(uid);
        lock(&self.looked).remove(uid);
        lock(&self.written).remove(uid);
    }

    /// Forgets an instance that is gone, and its children, whose names begin with the instance's id.
    pub fn forget_instance(&self, uid: &str, namespace: &str, id: &Id) {
        self.forget_object(uid);
        lock(&self.pruned).remove(id);
        lock(&self.ends).remove(id);
        self.children.forget_instance(namespace, id);
    }

    /// Forgets a tenant that is gone, and everything in its namespace.
    pub fn forget_tenant(&self, uid: &str, namespace: &str) {
        self.forget_object(uid);
        lock(&self.ends).retain(|id, _| names::namespace(id) != namespace);
        self.children.forget_namespace(namespace);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tenantry_plan::labels::Labels;
    use tenantry_plan::{Child, Kind};

    use super::*;

    const NAMESPACE: &str = "tenant-abcdefghij";

    fn applied(memory: &Memory, kind: Kind, namespace: Option<&str>, name: &str) -> Child {
        let child = Child::new(kind, namespace, name, &Labels::managed(), json!({}));
        memory.children.applied(&child, &ObjectMeta::default());
        child
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
        memory.retries.failed("uid");
        memory.pruned(&id, "in use".into());
        let own = ["kkkkkkkkkk", "kkkkkkkkkk-web", "kkkkkkkkkk-database-g1"]
            .map(|name| applied(&memory, Kind::Secret, Some(NAMESPACE), name));
        let neighbour = applied(&memory, Kind::Secret, Some(NAMESPACE), "kkkkkkkkkz-web");
        memory.forget_instance("uid", NAMESPACE, &id);
        assert!(own.iter().all(|child| !memory.children.knows(child)) && memory.children.knows(&neighbour));
        assert!(!memory.is_settled("uid", "print") && memory.is_settled("other", "print"));
        assert!(!memory.is_pruned(&id, "in use"));
        assert_eq!(memory.retries.failed("uid"), 1, "counted anew");
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
        assert!(
            !own.iter().any(|child| memory.children.knows(child))
                && others.iter().all(|child| memory.children.knows(child))
        );
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
