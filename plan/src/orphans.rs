//! Data of a tenant that no object and no archive refers to. No I/O.

use std::collections::{BTreeMap, BTreeSet};

use tenantry_api::archive::{Archive, ArchivePhase};
use tenantry_api::crm_instance::CrmInstance;

/// Maximum number of entries of a list in a message or a status.
pub const LISTED: usize = 20;

/// A thing that was found: the instance that it belongs to, if its labels say so, and a description.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    /// Id of the instance.
    pub instance: Option<String>,
    /// For example `database crm_x_g1 on pg-1` or `volume claim x`.
    pub what: String,
}

/// The phase of an archive.
#[must_use]
pub fn phase(archive: &Archive) -> ArchivePhase {
    archive.status.as_ref().map(|s| s.phase).unwrap_or_default()
}

/// Whether an archive refers to the data of an id, either keeping it or about to destroy it.
#[must_use]
pub fn is_archived(archives: &[Archive], id: &str) -> bool {
    let open = |a: &&Archive| matches!(phase(a), ArchivePhase::Archived | ArchivePhase::Purging);
    archives.iter().filter(open).any(|a| a.spec.id == id)
}

/// The ids that a living instance or an open archive refers to.
#[must_use]
pub fn led_to(instances: &[CrmInstance], archives: &[Archive]) -> BTreeSet<String> {
    let living = instances.iter().filter_map(|i| i.spec.id.clone());
    let open = archives.iter().filter(|a| matches!(phase(a), ArchivePhase::Archived | ArchivePhase::Purging));
    living.chain(open.map(|a| a.spec.id.clone())).collect()
}

/// Why the namespace of a tenant may not be destroyed: the things found in it and on the servers, by instance, with a
/// command for each. None means that nothing was found.
#[must_use]
pub fn refusal(namespace: &str, tenant_id: &str, found: &[Found]) -> Option<String> {
    let mut by_instance: BTreeMap<Option<&str>, BTreeSet<&str>> = BTreeMap::new();
    for one in found {
        by_instance.entry(one.instance.as_deref()).or_default().insert(&one.what);
    }
    let listed = |all: &BTreeSet<&str>| {
        let more = all.len().saturating_sub(LISTED);
        let mut names: Vec<&str> = all.iter().take(LISTED).copied().collect();
        let rest = format!("and {more} more");
        if more > 0 {
            names.push(&rest);
        }
        names.join(", ")
    };
    let lines: Vec<String> = by_instance
        .iter()
        .take(LISTED)
        .map(|(instance, all)| match instance {
            Some(id) => format!(
                "instance {id}: {} (`tenantry archive orphan {tenant_id}/{id}` makes an archive of it, which can be adopted or purged)",
                listed(all)
            ),
            None => format!(
                "not made by Tenantry: {} (save what is wanted, then `kubectl -n {namespace} delete` it)",
                listed(all)
            ),
        })
        .collect();
    if lines.is_empty() {
        return None;
    }
    Some(format!(
        "there is more of this tenant than its purged archives name, and nothing was destroyed: {}",
        lines.join("; ")
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tenantry_api::archive::ArchiveStatus;

    use super::*;

    fn archive(id: &str, phase: ArchivePhase) -> Archive {
        let spec = json!({ "kind": "CrmInstance", "id": id, "name": "crm", "life": 1, "tenantId": "tttttttttt",
            "tenantName": "acme", "namespace": "tenant-tttttttttt", "object": "{}", "ledger": "{}",
            "archivedAt": "", "retainUntil": "" });
        let mut made = Archive::new(&format!("{id}-1"), serde_json::from_value(spec).unwrap());
        made.status = Some(ArchiveStatus { phase, ..ArchiveStatus::default() });
        made
    }

    #[test]
    fn an_archive_that_was_adopted_or_purged_leads_to_nothing() {
        use ArchivePhase::{Adopted, Archived, Purged, Purging};
        let id = "kkkkkkkkkk";
        for (phase, leads) in [(Archived, true), (Purging, true), (Adopted, false), (Purged, false)] {
            let all = [archive(id, phase)];
            assert_eq!((is_archived(&all, id), led_to(&[], &all).contains(id)), (leads, leads), "{phase:?}");
        }
        assert!(!is_archived(&[archive("jjjjjjjjjj", Archived)], id));
    }

    #[test]
    fn a_refusal_lists_what_there_is_of_whom_with_the_command_and_is_bounded() {
        let one = |instance: Option<&str>, what: &str| Found { instance: instance.map(Into::into), what: what.into() };
        assert_eq!(refusal("tenant-tttttttttt", "tttttttttt", &[]), None);
        let found = [one(Some("kkkkkkkkkk"), "database d on pg"), one(None, "volume claim mine")];
        let text = refusal("tenant-tttttttttt", "tttttttttt", &found).unwrap();
        for part in [
            "nothing was destroyed",
            "database d on pg",
            "`tenantry archive orphan tttttttttt/kkkkkkkkkk`",
            "`kubectl -n tenant-tttttttttt delete`",
        ] {
            assert!(text.contains(part), "{part} is not in: {text}");
        }
        let many: Vec<Found> = (0..500).map(|n| one(Some("kkkkkkkkkk"), &format!("volume claim {n:03}"))).collect();
        let text = refusal("ns", "tttttttttt", &many).unwrap();
        assert!(text.contains("and 480 more") && !text.contains("499"), "{text}");
    }
}
