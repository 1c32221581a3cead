//! Tests of terms, pages and the summary. No I/O.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tenantry_api::crm_instance::CrmInstance;
use tenantry_api::tenant::Tenant;

use super::{fields, summary, view};
use crate::listing::table;
use crate::output::paint::Paint;

fn now() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

/// A tenant for tests.
pub fn tenant(spec: Value, status: Value) -> Tenant {
    serde_json::from_value(json!({
        "apiVersion": "tenantry.dev/v1alpha1", "kind": "Tenant",
        "metadata": {"name": "acme", "creationTimestamp": "2026-11-18T12:00:00Z", "generation": 1},
        "spec": spec, "status": status,
    }))
    .unwrap()
}

/// An instance for tests.
pub fn instance(name: &str, spec: Value, status: Value) -> CrmInstance {
    let mut all = json!({"tenant": "acme", "blueprint": "tryton", "host": "crm.acme.vn", "id": "kzzzzzzzzz"});
    for (key, value) in spec.as_object().unwrap() {
        all[key] = value.clone();
    }
    serde_json::from_value(json!({
        "apiVersion": "tenantry.dev/v1alpha1", "kind": "CrmInstance",
        "metadata": {"name": name, "namespace": "tenant-kabcdefghi", "creationTimestamp": "2026-11-18T12:00:00Z"},
        "spec": all, "status": status,
    }))
    .unwrap()
}

fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": "2026-11-18T12:00:00Z"})
}

fn acme() -> Tenant {
    tenant(
        json!({"id": "kabcdefghi", "plan": "fibo-2", "displayName": "Acme Trading Co.", "until": "2027-03-31", "contacts": ["it@acme.vn"]}),
        json!({
            "phase": "Active", "namespace": "tenant-kabcdefghi", "observedGeneration": 1,
            "limits": {"plan": "fibo-2", "seats": 7, "storageBytes": 2_500_000_000_u64},
            "conditions": [condition("Ready", "True", "Active", "")],
        }),
    )
}

fn crm() -> CrmInstance {
    instance(
        "crm",
        json!({}),
        json!({
            "phase": "Ready", "release": "7.0", "url": "https://crm.acme.vn", "installedAt": "2026-11-18T12:00:00Z",
            "conditions": [condition("Ready", "True", "Verified", "")],
        }),
    )
}

#[test]
fn a_tenant_in_order_needs_no_attention() {
    let staging = instance("staging", json!({"environment": "staging"}), json!({"phase": "Ready", "release": "8.0"}));
    insta::assert_snapshot!(view::page(&acme(), &[crm(), staging], false, now()).render(&Paint::default(), None));
}

#[test]
fn a_tenant_in_trouble_says_what_and_why_and_never_zero_for_unknown() {
    let pending = tenant(
        json!({"plan": "fibo-9"}),
        json!({"conditions": [
            condition("PlanKnown", "False", "NotFound", "plan fibo-9 does not exist"),
            condition("Ready", "False", "Waiting", "waits for the plan"),
        ]}),
    );
    let failed = instance(
        "crm",
        json!({}),
        json!({
            "phase": "Failed", "conditions": [condition("DatabaseReady", "False", "NoServer", "no server fits")],
        }),
    );
    let text = view::page(&pending, &[failed], true, now()).render(&Paint::default(), None);
    assert!(!text.contains(" 0 "), "{text}");
    insta::assert_snapshot!(text);
}

#[test]
fn a_suspended_tenant_shows_the_reason_and_no_trouble() {
    let suspended = tenant(
        json!({"id": "kabcdefghi", "plan": "fibo-2", "suspended": true, "suspendedReason": "unpaid"}),
        json!({"phase": "Suspended", "conditions": [condition("Ready", "False", "Suspended", "")]}),
    );
    let text = view::page(&suspended, &[crm()], false, now()).render(&Paint::default(), None);
    assert!(text.contains("unpaid") && text.ends_with("Nothing needs attention."), "{text}");
}

#[test]
fn lists_have_a_narrow_and_a_wide_form() {
    let unseen = tenant(json!({"plan": "fibo-2"}), Value::Null);
    let all = [acme(), unseen];
    insta::assert_snapshot!("list", table(&all, false, now()).render(&Paint::default(), None));
    insta::assert_snapshot!("list_wide", table(&all, true, now()).render(&Paint::default(), None));
}

#[test]
fn the_summary_says_where_how_to_log_in_and_what_is_not_known() {
    let (tenant, instance) = (acme(), crm());
    let facts = summary::Facts {
        tenant: &tenant,
        instance: &instance,
        login: Some("admin"),
        took: Duration::from_millis(4_210),
    };
    insta::assert_snapshot!(summary::text(&facts, Paint::default()));
}

fn terms(line: &[&str]) -> Result<Value, clap::Error> {
    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        terms: fields::Terms,
    }
    use clap::Parser;
    Line::try_parse_from(std::iter::once(&"x").chain(line)).map(|l| Value::Object(l.terms.patch()))
}

#[test]
fn terms_become_fields_of_a_patch_and_null_takes_one_away() {
    for (line, wanted) in [
        (vec!["--seats", "12"], json!({"seats": 12, "unlimitedSeats": null})),
        (vec!["--seats", "unlimited"], json!({"seats": null, "unlimitedSeats": true})),
        (vec!["--seats", "plan", "--storage", "plan"], json!({"seats": null, "unlimitedSeats": null, "storage": null})),
        (vec!["--storage", "50G", "--contract", "buy"], json!({"storage": "50G", "contract": "buy"})),
        (
            vec!["--until", "2027-03-31", "--support-plan", "premium"],
            json!({"until": "2027-03-31", "supportPlan": "premium"}),
        ),
        (vec!["--contact", "a@b.c", "--contact", "d@e.f"], json!({"contacts": ["a@b.c", "d@e.f"]})),
        (vec!["--display-name", ""], json!({"displayName": null})),
        (vec!["--time-zone", "Asia/Ho_Chi_Minh"], json!({"timeZone": "Asia/Ho_Chi_Minh"})),
        (vec!["--time-zone", ""], json!({"timeZone": null})),
    ] {
        assert_eq!(terms(&line).unwrap(), wanted, "{line:?}");
    }
    for wrong in
        [["--seats", "0"], ["--seats", "many"], ["--storage", "big"], ["--until", "soon"], ["--contract", "gift"]]
    {
        assert!(terms(&wrong).is_err(), "{wrong:?}");
    }
    for (wrong, meant) in [("Asia/Hanoi", "such as Asia/Ho_Chi_Minh"), ("asia/tokyo", "its name there is Asia/Tokyo")] {
        let said = terms(&["--time-zone", wrong]).unwrap_err().to_string();
        assert!(said.contains(meant), "{wrong}: {said}");
    }
}

#[test]
fn a_host_is_looked_at_before_anything_is_sent() {
    let host = crate::instance::make::host;
    assert_eq!(host("CRM.Acme.vn"), Ok("crm.acme.vn".to_owned()));
    for (wrong, words) in [
        ("10.0.0.5", "hosts file"),
        ("https://crm.acme.vn/", "without a path: crm.acme.vn"),
        ("crm.acme.vn:8443", "without a port"),
        ("Việt.vn", "xn--vit-5kz.vn"),
    ] {
        let said = host(wrong).unwrap_err();
        assert!(said.contains(words), "{wrong}: {said}");
    }
}
