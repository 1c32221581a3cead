//! The cached form of an Archive: the fields that decide what is to be done, without the bulk of it. No I/O.

use super::blank::LAST_APPLIED;
use kube::Resource;
use kube::api::ObjectMeta;
use serde::{Deserialize, Deserializer, Serialize};
use tenantry_api::archive::{Archive, ArchivePhase, ArchiveStatus, BLANK, KeptDatabase, Purge};

/// An Archive without the archived object, the ledger and the names of kept volumes and Secrets. At worst these are
/// hundreds of kilobytes per archive, and archives stay for ever: they are read only when there is something to do.
#[derive(Resource, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[resource(inherit = "Archive")]
pub struct Entry {
    /// Its metadata.
    pub metadata: ObjectMeta,
    /// The remembered part of its spec.
    pub spec: EntrySpec,
    /// Its status.
    pub status: Option<ArchiveStatus>,
}

/// What is remembered of an Archive's spec.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EntrySpec {
    /// Id of the tenant.
    pub tenant_id: String,
    /// Databases kept.
    #[serde(default)]
    pub databases: Vec<KeptDatabase>,
    /// The data is kept at least until this time, RFC 3339.
    #[serde(default)]
    pub retain_until: String,
    /// The request to destroy the data.
    pub purge: Option<Purge>,
    /// Whether the archived object was blanked; the object itself is not remembered.
    #[serde(default, rename = "object", deserialize_with = "is_blank", skip_serializing)]
    pub blank: bool,
}

fn is_blank<'de, D: Deserializer<'de>>(object: D) -> Result<bool, D::Error> {
    String::deserialize(object).map(|object| object == BLANK)
}

impl Entry {
    /// Its phase.
    #[must_use]
    pub fn phase(&self) -> ArchivePhase {
        self.status.as_ref().map(|s| s.phase).unwrap_or_default()
    }

    /// Whether the archive still holds its data, according to its status.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        matches!(self.phase(), ArchivePhase::Archived | ArchivePhase::Purging)
    }

    /// Whether there is nothing to do for this archive, so that the full object need not be read.
    #[must_use]
    pub fn rests(&self) -> bool {
        let observed = self.status.as_ref().and_then(|s| s.observed_generation);
        let purged = self.spec.purge.is_none() || !self.is_kept();
        let goes = self.metadata.deletion_timestamp.is_some();
        // An archive that was purged by a version that did not blank archives is blanked now.
        let annotations = self.metadata.annotations.as_ref();
        let is_blank = self.spec.blank && annotations.is_none_or(|a| !a.contains_key(LAST_APPLIED));
        let blanked = self.phase() != ArchivePhase::Purged || is_blank;
        observed.is_some() && observed == self.metadata.generation && purged && blanked && !goes
    }
}

#[cfg(test)]
mod tests {
    use kube::runtime::reflector;
    use kube::runtime::watcher::Event;
    use serde_json::{Value, json};

    use super::*;

    /// An Archive as the API server sends it, with the longest object that an Archive may hold.
    fn sent(n: usize, status: Value) -> Value {
        json!({
            "apiVersion": "tenantry.dev/v1alpha1", "kind": "Archive",
            "metadata": { "name": format!("abcdefghij-{n}"), "uid": format!("u{n}"), "generation": 1,
                "labels": { "tenantry.dev/tenant-id": "klmnopqrst" } },
            "spec": {
                "kind": "CrmInstance", "id": "abcdefghij", "name": "crm", "life": n, "tenantId": "klmnopqrst",
                "tenantName": "acme", "namespace": "tenant-klmnopqrst",
                "databases": [{ "server": "pg-1", "name": "crm_abcdefghij_g1" }],
                "volumes": ["abcdefghij-files-g1"], "secrets": ["abcdefghij-keys-g1"],
                "object": "x".repeat(700_000), "ledger": "y".repeat(4096),
                "archivedAt": "2026-01-01T00:00:00Z", "retainUntil": "2026-02-01T00:00:00Z",
            },
            "status": status,
        })
    }

    #[test]
    fn a_thousand_of_the_longest_archives_are_remembered_in_less_than_two_megabytes() {
        let (cache, mut writer) = reflector::store::<Entry>();
        writer.apply_watcher_event(&Event::Init);
        for n in 1..=1000 {
            let whole = sent(n, json!({ "phase": "Archived", "observedGeneration": 1 }));
            writer.apply_watcher_event(&Event::InitApply(serde_json::from_value(whole).unwrap()));
        }
        writer.apply_watcher_event(&Event::InitDone);
        let all = cache.state();
        let bytes: usize = all.iter().map(|e| serde_json::to_string(&**e).unwrap().len()).sum();
        assert_eq!(all.len(), 1000);
        assert!(bytes < 2_000_000, "{bytes} bytes of 700 MB");
    }

    #[test]
    fn an_archive_rests_until_something_is_asked_of_it() {
        let entry = |status: Value| serde_json::from_value::<Entry>(sent(1, status)).unwrap();
        let resting = entry(json!({ "phase": "Archived", "observedGeneration": 1 }));
        assert!(resting.rests() && resting.is_kept());
        assert!(!entry(Value::Null).rests(), "its status was lost");
        assert!(!entry(json!({ "phase": "Archived" })).rests());
        let asked = |phase: &str| {
            let mut entry = entry(json!({ "phase": phase, "observedGeneration": 1 }));
            entry.spec.purge = Some(Purge { confirm: "crm".into(), before_retention: false });
            entry
        };
        assert!(!asked("Archived").rests() && !asked("Purging").rests());
        assert!(!asked("Purged").rests() && !asked("Purged").is_kept(), "it was purged before archives were blanked");
        let mut blanked = asked("Purged");
        blanked.spec.blank = true;
        assert!(blanked.rests());
        let mut changed = resting;
        changed.metadata.generation = Some(2);
        assert!(!changed.rests());
    }
}
