//! Layer 3: what an instance and a tenant were asked for, before anything is made of it. No I/O.

// Helpers of tests are not inside a #[test], where the workspace allows these.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tenantry_api::blueprint::{BlueprintSpec, Effective};
use tenantry_api::crm_instance::CrmInstance;
use tenantry_api::plan::Plan;
use tenantry_api::site::Site;
use tenantry_api::tenant::Tenant;
use tenantry_core::class::ErrorClass;
use tenantry_plan::config::Config;
use tenantry_plan::{PlanError, Settings, instance, pod, tenant};

fn object<T: serde::de::DeserializeOwned>(kind: &str, metadata: Value, spec: Value) -> T {
    serde_json::from_value(
        json!({ "apiVersion": "tenantry.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec }),
    )
    .unwrap()
}

fn of_tenant(zone: Option<&str>) -> Tenant {
    let spec = json!({ "id": "abcdefghij", "plan": "fibo-2", "timeZone": zone });
    object("Tenant", json!({ "name": "acme" }), spec)
}

/// The instance of a tenant with a time zone, at a site with another one, under a host.
fn asked(tenant: Option<&str>, site: &str, host: &str) -> Result<String, PlanError> {
    let site: Site = object("Site", json!({ "name": "site" }), json!({ "id": "site-1", "timeZone": site }));
    let spec: BlueprintSpec = serde_json::from_value(json!({ "title": "Desk",
        "releases": [{ "version": "1", "image": "i" }], "processes": [{ "name": "web", "port": 80 }] }))
    .unwrap();
    let release = Effective::pin("desk", &spec, None).unwrap();
    let crm: CrmInstance = object(
        "CrmInstance",
        json!({ "name": "crm", "namespace": "tenant-abcdefghij" }),
        json!({ "id": "kkkkkkkkkk", "tenant": "acme", "blueprint": "desk", "host": host }),
    );
    let (tenant, settings) = (of_tenant(tenant), Settings::of_site(&site));
    let wanted = instance::validate(&crm, &tenant, &release, &settings, 1, &BTreeMap::new());
    wanted.map(|w| w.time_zone)
}

fn refused(found: Result<String, PlanError>, words: &[&str]) {
    let error = found.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Invalid, "{error}");
    for word in words {
        assert!(error.to_string().contains(word), "{word}: {error}");
    }
}

#[test]
fn a_time_zone_that_does_not_exist_reaches_neither_schedules_nor_the_application() {
    let host = "crm.acme.example";
    assert_eq!(asked(None, "Asia/Ho_Chi_Minh", host).unwrap(), "Asia/Ho_Chi_Minh");
    assert_eq!(asked(Some("Asia/Tokyo"), "Asia/Ho_Chi_Minh", host).unwrap(), "Asia/Tokyo");
    for wrong in ["Asia/Hanoi", "UTC+7", "asia/ho_chi_minh"] {
        refused(
            asked(Some(wrong), "UTC", host),
            &["tenant.spec.timeZone", wrong, "tenantry tenant set acme --time-zone"],
        );
        refused(asked(None, wrong, host), &["site.spec.timeZone", wrong, "kubectl edit site site"]);
        // It is nothing to a tenant that has one of its own.
        assert!(asked(Some("UTC"), wrong, host).is_ok(), "{wrong}");
        let plan: Plan = object("Plan", json!({ "name": "fibo-2" }), json!({ "seats": 2, "storage": "1G" }));
        let said = tenant::validate(&of_tenant(Some(wrong)), Some(&plan)).unwrap_err().to_string();
        assert!(said.starts_with("spec.timeZone: ") && said.contains(wrong), "{said}");
    }
}

#[test]
fn a_host_that_was_stored_before_there_was_a_rule_stops_the_instance_before_anything_is_made() {
    for (wrong, words) in [("10.0.0.5", "hosts file"), (&format!("{}.vn", "a".repeat(64)), "at most 63 characters")] {
        refused(asked(None, "UTC", wrong), &["spec.host", words]);
    }
}

#[test]
fn a_limit_of_one_and_a_request_of_another_never_contradict_each_other() {
    let all = |plan: Value, own: Value| -> Value {
        let read = |v: Value| serde_json::from_value(v).unwrap();
        pod::resources(Some(&read(plan)), Some(&read(own)))
    };
    let made = all(json!({}), json!({ "memoryLimit": "64Mi" }));
    assert_eq!((&made["requests"]["memory"], &made["limits"]["memory"]), (&json!("64Mi"), &json!("64Mi")));
    let made =
        all(json!({ "memoryRequest": "2Gi", "cpuRequest": "2" }), json!({ "memoryLimit": "1Gi", "cpuLimit": "1" }));
    assert_eq!(made, json!({ "requests": { "memory": "2Gi", "cpu": "2" }, "limits": { "memory": "2Gi", "cpu": "2" } }));
    let made = all(json!({}), json!({}));
    assert_eq!(made, json!({ "requests": { "memory": "128Mi", "cpu": "20m" }, "limits": { "memory": "512Mi" } }));
}

#[test]
fn what_grows_too_large_when_it_is_rendered_is_the_blueprints_and_told_so() {
    let file = |path: &str| json!({ "path": path, "content": "{% for i in '01234' %}{{ text }}{% endfor %}" });
    let spec: BlueprintSpec = serde_json::from_value(json!({ "title": "Desk",
        "releases": [{ "version": "1", "image": "i" }], "processes": [{ "name": "web" }],
        "files": [file("/f"), file("/g")] }))
    .unwrap();
    assert!(Config::render("desk", &spec, &json!({ "text": "x".repeat(100_000) }), true).is_ok());
    let error = Config::render("desk", &spec, &json!({ "text": "x".repeat(110_000) }), true).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Invalid);
    assert!(error.to_string().contains("1100000 bytes when they are rendered, 1048576 fit"), "{error}");
}
