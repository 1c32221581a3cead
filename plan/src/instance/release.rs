//! Which release an instance runs, from all sources that name one. No I/O.
//!
//! The data belongs to the release that wrote it. Four sources name that release, and each is a cache of the others: an
//! annotation of the object, its status, the row on the database server, the Archive that the instance came from. Any
//! of them may be lost, and none is believed if the others contradict it.

use k8s_openapi::api::core::v1::ConfigMap;
use tenantry_api::archive::ArchiveSpec;
use tenantry_api::blueprint::{BlueprintSpec, Effective};
use tenantry_api::crm_instance::CrmInstance;
use tenantry_core::database_state::State;
use tenantry_core::ledger::Recorded;
use tenantry_core::names::{ANNOTATION_RELEASE, ANNOTATION_TAKEN_OVER};

/// Key of the content in the ConfigMap of a kept release.
pub const CONTENT: &str = "release.json";

/// What the row of the instance's data on the database server says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Row<'a> {
    /// The server was not asked.
    NotAsked,
    /// The server's answer. None means that the row or the database does not exist.
    Says(Option<&'a str>),
}

/// Hashes of the release by source, with the facts that decide between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known<'a> {
    /// The hash in the annotation of the object.
    pub annotation: Option<&'a str>,
    /// The hash in its status.
    pub status: Option<&'a str>,
    /// Whether the status was written after the instance was installed.
    pub status_is_settled: bool,
    /// The answer of the database server about the row.
    pub row: Row<'a>,
    /// The hash in the Archive that the instance takes over.
    pub archive: Option<&'a str>,
    /// Whether somebody may have worked with the instance's data.
    pub ran: bool,
    /// Whether the instance was adopted from an archive.
    pub adopted: bool,
    /// Whether the instance is a copy of another instance.
    pub copy: bool,
}

/// The decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice<'a> {
    /// Exactly this release.
    Pinned(&'a str),
    /// This release, or the Blueprint's current one if that can replace it, because the instance never ran.
    Mendable(&'a str),
    /// This release for a copy that is not finished, neutralised with the steps of the current Blueprint.
    Copied(&'a str),
    /// The release of the original, for a copy that begins.
    OfOriginal,
    /// The Blueprint's current release, for a new instance.
    Newest,
    /// The row on the database server decides, so the server must be asked.
    Ask,
    /// The instance ran, and no source names the release.
    Unknown,
    /// The annotation contradicts the release that wrote the data.
    Disputed {
        /// What the annotation says.
        annotation: &'a str,
        /// The release that is believed.
        believed: &'a str,
        /// The source that names the believed release.
        by: &'static str,
    },
}

impl<'a> Known<'a> {
    /// The sources in the object itself; the caller adds row and Archive.
    #[must_use]
    pub fn of(instance: &'a CrmInstance, recorded: Option<&Recorded>) -> Self {
        let status = instance.status.as_ref();
        let settled = status.is_some_and(|s| s.installed_at.is_some());
        let note = |name: &str| instance.metadata.annotations.as_ref().and_then(|a| a.get(name)).map(String::as_str);
        Self {
            annotation: note(ANNOTATION_RELEASE),
            status: status.and_then(|s| s.release_hash.as_deref()),
            status_is_settled: settled,
            row: Row::NotAsked,
            archive: None,
            // Data that existed before the object belongs to the release that wrote it.
            ran: settled
                || recorded.is_some_and(|r| r.facts.installed.is_some())
                || note(ANNOTATION_TAKEN_OVER).is_some(),
            adopted: instance.spec.adopt.is_some(),
            copy: instance.spec.from.is_some(),
        }
    }
}

/// The hash that a row says of the release. The row of an archived database counts less than the hash in its Archive
/// (`archive_says`), and the row of a half-made database says nothing.
#[must_use]
pub fn said_by_row(state: State, hash: &str, archive_says: bool) -> Option<&str> {
    let counts = state.is_data() && !(archive_says && state == State::Archived);
    Some(hash).filter(|hash| counts && !hash.is_empty())
}

/// Decides which release an instance runs.
#[must_use]
pub fn choose<'a>(known: &Known<'a>) -> Choice<'a> {
    if known.ran { of_data(known) } else { of_none(known) }
}

/// Nobody has worked with the instance yet, so its release may still change.
fn of_none<'a>(known: &Known<'a>) -> Choice<'a> {
    let row = match known.row {
        Row::Says(row) => row,
        Row::NotAsked => None,
    };
    if known.copy {
        return known.annotation.or(known.status).map_or(Choice::OfOriginal, Choice::Copied);
    }
    match known.annotation.or(known.archive).or(known.status).or(row) {
        // Data from an archive keeps the release that it had there.
        Some(hash) if known.adopted => Choice::Pinned(hash),
        Some(hash) => Choice::Mendable(hash),
        None => Choice::Newest,
    }
}

/// There is data, and it belongs to the release that wrote it.
fn of_data<'a>(known: &Known<'a>) -> Choice<'a> {
    match (known.annotation, known.status) {
        (Some(a), Some(s)) if a == s => Choice::Pinned(a),
        (None, Some(s)) => Choice::Pinned(s),
        (Some(a), s) => match known.row {
            Row::NotAsked => Choice::Ask,
            Row::Says(Some(row)) if row == a => Choice::Pinned(a),
            Row::Says(Some(row)) => Choice::Disputed { annotation: a, believed: row, by: "the database server" },
            Row::Says(None) => match s.filter(|_| known.status_is_settled) {
                Some(s) => Choice::Disputed { annotation: a, believed: s, by: "its status" },
                // The status is lost, or was written before the installation.
                None => Choice::Pinned(a),
            },
        },
        (None, None) => match known.row {
            Row::NotAsked => Choice::Ask,
            Row::Says(row) => row.or(known.archive).map_or(Choice::Unknown, Choice::Pinned),
        },
    }
}

/// Whether a newer release can replace the pinned release of an instance that never ran.
///
/// Keys are created once, so both releases must have the same list of keys. If the instance already has its own
/// database (`made`), both releases must install the database in the same way; `personalise` is then run again.
#[must_use]
pub fn replaces(old: &BlueprintSpec, new: &BlueprintSpec, made: bool) -> bool {
    let same_database = old.database == new.database && old.install == new.install;
    old.secrets == new.secrets && (same_database || !made) && crate::blueprint::problems(new).is_empty()
}

/// The release in the ConfigMap that keeps it. None means that the ConfigMap has no content.
///
/// # Errors
/// When the content cannot be read.
pub fn in_config_map(kept: &ConfigMap) -> Result<Option<Effective>, serde_json::Error> {
    let text = kept.data.as_ref().and_then(|data| data.get(CONTENT));
    text.map(|text| serde_json::from_str(text)).transpose()
}

/// The release of a hash that an Archive keeps, for an instance that took the archive over.
///
/// # Errors
/// When the content cannot be read.
pub fn in_archive(archive: &ArchiveSpec, hash: &str) -> Result<Option<Effective>, serde_json::Error> {
    let text = archive.release.as_ref().filter(|_| archive.release_hash.as_deref() == Some(hash));
    let release: Option<Effective> = text.map(|text| serde_json::from_str(text)).transpose()?;
    Ok(release.filter(|release| release.hash == hash))
}

/// Checks that a release belongs to the blueprint that an instance names.
///
/// # Errors
/// A text for people that says what is wrong.
pub fn is_of(release: &Effective, blueprint: &str) -> Result<(), String> {
    if release.blueprint == blueprint {
        return Ok(());
    }
    Err(format!(
        "release {} is one of blueprint {:?}, and spec.blueprint is {blueprint:?}: nothing was changed or restarted",
        release.hash, release.blueprint
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RAN: Known<'static> = Known {
        annotation: Some("a"),
        status: Some("a"),
        status_is_settled: true,
        row: Row::NotAsked,
        archive: None,
        ran: true,
        adopted: false,
        copy: false,
    };

    fn says(row: &'static str) -> Row<'static> {
        Row::Says(Some(row))
    }

    #[test]
    fn what_an_installed_instance_runs_is_found_again_and_never_chosen_anew() {
        assert_eq!(choose(&RAN), Choice::Pinned("a"));
        let lost = Known { annotation: None, ..RAN };
        assert_eq!(choose(&lost), Choice::Pinned("a"), "the status knows it, and nobody is asked");
        let all_lost = Known { status: None, status_is_settled: false, ..lost };
        assert_eq!(choose(&all_lost), Choice::Ask);
        assert_eq!(choose(&Known { row: says("r"), ..all_lost }), Choice::Pinned("r"));
        let nobody = Known { row: Row::Says(None), ..all_lost };
        assert_eq!(choose(&nobody), Choice::Unknown);
        assert_eq!(choose(&Known { archive: Some("h"), ..nobody }), Choice::Pinned("h"));
    }

    #[test]
    fn an_annotation_that_nothing_else_agrees_with_is_not_believed() {
        let wrong = Known { annotation: Some("w"), ..RAN };
        assert_eq!(choose(&wrong), Choice::Ask);
        let by_row = Choice::Disputed { annotation: "w", believed: "a", by: "the database server" };
        assert_eq!(choose(&Known { row: says("a"), ..wrong }), by_row);
        let by_status = Choice::Disputed { annotation: "w", believed: "a", by: "its status" };
        assert_eq!(choose(&Known { row: Row::Says(None), ..wrong }), by_status);
        let lost_status = Known { status: None, status_is_settled: false, ..wrong };
        assert_eq!(choose(&Known { row: says("a"), ..lost_status }), by_row);
        // The annotation was changed together with the row, as a proper change of the release does.
        assert_eq!(choose(&Known { row: says("w"), ..wrong }), Choice::Pinned("w"));
        // A status from before the installation does not show which release was installed.
        let early = Known { status_is_settled: false, row: Row::Says(None), ..wrong };
        assert_eq!(choose(&early), Choice::Pinned("w"));
    }

    #[test]
    fn the_row_of_a_half_made_database_says_nothing_and_an_archived_one_less_than_its_archive() {
        use State::{Archived, Creating, Dropping, Installing, Loaded, Personalised, Template};
        for state in [Creating, Installing, Template, Dropping] {
            assert_eq!(said_by_row(state, "r", false), None, "{state:?}");
        }
        for state in [Loaded, Personalised] {
            assert_eq!(said_by_row(state, "r", true), Some("r"), "{state:?}");
            assert_eq!(said_by_row(state, "", false), None, "{state:?}");
        }
        assert_eq!((said_by_row(Archived, "r", true), said_by_row(Archived, "r", false)), (None, Some("r")));
    }

    #[test]
    fn data_that_existed_before_the_object_keeps_its_release() {
        let object = |annotations: serde_json::Value| -> CrmInstance {
            serde_json::from_value(serde_json::json!({"apiVersion": "tenantry.dev/v1alpha1", "kind": "CrmInstance",
                "metadata": {"name": "crm", "annotations": annotations},
                "spec": {"tenant": "acme", "blueprint": "b", "host": "crm.acme.vn"}}))
            .unwrap()
        };
        let taken = object(serde_json::json!({ANNOTATION_TAKEN_OVER: "pg-1/crm", ANNOTATION_RELEASE: "a"}));
        assert_eq!(choose(&Known { row: says("a"), ..Known::of(&taken, None) }), Choice::Pinned("a"));
        let new = object(serde_json::json!({ANNOTATION_RELEASE: "a"}));
        assert_eq!(choose(&Known::of(&new, None)), Choice::Mendable("a"));
    }

    #[test]
    fn what_never_ran_may_still_become_another() {
        let new = Known { annotation: None, status: None, status_is_settled: false, ran: false, ..RAN };
        assert_eq!(choose(&new), Choice::Newest);
        assert_eq!(choose(&Known { row: says("r"), ..new }), Choice::Mendable("r"));
        assert_eq!(choose(&Known { annotation: Some("a"), status: Some("b"), ..new }), Choice::Mendable("a"));
        let adopted = Known { adopted: true, archive: Some("h"), ..new };
        assert_eq!(choose(&Known { row: says("r"), ..adopted }), Choice::Pinned("h"));
        assert_eq!(choose(&Known { annotation: Some("a"), ..adopted }), Choice::Pinned("a"));
        let copy = Known { copy: true, ..new };
        assert_eq!(choose(&Known { row: says("r"), ..copy }), Choice::OfOriginal);
        assert_eq!(choose(&Known { status: Some("s"), ..copy }), Choice::Copied("s"));
        assert_eq!(choose(&Known { copy: true, ..RAN }), Choice::Pinned("a"));
    }
}
