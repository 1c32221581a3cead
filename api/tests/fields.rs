//! Layer 2: rules of single fields say what to write, and agree with what the operator checks. No I/O.

// Helpers of tests are not inside a #[test], where the workspace allows these.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use kube_cel::Validator;
use serde_json::{Value, json};
use tenantry_api::definitions;
use tenantry_core::{host, zone};

fn schema(kind: &str) -> Value {
    let crd = definitions().into_iter().find(|c| c.spec.names.kind == kind).unwrap();
    serde_json::to_value(&crd.spec.versions[0].schema.as_ref().unwrap().open_api_v3_schema).unwrap()
}

/// Messages of the rules that a new object breaks.
fn broken(kind: &str, spec: Value) -> Vec<String> {
    let name = if kind == "Site" { "site" } else { "crm" };
    let object =
        json!({ "apiVersion": "tenantry.dev/v1alpha1", "kind": kind, "metadata": { "name": name }, "spec": spec });
    match Validator::new().validate(&schema(kind), &object, None) {
        Ok(()) => Vec::new(),
        Err(errors) => errors.iter().map(ToString::to_string).collect(),
    }
}

fn of_host(host: &str) -> Vec<String> {
    broken("CrmInstance", json!({ "tenant": "acme", "blueprint": "tryton", "host": host }))
}

#[test]
fn a_host_that_is_none_is_refused_with_what_to_write() {
    for (wrong, words) in [
        ("10.0.0.5", "hosts file"),
        ("300.1", "hosts file"),
        ("https://crm.acme.vn", "without https://"),
        ("crm.acme.vn/login", "without https:// and without a path"),
        ("crm.acme.vn:8443", "without a port"),
        ("crm.acme.vn.", "without the point at its end"),
        ("việt.vn", "xn--"),
        ("CRM.acme.vn", "small letters, digits and hyphens"),
        ("crm", "in two parts or more"),
        ("crm_1.acme.vn", "small letters, digits and hyphens"),
        ("crm.acme.1", "no number"),
        (&format!("{}.example", "a".repeat(64)), "at most 63 characters"),
    ] {
        let said = of_host(wrong);
        assert!(said.len() == 1 && said[0].contains(words), "{wrong}: {said:?}");
    }
}

#[test]
fn the_definition_and_the_operator_agree_on_hosts() {
    let long = format!("{}.example", "a".repeat(63));
    for good in ["crm.acme.example", "a.b", "xn--vit-5kz.vn", "3.acme.vn", "10.0.0.5.nip.io", "a1.5b.vn", &long] {
        assert_eq!((of_host(good), host::check(good)), (Vec::new(), Ok(())), "{good}");
    }
    for wrong in
        ["::1", "10.0.0.5:80", "-a.vn", "a-.vn", "a..vn", ".a.vn", "a1.5", "*.acme.vn", "a b.vn", "", "crm.acme.vn/"]
    {
        assert!(!of_host(wrong).is_empty() && host::check(wrong).is_err(), "{wrong}: {:?}", of_host(wrong));
    }
}

#[test]
fn a_time_zone_has_the_shape_of_a_name_and_every_name_has_it() {
    let tenant = |zone: &str| broken("Tenant", json!({ "plan": "fibo-2", "timeZone": zone }));
    let site = |zone: &str| broken("Site", json!({ "id": "site-1", "timeZone": zone }));
    for wrong in ["UTC+7", "GMT+7", "+07:00", "asia/ho_chi_minh", "Asia/Ho Chi Minh", "utc"] {
        for said in [tenant(wrong), site(wrong)] {
            assert!(said.len() == 1 && said[0].contains("such as Asia/Ho_Chi_Minh, or UTC"), "{wrong}: {said:?}");
        }
        assert!(zone::check(wrong).is_err(), "{wrong}");
    }
    // Of the whole definition it would take a minute.
    let field = schema("Tenant")["properties"]["spec"]["properties"]["timeZone"].clone();
    let alone = json!({ "type": "object", "properties": { "timeZone": field } });
    for name in zone::names() {
        assert!(Validator::new().validate(&alone, &json!({ "timeZone": name }), None).is_ok(), "{name}");
    }
    assert!(Validator::new().validate(&alone, &json!({ "timeZone": "UTC+7" }), None).is_err());
    assert_eq!(site("Asia/Ho_Chi_Minh"), Vec::<String>::new());
}

#[test]
fn requests_and_limits_are_quantities_that_fit_together() {
    let resources = |resources: &Value| {
        let managed = json!({ "image": "i", "storage": "10G", "resources": resources });
        let process = json!({ "name": "web", "resources": resources });
        [
            broken("Plan", json!({ "seats": 7, "storage": "2500M", "resources": resources })),
            broken("DatabaseServer", json!({ "engine": "postgresql", "managed": managed })),
            broken(
                "Blueprint",
                json!({ "title": "T", "releases": [{ "version": "1", "image": "i" }], "processes": [process] }),
            ),
        ]
    };
    for (wrong, words) in [
        (json!({ "memoryLimit": "64MB" }), "not a quantity"),
        (json!({ "memoryRequest": "512MiB" }), "not a quantity"),
        (json!({ "cpuLimit": "0,5" }), "not a quantity"),
        (json!({ "memoryRequest": "2Gi", "memoryLimit": "1Gi" }), "memoryRequest is above memoryLimit"),
        (json!({ "cpuRequest": "1", "cpuLimit": "500m" }), "cpuRequest is above cpuLimit"),
    ] {
        for said in resources(&wrong) {
            assert!(said.len() == 1 && said[0].contains(words), "{wrong}: {said:?}");
        }
    }
    let good = json!({ "cpuRequest": "50m", "cpuLimit": "0.5", "memoryRequest": "128Mi", "memoryLimit": "1Gi" });
    assert!(resources(&good).iter().all(Vec::is_empty), "{:?}", resources(&good));
}
