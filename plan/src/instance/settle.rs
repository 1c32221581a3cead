//! What an instance runs of the release that was chosen for it: exactly that release, or what replaces it while nobody
//! has worked with the instance. No I/O.

use tenantry_api::blueprint::{BlueprintSpec, Effective};
use tenantry_api::condition::{ConditionType, holds};
use tenantry_api::crm_instance::CrmInstance;
use tenantry_core::database_state::State;
use tenantry_core::hash::content_hash;

use super::generation::data_generation;
use super::release::{Choice, replaces};
use crate::PlanError;

/// Where a chosen release is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source<'a> {
    /// By its hash: the kept copy, or any other place with the same content.
    Hash(&'a str),
    /// By the hash that the original of a copy runs.
    Original,
    /// What the Blueprint says now.
    Blueprint,
}

impl<'a> Choice<'a> {
    /// Where the chosen release is read. None means that none can be chosen.
    #[must_use]
    pub fn source(&self) -> Option<Source<'a>> {
        match *self {
            Self::Pinned(hash) | Self::Mendable(hash) | Self::Copied(hash) => Some(Source::Hash(hash)),
            Self::OfOriginal => Some(Source::Original),
            Self::Newest => Some(Source::Blueprint),
            Self::Ask | Self::Unknown | Self::Disputed { .. } => None,
        }
    }
}

/// What else decides about the release that an instance runs.
#[derive(Debug, Clone, Copy)]
pub struct Offer<'a> {
    /// What the Blueprint says now. None means that it does not exist.
    pub blueprint: Option<&'a BlueprintSpec>,
    /// The version that the instance asks for. None means the newest one.
    pub asked: Option<&'a str>,
    /// Whether the instance has its own database already.
    pub made: bool,
}

/// Whether an instance has its own database already, as its status or the row of the database says.
#[must_use]
pub fn is_made(instance: &CrmInstance, row: Option<State>) -> bool {
    let generation = data_generation(instance);
    let installed = instance
        .status
        .as_ref()
        .is_some_and(|s| s.data_generation == Some(generation) && holds(&s.conditions, ConditionType::Installed));
    installed || row == Some(State::Personalised)
}

/// The release that an instance runs. `read` is the chosen release, from where [`Choice::source`] says.
///
/// # Errors
/// [`PlanError::Blocked`] when the current steps of `neutralise` do not fit the release of a copy.
pub fn settle(choice: &Choice<'_>, read: Effective, offer: &Offer<'_>) -> Result<Effective, PlanError> {
    match choice {
        Choice::Mendable(_) => Ok(mended(read, offer)),
        Choice::Copied(_) | Choice::OfOriginal => neutralised_anew(read, offer),
        _ => Ok(read),
    }
}

/// The release of an instance that was never installed: what the Blueprint says now, if that can replace the pinned
/// release; else the pinned release.
fn mended(old: Effective, offer: &Offer<'_>) -> Effective {
    let current = offer.blueprint.and_then(|b| Effective::pin(&old.blueprint, b, offer.asked).ok());
    match current {
        Some(current) if current.hash != old.hash && replaces(&old.spec, &current.spec, offer.made) => current,
        _ => old,
    }
}

/// The release of an unfinished copy: the release that wrote its data, with the `neutralise` steps that the Blueprint
/// has now. The release that the original runs cannot be changed, and steps that it lacks may be added to the Blueprint
/// later.
fn neutralised_anew(old: Effective, offer: &Offer<'_>) -> Result<Effective, PlanError> {
    let now = offer.blueprint.and_then(|b| b.neutralise.clone());
    if offer.made || now.is_none() || now == old.spec.neutralise {
        return Ok(old);
    }
    let Effective { blueprint, spec, .. } = old;
    let spec = BlueprintSpec { neutralise: now, ..spec };
    let problems = crate::blueprint::problems(&spec);
    if !problems.is_empty() {
        // Do not fall back to the steps that the release had: they were replaced because they were insufficient.
        return Err(PlanError::Blocked(format!(
            "neutralise of blueprint {blueprint:?} does not fit the release that the original runs: {}; nothing of the copy was started",
            problems.join("; ")
        )));
    }
    let hash = content_hash(&(&blueprint, &spec))?;
    Ok(Effective { blueprint, spec, hash })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn spec(versions: &[&str], more: Value) -> BlueprintSpec {
        let releases: Vec<Value> = versions.iter().map(|v| json!({"version": v, "image": format!("i:{v}")})).collect();
        let mut spec = json!({"title": "t", "releases": releases,
            "database": {"engines": [{"engine": "postgresql", "minVersion": 13}]},
            "processes": [{"name": "web", "port": 8080, "serves": true, "replicas": {"default": 1, "max": 1}}]});
        for (key, value) in more.as_object().unwrap() {
            spec[key] = value.clone();
        }
        serde_json::from_value(spec).unwrap()
    }

    fn pin(spec: &BlueprintSpec, version: &str) -> Effective {
        Effective::pin("b", spec, Some(version)).unwrap()
    }

    fn steps(sql: &str) -> Value {
        json!({"neutralise": {"steps": [{"name": "mail", "sql": sql}]}})
    }

    #[test]
    fn a_pinned_release_stays_whatever_the_blueprint_says() {
        let old = pin(&spec(&["1"], json!({})), "1");
        let newer = spec(&["1", "2"], steps("SELECT 1"));
        for made in [false, true] {
            let offer = Offer { blueprint: Some(&newer), asked: None, made };
            assert_eq!(settle(&Choice::Pinned(&old.hash), old.clone(), &offer).unwrap(), old);
            assert_eq!(settle(&Choice::Newest, old.clone(), &offer).unwrap(), old);
        }
    }

    #[test]
    fn what_never_ran_gets_what_the_blueprint_says_now_if_that_fits() {
        let old = pin(&spec(&["1"], json!({})), "1");
        let (newer, keys) = (spec(&["1", "2"], json!({})), spec(&["1", "2"], json!({"secrets": [{"name": "key"}]})));
        let charset = json!({"engines": [{"engine": "postgresql", "minVersion": 13}], "extensions": ["unaccent"]});
        let database = spec(&["1", "2"], json!({"database": charset}));
        for (blueprint, asked, made, version) in [
            (Some(&newer), None, false, "2"),
            (Some(&newer), None, true, "2"),
            (Some(&newer), Some("1"), false, "1"),
            (Some(&newer), Some("3"), false, "1"),
            (Some(&keys), None, false, "1"),
            (Some(&database), None, false, "2"),
            (Some(&database), None, true, "1"),
            (None, None, false, "1"),
        ] {
            let settled = settle(&Choice::Mendable(&old.hash), old.clone(), &Offer { blueprint, asked, made }).unwrap();
            assert_eq!(settled.release().unwrap().version, version, "{asked:?} {made} {blueprint:?}");
        }
    }

    #[test]
    fn an_unfinished_copy_is_neutralised_with_the_steps_of_today_and_runs_the_release_of_its_original() {
        let old = pin(&spec(&["1"], steps("SELECT 1")), "1");
        let newer = spec(&["1", "2"], steps("SELECT 2"));
        let offer = |made| Offer { blueprint: Some(&newer), asked: None, made };
        for choice in [Choice::Copied(&old.hash), Choice::OfOriginal] {
            let settled = settle(&choice, old.clone(), &offer(false)).unwrap();
            assert_eq!(settled.release().unwrap().version, "1");
            assert_eq!(settled.spec.neutralise, newer.neutralise);
            assert_ne!(settled.hash, old.hash);
            // The same steps again are the same release.
            assert_eq!(settle(&choice, settled.clone(), &offer(false)).unwrap(), settled);
            assert_eq!(settle(&choice, old.clone(), &offer(true)).unwrap(), old, "it is finished");
            let none = spec(&["1", "2"], json!({}));
            let gone = Offer { blueprint: Some(&none), asked: None, made: false };
            assert_eq!(settle(&choice, old.clone(), &gone).unwrap(), old);
        }
        let wrong = spec(&["1"], steps("SELECT {{ no.such.value }}"));
        let offer = Offer { blueprint: Some(&wrong), asked: None, made: false };
        let refused = settle(&Choice::OfOriginal, old, &offer).unwrap_err();
        assert!(matches!(&refused, PlanError::Blocked(text) if text.contains("nothing of the copy")), "{refused}");
    }

    #[test]
    fn a_database_is_made_if_the_status_of_this_generation_or_the_row_says_so() {
        let object = |generation: u32, installed: &str| -> CrmInstance {
            let conditions = json!([{"type": "Installed", "status": installed, "reason": "Done", "message": "",
                "lastTransitionTime": "2026-11-01T00:00:00Z"}]);
            serde_json::from_value(json!({"apiVersion": "tenantry.dev/v1alpha1", "kind": "CrmInstance",
                "metadata": {"name": "crm", "annotations": {"tenantry.dev/data-generation": "2"}},
                "spec": {"tenant": "acme", "blueprint": "b", "host": "crm.acme.vn"},
                "status": {"dataGeneration": generation, "conditions": conditions}}))
            .unwrap()
        };
        assert!(is_made(&object(2, "True"), None));
        assert!(!is_made(&object(1, "True"), None), "another generation");
        assert!(!is_made(&object(2, "False"), None));
        assert!(!is_made(&object(2, "False"), Some(State::Loaded)));
        assert!(is_made(&object(2, "False"), Some(State::Personalised)));
    }
}
