//! Layer 2: the rules of the definitions in tables, without a cluster. No I/O.

use kube_cel::Validator;
use serde_json::{Value, json};
use tenantry_api::definitions;

/// Messages of the rules that an object (after an older one) breaks.
fn broken(kind: &str, object: &Value, old: Option<&Value>) -> Vec<String> {
    let crd = definitions().into_iter().find(|c| c.spec.names.kind == kind).unwrap();
    let schema = serde_json::to_value(&crd.spec.versions[0].schema.as_ref().unwrap().open_api_v3_schema).unwrap();
    match Validator::new().validate(&schema, object, old) {
        Ok(()) => Vec::new(),
        Err(errors) => errors.iter().map(ToString::to_string).collect(),
    }
}

fn accepted(kind: &str, object: &Value, old: Option<&Value>) {
    assert_eq!(broken(kind, object, old), Vec::<String>::new(), "{object}");
}

fn refused(kind: &str, object: &Value, old: Option<&Value>, words: &str) {
    let said = broken(kind, object, old).join("\n");
    assert!(said.contains(words), "{object}\nwas expected to be refused with {words:?}, said: {said:?}");
}

fn object(kind: &str, name: &str, spec: Value) -> Value {
    json!({ "apiVersion": "tenantry.dev/v1alpha1", "kind": kind, "metadata": { "name": name }, "spec": spec })
}

fn with(base: &Value, change: Value) -> Value {
    let mut made = base.clone();
    for (key, value) in change.as_object().unwrap() {
        if value.is_null() {
            made.as_object_mut().unwrap().remove(key);
        } else {
            made[key] = value.clone();
        }
    }
    made
}

#[test]
fn a_tenant_keeps_its_id_and_its_storage_does_not_shrink() {
    let spec = json!({ "id": "abcdefghij", "plan": "fibo-2", "storage": "10G" });
    let tenant = |change: Value| object("Tenant", "acme", with(&spec, change));
    let old = tenant(json!({}));
    accepted("Tenant", &old, None);
    accepted("Tenant", &tenant(json!({ "storage": "20G", "plan": "fibo-3" })), Some(&old));
    refused("Tenant", &tenant(json!({ "id": "bbbbbbbbbb" })), Some(&old), "minted once");
    refused("Tenant", &tenant(json!({ "id": null })), Some(&old), "minted once");
    refused("Tenant", &tenant(json!({ "storage": "5G" })), Some(&old), "storage cannot shrink");
    refused("Tenant", &tenant(json!({ "seats": 5, "unlimitedSeats": true })), None, "either seats or unlimitedSeats");
    refused("Tenant", &tenant(json!({ "id": null, "adopt": "abcdefghij-1" })), None, "needs the archive's id");
    // The first write of an id is allowed.
    accepted("Tenant", &old, Some(&tenant(json!({ "id": null }))));
}

#[test]
fn names_that_do_not_fit_are_refused() {
    let spec = json!({ "plan": "fibo-2" });
    refused("Tenant", &object("Tenant", &"a".repeat(41), spec.clone()), None, "too long");
    refused("Tenant", &object("Tenant", "Acme", spec), None, "lower-case");
    let spec = json!({ "tenant": "acme", "blueprint": "tryton", "host": "a.example" });
    refused("CrmInstance", &object("CrmInstance", &"a".repeat(31), spec), None, "too long");
}

#[test]
fn an_instance_keeps_product_release_tenant_and_server() {
    let spec = json!({ "id": "abcdefghij", "tenant": "acme", "blueprint": "tryton", "release": "7.0",
        "environment": "production", "host": "crm.acme.example", "databaseServer": "pg-1" });
    let instance = |change: Value| object("CrmInstance", "crm", with(&spec, change));
    let old = instance(json!({}));
    accepted("CrmInstance", &instance(json!({ "host": "other.example" })), Some(&old));
    for (field, value, words) in [
        ("tenant", "beta", "spec.tenant cannot change"),
        ("blueprint", "odoo", "another product is another instance"),
        ("release", "8.0", "needs an upgrade"),
        ("environment", "staging", "make a new instance"),
        ("databaseServer", "pg-2", "the data would stay behind"),
        ("id", "bbbbbbbbbb", "minted once"),
    ] {
        refused("CrmInstance", &instance(json!({ field: value })), Some(&old), words);
    }
}

#[test]
fn a_plan_cannot_contradict_itself_or_change() {
    let spec = json!({ "seats": 7, "storage": "2500M" });
    let plan = |change: Value| object("Plan", "fibo-2", with(&spec, change));
    accepted("Plan", &plan(json!({})), None);
    refused("Plan", &plan(json!({ "seats": null })), None, "either seats or unlimitedSeats");
    refused("Plan", &plan(json!({ "unlimitedSeats": true })), None, "either seats or unlimitedSeats");
    refused("Plan", &plan(json!({ "storage": "0" })), None, "storage must be more than 0");
    let resources = json!({ "resources": { "memoryRequest": "2Gi", "memoryLimit": "1Gi" } });
    refused("Plan", &plan(resources), None, "memoryRequest is above");
    refused("Plan", &plan(json!({ "seats": 8 })), Some(&plan(json!({}))), "a Plan cannot be changed");
}

#[test]
fn a_database_server_is_managed_or_external_and_keeps_its_engine() {
    let managed = json!({ "image": "i", "storage": "10G" });
    let spec = json!({ "engine": "postgresql", "managed": managed });
    let server = |change: Value| object("DatabaseServer", "pg-1", with(&spec, change));
    let old = server(json!({}));
    accepted("DatabaseServer", &old, None);
    refused("DatabaseServer", &server(json!({ "managed": null })), None, "either managed");
    refused("DatabaseServer", &server(json!({ "engine": "mariadb" })), Some(&old), "cannot change");
    let smaller = json!({ "managed": { "image": "i", "storage": "5G" } });
    refused("DatabaseServer", &server(smaller), Some(&old), "cannot shrink");
}

#[test]
fn a_release_stays_as_it_is_but_can_be_promoted() {
    let release = json!({ "version": "7.0", "image": "i:7", "channel": "early" });
    let spec = json!({ "title": "T", "releases": [release], "processes": [{ "name": "web" }] });
    let blueprint = |change: Value| object("Blueprint", "tryton", with(&spec, change));
    let old = blueprint(json!({}));
    let stable = json!({ "version": "7.0", "image": "i:7", "channel": "stable" });
    accepted("Blueprint", &blueprint(json!({ "releases": [stable] })), Some(&old));
    let other = json!({ "version": "7.0", "image": "i:8" });
    refused("Blueprint", &blueprint(json!({ "releases": [other] })), Some(&old), "cannot change");
    refused("Blueprint", &blueprint(json!({ "install": { "steps": [] } })), None, "install fills a database");
    let two = json!([{ "name": "a", "serves": true, "port": 1 }, { "name": "b", "serves": true, "port": 1 }]);
    refused("Blueprint", &blueprint(json!({ "processes": two })), None, "only one process can serve");
}

#[test]
fn an_archive_is_a_record_and_is_purged_only_by_its_name() {
    let spec = json!({ "kind": "Tenant", "id": "abcdefghij", "name": "acme", "life": 1, "tenantId": "abcdefghij",
        "tenantName": "acme", "namespace": "tenant-abcdefghij", "databases": [], "volumes": [], "secrets": [],
        "object": "{}", "ledger": "{}", "archivedAt": "t", "retainUntil": "t" });
    let archive = |change: Value| object("Archive", "abcdefghij-1", with(&spec, change));
    let old = archive(json!({}));
    accepted("Archive", &archive(json!({ "retainUntil": "later" })), Some(&old));
    accepted("Archive", &archive(json!({ "purge": { "confirm": "acme" } })), Some(&old));
    refused("Archive", &archive(json!({ "purge": { "confirm": "beta" } })), Some(&old), "must be the archived name");
    refused("Archive", &archive(json!({ "databases": [{ "server": "s", "name": "n" }] })), Some(&old), "is a record");
    let purging = archive(json!({ "purge": { "confirm": "acme" } }));
    refused("Archive", &old, Some(&purging), "cannot be taken back");
}

#[test]
fn an_event_cannot_be_changed_and_there_is_one_site() {
    let spec = json!({ "id": "a-1", "source": "s", "type": "t", "time": "t", "sequence": 1, "subject": "s",
        "tenantId": "abcdefghij", "tenantName": "acme", "after": { "suspended": false, "life": "Active" } });
    let old = object("BillingEvent", "a-1", spec.clone());
    let changed = object("BillingEvent", "a-1", with(&spec, json!({ "time": "later" })));
    refused("BillingEvent", &changed, Some(&old), "is a record");
    let site = |name: &str, id: &str| object("Site", name, json!({ "id": id }));
    accepted("Site", &site("site", "site-1"), None);
    refused("Site", &site("other", "site-1"), None, "its name is `site`");
    refused("Site", &site("site", "site-2"), Some(&site("site", "site-1")), "cannot change");
}
