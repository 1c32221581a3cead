//! Which archives still hold data, and which one a name means. No I/O.

use std::collections::BTreeMap;

use kube::ResourceExt;
use tenantry_api::archive::{Archive, ArchivePhase, ArchivedKind};

use crate::error::{Problem, near};

/// The phase of an archive.
pub fn phase(archive: &Archive) -> ArchivePhase {
    archive.status.as_ref().map(|s| s.phase).unwrap_or_default()
}

/// Whether its data is kept and nobody else uses it.
pub fn is_kept(archive: &Archive) -> bool {
    phase(archive) == ArchivePhase::Archived && archive.spec.purge.is_none()
}

/// The archive of a kind that a text means: its own name, or the newest kept one of that archived name.
/// `is_named` says whether an archive is of the archived name.
pub fn chosen<'a>(
    archives: &'a [Archive],
    kind: ArchivedKind,
    text: &str,
    is_named: impl Fn(&Archive) -> bool,
) -> Result<&'a Archive, Problem> {
    if let Some(exact) = archives.iter().find(|a| a.name_any() == text && a.spec.kind == kind) {
        return usable(exact).map(|()| exact);
    }
    let of_name: Vec<&Archive> = archives.iter().filter(|a| a.spec.kind == kind && is_named(a)).collect();
    let newest = |all: &[&'a Archive]| all.iter().copied().max_by(|a, b| a.spec.archived_at.cmp(&b.spec.archived_at));
    let kept: Vec<&Archive> = of_name.iter().copied().filter(|a| is_kept(a)).collect();
    if let Some(found) = newest(&kept) {
        return Ok(found);
    }
    if let Some(last) = newest(&of_name) {
        usable(last)?;
    }
    let names = archives.iter().filter(|a| a.spec.kind == kind && is_kept(a)).map(label).collect();
    let word = match kind {
        ArchivedKind::Tenant => "archived tenant",
        ArchivedKind::CrmInstance => "archived instance",
    };
    Err(near::missing(word, text, names, "archive list"))
}

/// The name that a person would use for an archive.
pub fn label(archive: &Archive) -> String {
    match archive.spec.kind {
        ArchivedKind::Tenant => archive.spec.name.clone(),
        ArchivedKind::CrmInstance => format!("{}/{}", archive.spec.tenant_name, archive.spec.name),
    }
}

/// Whether an archive can be adopted or purged; else why not.
pub fn usable(archive: &Archive) -> Result<(), Problem> {
    let what = format!("archive {} ({})", archive.name_any(), label(archive));
    let show = format!("archive show {}", archive.name_any());
    match phase(archive) {
        ArchivePhase::Archived if archive.spec.purge.is_none() => Ok(()),
        ArchivePhase::Adopted => {
            Err(Problem::refused(format!("{what} was adopted: a living object uses its data")).next("look", show))
        }
        ArchivePhase::Purged => {
            Err(Problem::refused(format!("{what} is purged: its data is gone for ever")).next("look", show))
        }
        ArchivePhase::Archived | ArchivePhase::Purging => {
            Err(Problem::refused(format!("{what} is being purged, which cannot be taken back")).next("look", show))
        }
    }
}

/// The kept archives of a tenant's instances: the newest of each name, in the order of the names.
pub fn of_tenant<'a>(archives: &'a [Archive], tenant_id: &str) -> Vec<&'a Archive> {
    let mut newest: BTreeMap<&str, &Archive> = BTreeMap::new();
    let instances = archives
        .iter()
        .filter(|a| a.spec.kind == ArchivedKind::CrmInstance && a.spec.tenant_id == tenant_id && is_kept(a));
    for archive in instances {
        let held = newest.entry(&archive.spec.name).or_insert(archive);
        if archive.spec.archived_at > held.spec.archived_at {
            *held = archive;
        }
    }
    newest.into_values().collect()
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::error::Exit;

    /// An archive for tests.
    pub fn archive(kind: ArchivedKind, id: &str, name: &str, at: &str, phase: ArchivePhase) -> Archive {
        let spec = serde_json::json!({
            "kind": kind, "id": id, "name": name, "life": 1, "tenantId": "kabcdefghi", "tenantName": "acme",
            "namespace": "tenant-kabcdefghi", "databases": [{"server": "pg-1", "name": "crm_x_g1"}],
            "volumes": ["x-files-g1"], "secrets": ["x-keys-g1"], "object": "{}", "ledger": "{}",
            "archivedAt": at, "retainUntil": "2027-02-01T00:00:00Z",
        });
        let mut made = Archive::new(&format!("{id}-1"), serde_json::from_value(spec).unwrap());
        made.status = Some(tenantry_api::archive::ArchiveStatus { phase, ..Default::default() });
        made
    }

    #[test]
    fn a_name_means_its_newest_archive_that_still_holds_data() {
        let tenant = |id, at, phase| archive(ArchivedKind::Tenant, id, "acme", at, phase);
        let all = [
            tenant("kaaaaaaaaa", "2026-01-01T00:00:00Z", ArchivePhase::Archived),
            tenant("kbbbbbbbbb", "2026-03-01T00:00:00Z", ArchivePhase::Archived),
            tenant("kccccccccc", "2026-05-01T00:00:00Z", ArchivePhase::Purged),
        ];
        let choose =
            |text: &str| chosen(&all, ArchivedKind::Tenant, text, |a| a.spec.name == text).map(ResourceExt::name_any);
        assert_eq!(choose("acme").unwrap(), "kbbbbbbbbb-1");
        assert_eq!(choose("kaaaaaaaaa-1").unwrap(), "kaaaaaaaaa-1");
        assert_eq!(choose("kccccccccc-1").unwrap_err().exit, Exit::REFUSED);
        assert_eq!(choose("acma").unwrap_err().exit, Exit::NOT_FOUND);
    }

    #[test]
    fn of_two_archived_instances_with_one_name_the_newest_comes_back() {
        let all = [
            archive(ArchivedKind::CrmInstance, "kaaaaaaaaa", "crm", "2026-01-01T00:00:00Z", ArchivePhase::Archived),
            archive(ArchivedKind::CrmInstance, "kbbbbbbbbb", "crm", "2026-03-01T00:00:00Z", ArchivePhase::Archived),
            archive(ArchivedKind::CrmInstance, "kccccccccc", "test", "2026-03-01T00:00:00Z", ArchivePhase::Adopted),
        ];
        let found: Vec<String> = of_tenant(&all, "kabcdefghi").into_iter().map(ResourceExt::name_any).collect();
        assert_eq!(found, ["kbbbbbbbbb-1"]);
    }
}
