//! What objects and archives of orphans consist of: as much as can still be known. No I/O.

use jiff::Timestamp;
use kube::ResourceExt;
use serde_json::{Value, json};
use tenantry_api::archive::{Archive, ArchivePhase, ArchivedKind, KeptDatabase};
use tenantry_api::crm_instance::Environment;
use tenantry_api::database_server::DatabaseServer;
use tenantry_core::id::Id;
use tenantry_core::ledger::Recorded;
use tenantry_plan::archive::{Ending, build};
use tenantry_plan::orphans::phase;

use crate::error::Problem;

/// Days for which an archive that is made without an operator is kept at least.
const RETENTION_DAYS: u32 = 90;
/// Stands for what is not known; the operator fills in what the server's record and the ledger say.
const UNKNOWN: &str = "unknown";

/// What the cluster still knows of an instance.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Name of the tenant.
    pub tenant: Option<String>,
    /// The host that the instance serves or has claimed.
    pub host: Option<String>,
    /// What the instance was for, for example production.
    pub environment: Option<String>,
}

/// The archive that keeps the data of an id, or is destroying it.
pub fn kept_by<'a>(archives: &'a [Archive], id: &Id) -> Option<&'a Archive> {
    let open = |a: &&Archive| matches!(phase(a), ArchivePhase::Archived | ArchivePhase::Purging);
    archives.iter().filter(open).find(|a| a.spec.id == id.as_str())
}

/// The archive of the last life of an id.
pub fn find_last<'a>(archives: &'a [Archive], id: &Id) -> Option<&'a Archive> {
    archives.iter().filter(|a| a.spec.id == id.as_str()).max_by_key(|a| a.spec.life)
}

/// The spec of an orphaned instance: the spec in its last archive, with what is known now.
pub fn instance_spec(tenant: &Id, id: &Id, last: Option<&Archive>, known: &Known) -> Value {
    let old: Value = last.and_then(|a| serde_json::from_str(&a.spec.object).ok()).unwrap_or_default();
    let text = |key: &str| old.get(key).and_then(Value::as_str).map(ToOwned::to_owned);
    let name = known.tenant.clone().or_else(|| last.map(|a| a.spec.tenant_name.clone()));
    let mut spec = old.as_object().cloned().unwrap_or_default();
    for (key, value) in [
        ("id", id.to_string()),
        ("tenant", name.unwrap_or_else(|| tenant.to_string())),
        ("blueprint", text("blueprint").unwrap_or_else(|| UNKNOWN.into())),
        ("host", known.host.clone().or_else(|| text("host")).unwrap_or_else(|| format!("{id}.orphan.invalid"))),
    ] {
        spec.insert(key.into(), value.into());
    }
    let environments = Environment::ALL;
    if let Some(word) = known.environment.as_ref().filter(|w| environments.iter().any(|e| e.word() == w.as_str())) {
        spec.insert("environment".into(), word.clone().into());
    }
    // The data is the instance's own and the instance ends now, so `from`, `expires` and an older `adopt` do not apply.
    spec.retain(|key, _| !matches!(key.as_str(), "from" | "expires" | "adopt"));
    if let Some(last) = last {
        spec.insert("adopt".into(), last.name_any().into());
    }
    spec.into()
}

/// The spec of an orphaned tenant, made the same way.
pub fn tenant_spec(id: &Id, last: Option<&Archive>) -> Value {
    let old: Value = last.and_then(|a| serde_json::from_str(&a.spec.object).ok()).unwrap_or_default();
    let mut spec = old.as_object().cloned().unwrap_or_default();
    spec.insert("id".into(), id.as_str().into());
    spec.entry("plan").or_insert_with(|| UNKNOWN.into());
    spec.remove("adopt");
    if let Some(last) = last {
        spec.insert("adopt".into(), last.name_any().into());
    }
    spec.into()
}

/// The archive of an instance of which nothing but databases is left.
pub fn bare(
    tenant: &Id,
    id: &Id,
    last: Option<&Archive>,
    servers: &[DatabaseServer],
    now: Timestamp,
) -> Result<Archive, Problem> {
    let mine = servers.iter().flat_map(|server| {
        let all = server.status.iter().flat_map(|s| s.orphans.iter());
        let mine = all.filter(|o| o.instance == id.as_str() && o.tenant == tenant.as_str());
        mine.map(|o| KeptDatabase { server: server.name_any(), name: o.name.clone() })
    });
    let databases: Vec<KeptDatabase> = mine.collect();
    if databases.is_empty() {
        return Err(Problem::not_found(format!("no database server has told of a database of {tenant}/{id}"))
            .why("the operator compares every server with what lives once an hour, and when it starts")
            .next("what has no owner?", "doctor"));
    }
    let spec = instance_spec(tenant, id, last, &Known::default());
    let ending = Ending {
        kind: ArchivedKind::CrmInstance,
        id: id.clone(),
        name: last.map_or_else(|| id.to_string(), |a| a.spec.name.clone()),
        adopted_from: last.map(ResourceExt::name_any),
        tenant_id: tenant.clone(),
        tenant_name: last.map_or_else(|| tenant.to_string(), |a| a.spec.tenant_name.clone()),
        databases,
        volumes: Vec::new(),
        secrets: Vec::new(),
        data_generation: Some(1),
        release_hash: None,
        release: None,
        object: json!(spec).to_string(),
        // The operator reads the events themselves before it adds to them.
        ledger: Recorded::default(),
        retention_days: RETENTION_DAYS,
    };
    build(&ending, now).map_err(|e| Problem::failed("the archive cannot be written").why(e.to_string()))
}

#[cfg(test)]
mod tests {
    use tenantry_api::crm_instance::CrmInstanceSpec;
    use tenantry_api::tenant::TenantSpec;

    use super::*;
    use crate::archive::keep::tests::archive;

    fn id(text: &str) -> Id {
        Id::parse(text).unwrap()
    }

    #[test]
    fn an_object_is_made_of_what_is_known_and_counts_one_life_more() {
        let (tenant, mine) = (id("kabcdefghi"), id("kkkkkkkkkk"));
        let read = |spec: Value| serde_json::from_value::<CrmInstanceSpec>(spec).unwrap();
        let nothing = read(instance_spec(&tenant, &mine, None, &Known::default()));
        assert_eq!((nothing.tenant.as_str(), nothing.blueprint.as_str()), ("kabcdefghi", "unknown"));
        assert_eq!((nothing.host.as_str(), nothing.adopt), ("kkkkkkkkkk.orphan.invalid", None));

        let at = "2026-01-01T00:00:00Z";
        let mut last = archive(ArchivedKind::CrmInstance, "kkkkkkkkkk", "crm", at, ArchivePhase::Adopted);
        last.spec.object = json!({ "tenant": "older", "blueprint": "tryton", "host": "old.example.org",
            "environment": "staging", "from": { "instance": "a" }, "expires": "2026-01-01T00:00:00Z",
            "adopt": "kkkkkkkkkk-0" })
        .to_string();
        let known = Known { tenant: Some("acme".into()), host: Some("new.example.org".into()), environment: None };
        let spec = read(instance_spec(&tenant, &mine, Some(&last), &known));
        assert_eq!((spec.tenant.as_str(), spec.blueprint.as_str()), ("acme", "tryton"));
        assert_eq!((spec.host.as_str(), spec.environment), ("new.example.org", Environment::Staging));
        assert_eq!((spec.adopt.as_deref(), spec.from, spec.expires), (Some("kkkkkkkkkk-1"), None, None));

        let tenant: TenantSpec = serde_json::from_value(tenant_spec(&tenant, None)).unwrap();
        assert_eq!((tenant.plan.as_str(), tenant.id.as_deref()), ("unknown", Some("kabcdefghi")));
    }

    #[test]
    fn an_archive_of_databases_alone_names_those_that_the_servers_told_of_and_no_others() {
        let orphan = |name: &str, instance: &str| json!({ "name": name, "instance": instance, "tenant": "kabcdefghi" });
        let server: DatabaseServer = serde_json::from_value(json!({ "apiVersion": "tenantry.dev/v1alpha1",
            "kind": "DatabaseServer", "metadata": { "name": "pg-1" },
            "spec": { "engine": "postgresql", "managed": { "image": "pg:15", "storage": "1G" } },
            "status": { "orphans": [orphan("crm_kkkkkkkkkk_g1", "kkkkkkkkkk"), orphan("crm_kjjjjjjjjj_g1", "kjjjjjjjjj")] } }))
        .unwrap();
        let made = |instance: &str| {
            bare(&id("kabcdefghi"), &id(instance), None, std::slice::from_ref(&server), Timestamp::UNIX_EPOCH)
        };
        let archive = made("kkkkkkkkkk").unwrap();
        assert_eq!(archive.name_any(), "kkkkkkkkkk-1");
        let database = KeptDatabase { server: "pg-1".into(), name: "crm_kkkkkkkkkk_g1".into() };
        assert_eq!((archive.spec.databases, archive.spec.volumes.len()), (vec![database], 0));
        assert_eq!(made("kmmmmmmmmm").unwrap_err().exit, crate::error::Exit::NOT_FOUND);
    }

    #[test]
    fn what_an_archive_keeps_is_no_orphan_and_what_was_adopted_may_be_one() {
        let at = "2026-01-01T00:00:00Z";
        let of = |phase| [archive(ArchivedKind::CrmInstance, "kkkkkkkkkk", "crm", at, phase)];
        assert!(kept_by(&of(ArchivePhase::Archived), &id("kkkkkkkkkk")).is_some());
        assert!(kept_by(&of(ArchivePhase::Adopted), &id("kkkkkkkkkk")).is_none());
        assert!(find_last(&of(ArchivePhase::Adopted), &id("kkkkkkkkkk")).is_some());
    }
}
