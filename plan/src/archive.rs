//! Archives: the object that remains of a tenant or instance. No I/O.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use tenantry_api::archive::{Archive, ArchiveSpec, ArchivedKind, KeptDatabase, Purge};
use tenantry_api::blueprint::BlueprintSpec;
use tenantry_api::crm_instance::CrmInstanceSpec;
use tenantry_api::integration::SettingSource;
use tenantry_api::site::SiteSpec;
use tenantry_api::tenant::TenantSpec;
use tenantry_core::id::Id;
use tenantry_core::ledger::Recorded;
use tenantry_core::names;

use crate::PlanError;
use crate::instance::in_the_open;

/// The facts about a tenant or instance that is being archived.
#[derive(Debug, Clone)]
pub struct Ending {
    /// Tenant or instance.
    pub kind: ArchivedKind,
    /// Its id.
    pub id: Id,
    /// Its name.
    pub name: String,
    /// Archive that the tenant or instance had been adopted from.
    pub adopted_from: Option<String>,
    /// Its tenant's id.
    pub tenant_id: Id,
    /// Its tenant's name.
    pub tenant_name: String,
    /// Databases that are kept.
    pub databases: Vec<KeptDatabase>,
    /// Claims that are kept.
    pub volumes: Vec<String>,
    /// Secrets that are kept.
    pub secrets: Vec<String>,
    /// Generation of the data.
    pub data_generation: Option<u32>,
    /// Hash of the pinned release.
    pub release_hash: Option<String>,
    /// The pinned release as JSON.
    pub release: Option<String>,
    /// The spec as JSON.
    pub object: String,
    /// The recorded end of the event stream, including the event of the archiving.
    pub ledger: Recorded,
    /// Minimum number of days that the data is kept.
    pub retention_days: u32,
}

/// The minimum number of days that the data of a tenant and its instances is kept: the tenant's own number, else the
/// number of the Site. None means that the tenant does not exist any more.
#[must_use]
pub fn retention_days(tenant: Option<&TenantSpec>, site: &SiteSpec) -> u32 {
    tenant.and_then(|tenant| tenant.retention_days).unwrap_or(site.retention_days)
}

/// How much later than its `archivedAt` an Archive object may have been created and still count as the original object:
/// the clocks of two machines differ.
const MADE_THEN: SignedDuration = SignedDuration::from_mins(10);

/// Whether an Archive was restored from a backup. Its status may then be lost or old, and only the status says whether
/// somebody took the data over after the purge was requested. So the request for a purge is void until a person
/// requests it again for this object. The existence of a status proves nothing here, because the operator writes one at
/// its first look.
#[must_use]
pub fn is_put_back(archive: &Archive) -> bool {
    let meta = &archive.metadata;
    let asked = meta.annotations.as_ref().and_then(|a| a.get(names::ANNOTATION_PURGE_ASKED));
    if let Some(asked) = asked {
        // The purge was requested for another object of this name. That object was deleted since, and this one is a
        // copy of it, however young.
        return Some(asked) != meta.uid.as_ref();
    }
    let made = meta.creation_timestamp.as_ref().map(|t| t.0);
    let said = archive.spec.archived_at.parse::<Timestamp>().ok();
    // A date that cannot be read is no reason to destroy data.
    !matches!((made, said), (Some(made), Some(said)) if made.duration_since(said) <= MADE_THEN)
}

/// Whether the request for a purge, if there is one, is in force now: the retention is over, or the request explicitly
/// sets the retention aside. If the date cannot be read, the retention is not over.
#[must_use]
pub fn demand_holds(archive: &ArchiveSpec, now: Timestamp) -> bool {
    purge_holds(archive.purge.as_ref(), &archive.retain_until, now)
}

/// Whether the data is to be destroyed: the request for a purge is in force, and it was made for exactly this object.
#[must_use]
pub fn is_doomed(archive: &Archive, now: Timestamp) -> bool {
    demand_holds(&archive.spec, now) && !is_put_back(archive)
}

/// Like [`demand_holds`], from the two fields of an Archive that it needs.
#[must_use]
pub fn purge_holds(purge: Option<&Purge>, retain_until: &str, now: Timestamp) -> bool {
    purge.is_some_and(|p| p.before_retention || is_over(retain_until, now))
}

fn is_over(retain_until: &str, now: Timestamp) -> bool {
    retain_until.parse::<Timestamp>().is_ok_and(|until| now >= until)
}

/// Whether the minimum retention has not ended yet.
#[must_use]
pub fn is_retained(archive: &ArchiveSpec, now: Timestamp) -> bool {
    !is_over(&archive.retain_until, now)
}

/// Removes the values that the blueprint marks as secret from a spec, because everybody who may look at archives can
/// read the spec. The removed values are returned by their key in a Secret, and the spec refers to that Secret from
/// then on.
#[must_use]
pub fn hide(spec: &mut CrmInstanceSpec, blueprint: &BlueprintSpec, secret: &str) -> BTreeMap<String, String> {
    let open: Vec<String> = in_the_open(spec, blueprint).into_iter().map(ToOwned::to_owned).collect();
    let mut values = BTreeMap::new();
    for name in open {
        let Some(value) = spec.settings.remove(&name) else { continue };
        // Not the setting's own name: a person may keep another value under it.
        let key = format!("archived.{name}");
        let source = SettingSource { secret: secret.to_owned(), key: key.clone(), revision: None };
        spec.settings_from.insert(name, source);
        values.insert(key, value);
    }
    values
}

/// Number of this life: one more than the life that it was adopted from.
#[must_use]
pub fn life(adopted_from: Option<&str>) -> u32 {
    adopted_from
        .and_then(|name| name.rsplit_once('-'))
        .and_then(|(_, life)| life.parse::<u32>().ok())
        .map_or(1, |life| life.saturating_add(1))
}

/// Builds the Archive object.
///
/// # Errors
/// When the ledger cannot be written as JSON.
pub fn build(ending: &Ending, now: Timestamp) -> Result<Archive, PlanError> {
    let life = life(ending.adopted_from.as_deref());
    let days = i64::from(ending.retention_days);
    let until = now.checked_add(SignedDuration::from_hours(24 * days)).unwrap_or(Timestamp::MAX);
    let rfc = |t: Timestamp| t.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let mut archive = Archive::new(
        &names::archive(&ending.id, life),
        ArchiveSpec {
            kind: ending.kind,
            id: ending.id.to_string(),
            name: ending.name.clone(),
            life,
            tenant_id: ending.tenant_id.to_string(),
            tenant_name: ending.tenant_name.clone(),
            namespace: names::namespace(&ending.tenant_id),
            databases: ending.databases.clone(),
            volumes: ending.volumes.clone(),
            secrets: ending.secrets.clone(),
            data_generation: ending.data_generation,
            release_hash: ending.release_hash.clone(),
            release: ending.release.clone(),
            object: ending.object.clone(),
            ledger: serde_json::to_string(&ending.ledger)?,
            archived_at: rfc(now),
            retain_until: rfc(until),
            purge: None,
        },
    );
    archive.metadata.finalizers = Some(vec![names::FINALIZER_RECORD.to_owned()]);
    archive.metadata.labels = Some(
        [
            (names::LABEL_MANAGED_BY, names::MANAGED_BY.to_owned()),
            (names::LABEL_TENANT_ID, ending.tenant_id.to_string()),
            (names::LABEL_TENANT, ending.tenant_name.clone()),
        ]
        .into_iter()
        .map(|(k, v)| (k.to_owned(), v))
        .collect(),
    );
    Ok(archive)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_purge_holds_when_the_retention_is_over_or_was_set_aside() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let spec = |until: &str, purge: serde_json::Value| -> ArchiveSpec {
            serde_json::from_value(serde_json::json!({
                "kind": "Tenant", "id": "kabcdefghi", "name": "acme", "life": 1, "tenantId": "kabcdefghi",
                "tenantName": "acme", "namespace": "tenant-kabcdefghi", "object": "{}", "ledger": "{}",
                "archivedAt": "2026-01-01T00:00:00Z", "retainUntil": until, "purge": purge,
            }))
            .unwrap()
        };
        let (day, before, after) = ("2026-02-01T00:00:00Z", at("2026-01-31T23:59:59Z"), at("2026-02-01T00:00:00Z"));
        let plain = spec(day, serde_json::json!({"confirm": "kabcdefghi-1"}));
        assert!(!demand_holds(&plain, before) && demand_holds(&plain, after));
        let early = spec(day, serde_json::json!({"confirm": "kabcdefghi-1", "beforeRetention": true}));
        assert!(demand_holds(&early, before) && is_retained(&early, before));
        let none = spec(day, serde_json::Value::Null);
        assert!(!demand_holds(&none, before) && !demand_holds(&none, after));
        let strange = spec("some day", serde_json::json!({"confirm": "kabcdefghi-1"}));
        assert!(!demand_holds(&strange, after) && is_retained(&strange, after));
    }

    #[test]
    fn the_retention_is_that_of_the_tenant_else_that_of_the_site() {
        let site: SiteSpec = serde_json::from_value(serde_json::json!({"id": "site-1", "retentionDays": 30})).unwrap();
        let tenant = |days: Option<u32>| -> TenantSpec {
            serde_json::from_value(serde_json::json!({"plan": "p", "retentionDays": days})).unwrap()
        };
        assert_eq!(retention_days(Some(&tenant(Some(7))), &site), 7);
        assert_eq!(retention_days(Some(&tenant(Some(365))), &site), 365);
        assert_eq!(retention_days(Some(&tenant(None)), &site), 30);
        assert_eq!(retention_days(None, &site), 30, "the tenant is gone");
    }

    #[test]
    fn a_purge_that_was_asked_of_an_archive_before_it_was_put_back_is_asked_for_again() {
        let archive = |made: &str, asked: Option<&str>, status: bool| -> Archive {
            let annotations = asked.map(|uid| serde_json::json!({ (names::ANNOTATION_PURGE_ASKED): uid }));
            serde_json::from_value(serde_json::json!({
                "apiVersion": "tenantry.dev/v1alpha1", "kind": "Archive",
                "metadata": { "name": "kabcdefghi-1", "uid": "here", "creationTimestamp": made, "annotations": annotations },
                "spec": {
                    "kind": "Tenant", "id": "kabcdefghi", "name": "acme", "life": 1, "tenantId": "kabcdefghi",
                    "tenantName": "acme", "namespace": "tenant-kabcdefghi", "object": "{}", "ledger": "{}",
                    "archivedAt": "2026-01-01T00:00:00Z", "retainUntil": "2026-02-01T00:00:00Z",
                    "purge": { "confirm": "kabcdefghi-1" },
                },
                "status": status.then(|| serde_json::json!({ "phase": "Archived" })),
            }))
            .unwrap()
        };
        let (then, later) = ("2026-01-01T00:00:03Z", "2026-03-01T00:00:00Z");
        assert!(!is_put_back(&archive(then, None, false)), "as it was made");
        assert!(is_put_back(&archive(then, Some("elsewhere"), false)), "soon after it was made");
        let now = "2026-03-02T00:00:00Z".parse().unwrap();
        assert!(!is_doomed(&archive(later, None, false), now) && is_doomed(&archive(later, Some("here"), false), now));
        assert!(is_put_back(&archive(later, None, false)) && is_put_back(&archive(later, Some("elsewhere"), false)));
        assert!(!is_put_back(&archive(later, Some("here"), false)), "it was asked again");
        assert!(is_put_back(&archive(later, None, true)), "the operator itself writes a status at its first look");
    }

    #[test]
    fn an_archive_is_made_with_the_finalizer_that_keeps_it() {
        let id = Id::parse("abcdefghij").unwrap();
        let ending = Ending {
            kind: ArchivedKind::Tenant,
            id: id.clone(),
            name: "acme".into(),
            adopted_from: None,
            tenant_id: id,
            tenant_name: "acme".into(),
            databases: Vec::new(),
            volumes: Vec::new(),
            secrets: Vec::new(),
            data_generation: None,
            release_hash: None,
            release: None,
            object: "{}".into(),
            ledger: Recorded::default(),
            retention_days: 90,
        };
        let made = build(&ending, Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(made.metadata.finalizers, Some(vec!["tenantry.dev/record".to_owned()]));
    }

    #[test]
    fn a_plain_value_of_a_secret_setting_leaves_the_spec_and_can_be_found_again() {
        let blueprint: BlueprintSpec = serde_json::from_value(serde_json::json!({ "title": "t",
            "settings": { "smtpPassword": { "secret": true }, "smtpHost": { "default": "" } },
            "releases": [{ "version": "1", "image": "i" }], "processes": [] }))
        .unwrap();
        let mut spec: CrmInstanceSpec = serde_json::from_value(serde_json::json!({ "tenant": "acme",
            "blueprint": "b", "host": "a.b", "settings": { "smtpPassword": "hunter2", "smtpHost": "mail" } }))
        .unwrap();
        let values = hide(&mut spec, &blueprint, "x-settings");
        assert_eq!(values.get("archived.smtpPassword").map(String::as_str), Some("hunter2"));
        assert!(!serde_json::to_string(&spec).unwrap().contains("hunter2"), "{spec:?}");
        assert_eq!(spec.settings.get("smtpHost").map(String::as_str), Some("mail"));
        let source = &spec.settings_from["smtpPassword"];
        assert_eq!((source.secret.as_str(), source.key.as_str()), ("x-settings", "archived.smtpPassword"));
        assert!(hide(&mut spec, &blueprint, "x-settings").is_empty(), "twice is once");
    }

    #[test]
    fn every_adoption_counts_one_life_more() {
        assert_eq!(life(None), 1);
        assert_eq!(life(Some("abcdefghij-1")), 2);
        assert_eq!(life(Some("nonsense")), 1);
    }
}
