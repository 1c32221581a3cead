//! Adoption of an archive: what may be adopted, and what an instance takes from its Archive. No I/O.

use kube::ResourceExt;
use tenantry_api::archive::{Archive, ArchivePhase, ArchivedKind};
use tenantry_api::crm_instance::{CrmInstance, CrmInstanceSpec};
use tenantry_core::ledger::Recorded;

use crate::instance::data_generation;

/// Checks that an object may take over the archive that it names: the archive is of the same kind and id, the archive
/// of an instance belongs to the instance's own namespace, and the data is not purged.
///
/// # Errors
/// A text for people that says what is wrong.
pub fn may_be_adopted(
    archive: &Archive,
    kind: ArchivedKind,
    id: Option<&str>,
    namespace: Option<&str>,
) -> Result<(), String> {
    let name = archive.name_any();
    if archive.spec.kind != kind || Some(archive.spec.id.as_str()) != id {
        return Err(format!("spec.adopt: archive {name:?} holds id {}, not this one", archive.spec.id));
    }
    is_of(archive, namespace)?;
    match archive.status.as_ref().map(|s| s.phase).unwrap_or_default() {
        ArchivePhase::Purged | ArchivePhase::Purging => {
            Err(format!("spec.adopt: the data of archive {name:?} has been purged"))
        }
        ArchivePhase::Archived | ArchivePhase::Adopted => Ok(()),
    }
}

/// Refuses an instance's archive to the instances of another tenant, which live in another namespace.
///
/// # Errors
/// A text for people that says what is wrong.
pub fn is_of(archive: &Archive, namespace: Option<&str>) -> Result<(), String> {
    if archive.spec.kind == ArchivedKind::CrmInstance && namespace != Some(archive.spec.namespace.as_str()) {
        let name = archive.name_any();
        return Err(format!("spec.adopt: archive {name} belongs to another tenant; adopt it there"));
    }
    Ok(())
}

/// Whether an archive holds a copy of another instance.
#[must_use]
pub fn was_copy(archive: &Archive) -> bool {
    serde_json::from_str::<CrmInstanceSpec>(&archive.spec.object).is_ok_and(|spec| spec.from.is_some())
}

/// Refuses the archive of an unfinished copy: its data is half copied or not neutralised, and nobody has worked in it.
/// `recorded` is the ledger that the archive keeps.
///
/// # Errors
/// A text for people that says what is wrong.
pub fn was_finished(archive: &Archive, recorded: &Recorded) -> Result<(), String> {
    if !was_copy(archive) || recorded.facts.installed.is_some() {
        return Ok(());
    }
    Err(format!(
        "spec.adopt: archive {} holds a copy that was archived before it was finished: nothing starts on it. Purge the archive and make a new copy",
        archive.name_any()
    ))
}

/// Whether the Archive that an instance names is read before anything is decided. An instance that ran since has its
/// own notes. `noted` is the instance's own note of the ledger; an object that was put back with its annotations is
/// checked like a new object.
#[must_use]
pub fn reads_archive(instance: &CrmInstance, noted: Option<&Recorded>) -> bool {
    let status = instance.status.as_ref();
    let ran = |noted: &Recorded| {
        noted.facts.installed.is_some() || status.is_some_and(|status| status.installed_at.is_some())
    };
    instance.spec.adopt.is_some() && !noted.is_some_and(ran)
}

/// The generation of its data that an instance notes, because it takes over data from before: from the Archive of an
/// adoption (`archived`), or from the row of data that was found on a database server (`found`). None means that there
/// is nothing to note. `noted` means that the instance has its note of the ledger, and so was adopted before.
#[must_use]
pub fn generation_to_note(
    instance: &CrmInstance,
    noted: bool,
    archived: Option<&Archive>,
    found: Option<u32>,
) -> Option<u32> {
    match archived {
        Some(archive) => archive.spec.data_generation.filter(|_| !noted),
        None => found.filter(|generation| *generation != data_generation(instance)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn archive(kind: &str, phase: &str, object: Value, generation: Option<u32>) -> Archive {
        serde_json::from_value(json!({"apiVersion": "tenantry.dev/v1alpha1", "kind": "Archive",
            "metadata": {"name": "kabcdefghi-1"}, "status": {"phase": phase},
            "spec": {"kind": kind, "id": "kabcdefghi", "name": "crm", "life": 1, "tenantId": "kbbbbbbbbb",
                "tenantName": "acme", "namespace": "tenant-kbbbbbbbbb", "object": object.to_string(), "ledger": "{}",
                "dataGeneration": generation, "archivedAt": "2026-01-01T00:00:00Z",
                "retainUntil": "2026-02-01T00:00:00Z"}}))
        .unwrap()
    }

    fn instance(annotations: Value, adopt: Option<&str>, status: Value) -> CrmInstance {
        serde_json::from_value(json!({"apiVersion": "tenantry.dev/v1alpha1", "kind": "CrmInstance",
            "metadata": {"name": "crm", "annotations": annotations}, "status": status,
            "spec": {"tenant": "acme", "blueprint": "b", "host": "crm.acme.vn", "adopt": adopt}}))
        .unwrap()
    }

    fn recorded(installed: bool) -> Recorded {
        let facts = json!({"blueprint": "b", "release": "1", "environment": "production", "host": "h"});
        let facts = json!({"installed": installed.then_some(facts)});
        serde_json::from_value(json!({"sequence": 1, "facts": facts})).unwrap()
    }

    #[test]
    fn an_archive_is_adopted_by_its_own_id_in_its_own_namespace_while_its_data_is_there() {
        let (id, namespace) = (Some("kabcdefghi"), Some("tenant-kbbbbbbbbb"));
        let crm = ArchivedKind::CrmInstance;
        for phase in ["Archived", "Adopted"] {
            let archive = archive("CrmInstance", phase, json!({}), None);
            assert_eq!(may_be_adopted(&archive, crm, id, namespace), Ok(()));
        }
        let refused =
            |archive: &Archive, kind, id, namespace| may_be_adopted(archive, kind, id, namespace).unwrap_err();
        let kept = archive("CrmInstance", "Archived", json!({}), None);
        assert!(refused(&kept, crm, Some("kkkkkkkkkk"), namespace).contains("not this one"));
        assert!(refused(&kept, crm, None, namespace).contains("not this one"));
        assert!(refused(&kept, ArchivedKind::Tenant, id, namespace).contains("not this one"));
        assert!(refused(&kept, crm, id, Some("tenant-kkkkkkkkkk")).contains("another tenant"));
        for phase in ["Purging", "Purged"] {
            let gone = archive("CrmInstance", phase, json!({}), None);
            assert!(refused(&gone, crm, id, namespace).contains("purged"));
        }
        let tenant = archive("Tenant", "Archived", json!({}), None);
        assert_eq!(may_be_adopted(&tenant, ArchivedKind::Tenant, id, None), Ok(()));
    }

    #[test]
    fn nothing_starts_on_the_archive_of_an_unfinished_copy() {
        let spec = |from: Value| json!({"tenant": "acme", "blueprint": "b", "host": "a.b", "from": from});
        let copy = archive("CrmInstance", "Archived", spec(json!({"instance": "crm"})), None);
        assert!(was_finished(&copy, &recorded(false)).is_err());
        assert!(was_finished(&copy, &recorded(true)).is_ok());
        let other = archive("CrmInstance", "Archived", spec(Value::Null), None);
        assert!(was_finished(&other, &recorded(false)).is_ok());
    }

    #[test]
    fn the_archive_is_read_until_the_adopted_instance_ran() {
        let ran = json!({"installedAt": "2026-11-01T00:00:00Z"});
        for (adopt, noted, status, reads) in [
            (None, None, Value::Null, false),
            (Some("kabcdefghi-1"), None, Value::Null, true),
            (Some("kabcdefghi-1"), Some(false), Value::Null, true),
            (Some("kabcdefghi-1"), Some(true), Value::Null, false),
            (Some("kabcdefghi-1"), Some(false), ran.clone(), false),
            (Some("kabcdefghi-1"), None, ran, true),
        ] {
            let object = instance(json!({}), adopt, status.clone());
            assert_eq!(reads_archive(&object, noted.map(recorded).as_ref()), reads, "{adopt:?} {noted:?} {status}");
        }
    }

    #[test]
    fn an_instance_notes_the_generation_of_the_data_that_it_takes_over() {
        let second = archive("CrmInstance", "Archived", json!({}), Some(2));
        let unknown = archive("CrmInstance", "Archived", json!({}), None);
        let (new, noted) = (instance(json!({}), None, Value::Null), json!({"tenantry.dev/data-generation": "2"}));
        assert_eq!(generation_to_note(&new, false, Some(&second), None), Some(2));
        assert_eq!(generation_to_note(&new, true, Some(&second), None), None);
        assert_eq!(generation_to_note(&new, false, Some(&unknown), None), None);
        assert_eq!(generation_to_note(&new, false, None, Some(1)), None, "that is the first one anyway");
        assert_eq!(generation_to_note(&new, false, None, Some(2)), Some(2));
        assert_eq!(generation_to_note(&instance(noted, None, Value::Null), false, None, Some(2)), None);
        assert_eq!(generation_to_note(&new, false, None, None), None);
    }
}
