//! Which archives still hold data, and which one a name means. No I/O.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::ResourceExt;
use tenantry_api::archive::{Archive, ArchivePhase, ArchivedKind};
use tenantry_plan::archive::is_doomed;

use super::words::{day_of, kept, until};
use crate::error::{Problem, near};

/// How many archives of one name an error lists.
const LISTED: usize = 12;

pub fn phase(archive: &Archive) -> ArchivePhase {
    archive.status.as_ref().map(|s| s.phase).unwrap_or_default()
}

/// Whether the archive's data is kept and no living object uses it. A purge that waits for the end of the retention
/// changes nothing yet.
pub fn is_kept(archive: &Archive, now: Timestamp) -> bool {
    phase(archive) == ArchivePhase::Archived && !is_doomed(archive, now)
}

/// The archive that a text names: by the archive's own name, or by the archived object's name when only one kept
/// archive of this kind has it. `verb` is the command to suggest with the archive's own name, for example `tenant
/// adopt`.
pub fn chosen<'a>(
    archives: &'a [Archive],
    kind: ArchivedKind,
    text: &str,
    verb: &str,
    now: Timestamp,
) -> Result<&'a Archive, Problem> {
    if let Some(exact) = archives.iter().find(|a| a.name_any() == text && a.spec.kind == kind) {
        return usable(exact, now).map(|()| exact);
    }
    let of_name: Vec<&Archive> = archives.iter().filter(|a| a.spec.kind == kind && label(a) == text).collect();
    let kept: Vec<&Archive> = of_name.iter().copied().filter(|a| is_kept(a, now)).collect();
    match kept.as_slice() {
        [] => {}
        [one] => return Ok(one),
        several => return Err(ambiguous(several, text, verb)),
    }
    if let Some(last) = of_name.iter().copied().max_by(|a, b| a.spec.archived_at.cmp(&b.spec.archived_at)) {
        usable(last, now)?;
    }
    let names = archives.iter().filter(|a| a.spec.kind == kind && is_kept(a, now)).map(label).collect();
    let word = match kind {
        ArchivedKind::Tenant => "archived tenant",
        ArchivedKind::CrmInstance => "archived instance",
    };
    Err(near::missing(word, text, names, "archive list"))
}

/// The error for several archives with one name: the person must say which one is meant.
pub fn ambiguous(several: &[&Archive], text: &str, verb: &str) -> Problem {
    let mut several = several.to_vec();
    several.sort_by_key(|a| Reverse(a.spec.archived_at.clone()));
    let more = several.len().saturating_sub(LISTED);
    let problem = Problem::refused(format!("{} archives keep a {text:?}: which one is meant?", several.len()))
        .safe("nothing was changed; name the archive itself");
    let problem = several.iter().take(LISTED).fold(problem, |problem, a| {
        let remark = format!("archived {}, kept until {}, {}", day_of(&a.spec.archived_at), until(a), kept(a));
        problem.next(remark, format!("{verb} {}", a.name_any()))
    });
    if more > 0 { problem.next(format!("and {more} more"), "archive list") } else { problem }
}

/// The words that name this archive and no other kept one: its label, when no other kept archive has the same, and its
/// own name.
pub fn words(archives: &[Archive], archive: &Archive, now: Timestamp) -> Vec<String> {
    let (name, label_of) = (archive.name_any(), label(archive));
    let same = |a: &&Archive| a.spec.kind == archive.spec.kind && label(a) == label_of && is_kept(a, now);
    let alone = archives.iter().filter(same).all(|a| a.name_any() == name);
    if alone { vec![label_of, name] } else { vec![name] }
}

/// The name that a person would use for an archive.
pub fn label(archive: &Archive) -> String {
    match archive.spec.kind {
        ArchivedKind::Tenant => archive.spec.name.clone(),
        ArchivedKind::CrmInstance => format!("{}/{}", archive.spec.tenant_name, archive.spec.name),
    }
}

/// Whether an archive can be adopted or purged; if not, the error says why.
pub fn usable(archive: &Archive, now: Timestamp) -> Result<(), Problem> {
    let what = format!("archive {} ({})", archive.name_any(), label(archive));
    let show = format!("archive show {}", archive.name_any());
    match phase(archive) {
        ArchivePhase::Archived if is_kept(archive, now) => Ok(()),
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

/// The kept archives of a tenant's instances by their names, the newest of each name first.
pub fn of_tenant<'a>(archives: &'a [Archive], tenant_id: &str, now: Timestamp) -> BTreeMap<&'a str, Vec<&'a Archive>> {
    let mut all: BTreeMap<&str, Vec<&Archive>> = BTreeMap::new();
    let instances = archives
        .iter()
        .filter(|a| a.spec.kind == ArchivedKind::CrmInstance && a.spec.tenant_id == tenant_id && is_kept(a, now));
    for archive in instances {
        all.entry(&archive.spec.name).or_default().push(archive);
    }
    all.values_mut().for_each(|of_name| of_name.sort_by_key(|a| Reverse(&a.spec.archived_at)));
    all
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
        made.metadata.creation_timestamp = serde_json::from_value(at.into()).ok();
        made.status = Some(tenantry_api::archive::ArchiveStatus { phase, ..Default::default() });
        made
    }

    /// A time before the end of the retention of [`archive`].
    pub fn now() -> Timestamp {
        "2026-06-01T00:00:00Z".parse().unwrap()
    }

    fn tenant(id: &str, at: &str, phase: ArchivePhase) -> Archive {
        archive(ArchivedKind::Tenant, id, "acme", at, phase)
    }

    #[test]
    fn a_name_means_the_only_archive_of_that_name_that_still_holds_data() {
        let mut all = vec![
            tenant("kaaaaaaaaa", "2026-01-01T00:00:00Z", ArchivePhase::Adopted),
            tenant("kbbbbbbbbb", "2026-03-01T00:00:00Z", ArchivePhase::Archived),
            tenant("kccccccccc", "2026-05-01T00:00:00Z", ArchivePhase::Purged),
        ];
        let choose = |all: &[Archive], text: &str| {
            chosen(all, ArchivedKind::Tenant, text, "tenant purge", now()).map(ResourceExt::name_any)
        };
        assert_eq!(choose(&all, "acme").unwrap(), "kbbbbbbbbb-1");
        assert_eq!(choose(&all, "kbbbbbbbbb-1").unwrap(), "kbbbbbbbbb-1");
        assert_eq!(choose(&all, "kccccccccc-1").unwrap_err().exit, Exit::REFUSED);
        assert_eq!(choose(&all, "acma").unwrap_err().exit, Exit::NOT_FOUND);
        // A purge that waits for the end of the retention leaves the archive usable; a purge that is in force does not.
        all[1].spec.purge = serde_json::from_value(serde_json::json!({"confirm": "kbbbbbbbbb-1"})).unwrap();
        assert_eq!(choose(&all, "acme").unwrap(), "kbbbbbbbbb-1");
        all[1].spec.purge.as_mut().unwrap().before_retention = true;
        assert_eq!(choose(&all, "acme").unwrap_err().exit, Exit::REFUSED);
    }

    #[test]
    fn several_kept_archives_of_one_name_are_refused_and_listed() {
        let all = [
            tenant("kaaaaaaaaa", "2026-01-01T00:00:00Z", ArchivePhase::Archived),
            tenant("kbbbbbbbbb", "2026-03-01T00:00:00Z", ArchivePhase::Archived),
        ];
        let choose = |text: &str| chosen(&all, ArchivedKind::Tenant, text, "tenant purge", now());
        let said = choose("acme").unwrap_err();
        assert_eq!(said.exit, Exit::REFUSED);
        let commands: Vec<&str> = said.next.iter().map(|(_, command)| command.as_str()).collect();
        assert_eq!(commands, ["tenantry tenant purge kbbbbbbbbb-1", "tenantry tenant purge kaaaaaaaaa-1"]);
        assert!(said.next[0].0.contains("2026-03-01") && said.next[0].0.contains("2027-02-01"), "{said:?}");
        assert_eq!(choose("kaaaaaaaaa-1").unwrap().name_any(), "kaaaaaaaaa-1");
        assert_eq!(words(&all, &all[0], now()), ["kaaaaaaaaa-1"], "the name alone means neither");
        assert_eq!(words(&all[..1], &all[0], now()), ["acme", "kaaaaaaaaa-1"]);
    }

    #[test]
    fn the_archives_of_a_tenants_instances_are_told_by_name_the_newest_first() {
        let crm = |id, name, at, phase| archive(ArchivedKind::CrmInstance, id, name, at, phase);
        let all = [
            crm("kaaaaaaaaa", "crm", "2026-01-01T00:00:00Z", ArchivePhase::Archived),
            crm("kbbbbbbbbb", "crm", "2026-03-01T00:00:00Z", ArchivePhase::Archived),
            crm("kccccccccc", "test", "2026-03-01T00:00:00Z", ArchivePhase::Adopted),
        ];
        let found = of_tenant(&all, "kabcdefghi", now());
        let names: Vec<String> = found["crm"].iter().map(|a| a.name_any()).collect();
        assert_eq!((found.len(), names), (1, vec!["kbbbbbbbbb-1".to_owned(), "kaaaaaaaaa-1".to_owned()]));
    }
}
