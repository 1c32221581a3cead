//! The original of a copy: whether it can be copied now, and the release that wrote its data. No I/O.

use kube::ResourceExt;
use tenantry_api::blueprint::Effective;
use tenantry_api::crm_instance::{CrmInstance, CrmInstanceSpec};
use tenantry_core::id::Id;
use tenantry_core::ledger::Recorded;

use super::release::{Choice, Known, choose};

/// Annotation of a copy: id of its original and hash of the release that wrote its data. Another instance may have the
/// original's name later, and a mix of the data of two instances is a copy of neither.
pub const ANNOTATION_ORIGIN: &str = "tenantry.dev/copied-from";

/// What an original is for its copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Original<'a> {
    /// It does not exist, or is being deleted.
    Gone,
    /// It runs another product: the blueprint of this name.
    OtherProduct(&'a str),
    /// It has never been ready, or it is not known which release wrote its data.
    NotReady,
    /// It is not the instance that the copy was begun from, or it runs another release by now.
    Changed,
    /// It can be copied.
    Ready {
        /// Its id.
        id: Id,
        /// Hash of the release that wrote its data.
        release: &'a str,
    },
}

impl<'a> Original<'a> {
    /// Judges the object that has the name of the copy's original. `recorded` is what the original's ledger says.
    #[must_use]
    pub fn judge(copy: &CrmInstance, found: Option<&'a CrmInstance>, recorded: Option<&Recorded>) -> Self {
        let Some(found) = found.filter(|o| o.metadata.deletion_timestamp.is_none()) else { return Self::Gone };
        if found.spec.blueprint != copy.spec.blueprint {
            return Self::OtherProduct(&found.spec.blueprint);
        }
        let installed = recorded.is_some_and(|r| r.facts.installed.is_some());
        let known = Known::of(found, recorded);
        let release = match choose(&known) {
            Choice::Pinned(hash) => Some(hash),
            Choice::Ask => known.annotation,
            // The original itself is held up, and its status says why.
            _ => None,
        };
        let id = found.spec.id.as_deref().and_then(|id| Id::parse(id).ok());
        match (installed, id, release) {
            (true, Some(id), Some(release)) => match copy.annotations().get(ANNOTATION_ORIGIN) {
                Some(noted) if *noted != origin(&id, release) => Self::Changed,
                _ => Self::Ready { id, release },
            },
            _ => Self::NotReady,
        }
    }
}

/// What a copy notes of its original in [`ANNOTATION_ORIGIN`].
#[must_use]
pub fn origin(id: &Id, release: &str) -> String {
    format!("{id}/{release}")
}

/// The version that the original runs, if the copy asks for another one. A copy begins with the release that wrote the
/// original's data, so such a copy cannot be.
#[must_use]
pub fn runs_another(copy: &CrmInstanceSpec, original: &Effective) -> Option<String> {
    let runs = original.release().map(|r| r.version.clone()).unwrap_or_default();
    copy.release.as_ref().filter(|asked| **asked != runs).map(|_| runs)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tenantry_core::names;

    use super::*;

    fn object(name: &str, annotations: Value, status: Value) -> CrmInstance {
        serde_json::from_value(json!({"apiVersion": "tenantry.dev/v1alpha1", "kind": "CrmInstance",
            "metadata": {"name": name, "annotations": annotations}, "status": status,
            "spec": {"id": "kabcdefghi", "tenant": "acme", "blueprint": "b", "host": "crm.acme.vn"}}))
        .unwrap()
    }

    fn installed() -> Recorded {
        let facts = json!({"installed": {"blueprint": "b", "release": "1", "environment": "production", "host": "h"}});
        serde_json::from_value(json!({"sequence": 1, "facts": facts})).unwrap()
    }

    #[test]
    fn a_copy_begins_when_its_original_ran_and_goes_on_only_with_the_same_original() {
        let copy = object("copy", json!({}), Value::Null);
        let release = json!({names::ANNOTATION_RELEASE: "h1"});
        let original =
            object("crm", release.clone(), json!({"releaseHash": "h1", "installedAt": "2026-11-01T00:00:00Z"}));
        let recorded = installed();
        let ready = Original::Ready { id: Id::parse("kabcdefghi").unwrap(), release: "h1" };
        assert_eq!(Original::judge(&copy, Some(&original), Some(&recorded)), ready);
        assert_eq!(Original::judge(&copy, None, None), Original::Gone);
        assert_eq!(Original::judge(&copy, Some(&original), Some(&Recorded::default())), Original::NotReady);

        let mut going = original.clone();
        going.metadata.deletion_timestamp = serde_json::from_value(json!("2026-11-01T00:00:00Z")).unwrap();
        assert_eq!(Original::judge(&copy, Some(&going), Some(&recorded)), Original::Gone);
        let mut other = original.clone();
        other.spec.blueprint = "c".into();
        assert_eq!(Original::judge(&copy, Some(&other), Some(&recorded)), Original::OtherProduct("c"));
        let unstated = object("crm", json!({}), Value::Null);
        assert_eq!(Original::judge(&copy, Some(&unstated), Some(&recorded)), Original::NotReady);
        let lost_status = object("crm", release, Value::Null);
        assert_eq!(Original::judge(&copy, Some(&lost_status), Some(&recorded)), ready);

        for (noted, judged) in [("kabcdefghi/h1", &ready), ("kbbbbbbbbb/h1", &Original::Changed)] {
            let begun = object("copy", json!({ANNOTATION_ORIGIN: noted}), Value::Null);
            assert_eq!(Original::judge(&begun, Some(&original), Some(&recorded)), *judged);
        }
        let begun = object("copy", json!({ANNOTATION_ORIGIN: "kabcdefghi/h0"}), Value::Null);
        assert_eq!(Original::judge(&begun, Some(&original), Some(&recorded)), Original::Changed);
    }

    #[test]
    fn a_copy_asks_for_no_release_but_the_one_of_its_original() {
        let spec = json!({"title": "t", "releases": [{"version": "1", "image": "i"}], "processes": []});
        let spec = serde_json::from_value(spec).unwrap();
        let original = Effective { blueprint: "b".into(), spec, hash: "h".into() };
        let mut copy = object("copy", json!({}), Value::Null).spec;
        assert_eq!(runs_another(&copy, &original), None);
        copy.release = Some("1".into());
        assert_eq!(runs_another(&copy, &original), None);
        copy.release = Some("2".into());
        assert_eq!(runs_another(&copy, &original), Some("1".into()));
    }
}
