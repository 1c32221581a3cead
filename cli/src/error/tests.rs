//! Tests of errors and suggestions. No I/O.

use kube::core::Status;
use kube::core::response::StatusDetails;
use serde_json::json;

use super::near::{missing, nearest};
use super::{Exit, Problem, api};
use crate::output::paint::Paint;

fn names(all: &[&str]) -> Vec<String> {
    all.iter().map(|n| (*n).to_owned()).collect()
}

fn details(value: serde_json::Value) -> StatusDetails {
    serde_json::from_value(value).unwrap()
}

fn status(code: u16, reason: &str, message: &str) -> Status {
    Status { code, reason: reason.into(), message: message.into(), ..Status::default() }
}

#[test]
fn a_slip_of_the_hand_is_recognised_and_another_name_is_not() {
    let plans = names(&["fibo-1", "fibo-2", "spacesoft-personal"]);
    for (wanted, near) in [("fibo2", Some("fibo-2")), ("fib-1", Some("fibo-1")), ("fibo-9", None), ("enterprise", None)]
    {
        assert_eq!(nearest(wanted, &plans), near, "{wanted}");
    }
}

#[test]
fn an_error_has_its_parts_in_order() {
    let problem = Problem::failed("the instance was not made")
        .safe("the tenant exists")
        .why("the host is taken")
        .next("finish", "tenant create acme")
        .next("undo", "tenant archive acme");
    insta::assert_snapshot!(problem.render(Paint::default()));
}

#[test]
fn a_missing_name_lists_what_there_is() {
    let problem = missing("plan", "fibo-9", names(&["fibo-2", "fibo-1"]), "plan list");
    assert_eq!(problem.exit, Exit::NOT_FOUND);
    insta::assert_snapshot!(problem.render(Paint::default()));
}

#[test]
fn answers_of_the_api_server_have_the_documented_exit_codes() {
    let named = |mut s: Status| {
        s.details = Some(details(json!({"name": "x"})));
        s
    };
    for (status, exit) in [
        (named(status(404, "NotFound", "tenants \"x\" not found")), Exit::NOT_FOUND),
        (status(404, "NotFound", "page not found"), Exit::FAILED),
        (status(409, "AlreadyExists", "exists"), Exit::REFUSED),
        (status(409, "Conflict", "changed"), Exit::FAILED),
        (status(403, "Forbidden", "User \"a\" cannot list resource"), Exit::REFUSED),
        (status(422, "Invalid", "no"), Exit::REFUSED),
        (status(503, "ServiceUnavailable", "away"), Exit::FAILED),
    ] {
        assert_eq!(api::from_status("list tenants", &status).exit, exit, "{status:?}");
    }
}

#[test]
fn the_text_of_a_rule_is_shown_without_the_machinery_around_it() {
    let mut refused = status(422, "Invalid", "Tenant.tenantry.dev \"x\" is invalid: [...]");
    let cause = |field: &str, message: &str| json!({"field": field, "message": message});
    refused.details = Some(details(json!({
        "causes": [
            cause("spec", "Invalid value: \"object\": storage cannot shrink: volumes only grow"),
            cause("spec.seats", "Invalid value: 0: spec.seats in body should be greater than or equal to 1"),
            cause("<nil>", "Invalid value: \"null\": some validation rules were not checked because ..."),
        ],
    })));
    insta::assert_snapshot!(api::from_status("change tenant acme", &refused).render(Paint::default()));
}
