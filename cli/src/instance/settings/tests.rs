//! Tests of settings: what is shown, what is refused, what is written. No I/O.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::{Value, json};
use tenantry_api::blueprint::BlueprintSpec;
use tenantry_api::crm_instance::CrmInstance;
use tenantry_core::names;
use tenantry_core::request::Request;
use tenantry_core::secret::Secret;

use super::again::{Heard, heard};
use super::decide::{Change, Given, change, field_reaches, patch_of, reaches, secret_object};
use super::{check, hide, shown};
use crate::error::Exit;
use crate::output::paint::Paint;
use crate::tenant::tests::instance;

const PASSWORD: &str = "hunter22";

fn now() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

fn blueprint() -> BlueprintSpec {
    serde_json::from_value(json!({
        "title": "Demo", "processes": [{"name": "web"}],
        "settings": {
            "language": {"default": "en", "pattern": "[a-z]{2}", "description": "Language of the first page."},
            "smtp_host": {"default": ""},
            "smtp_password": {"default": "", "secret": true},
            "api_key": {"secret": true},
        },
        "integrations": [{"name": "mail", "kind": "smtp", "settings": ["smtp_host", "smtp_password"]}],
        "releases": [{"version": "1.0", "image": "demo:1.0"}],
    }))
    .unwrap()
}

fn crm(spec: Value) -> CrmInstance {
    instance(
        "crm",
        spec,
        json!({"integrations": [{"name": "mail", "state": "unreachable", "message": "no answer from mx:25 within 10 s",
            "since": "2026-11-21T10:00:00Z"}]}),
    )
}

fn plain() -> CrmInstance {
    crm(json!({"settings": {"smtp_host": "mx", "smtp_password": PASSWORD, "odd": PASSWORD}}))
}

fn from_secret() -> CrmInstance {
    crm(json!({"settings": {"smtp_host": "mx"}, "settingsFrom": {"smtp_password": {"secret": "mine", "key": "p"}}}))
}

fn given(key: &str, value: &str, on_command_line: bool) -> BTreeMap<String, Given> {
    BTreeMap::from([(key.to_owned(), Given::new(Secret::new(value), on_command_line))])
}

#[test]
fn a_setting_that_only_personalise_uses_is_refused_once_the_instance_was_made() {
    let mut product = blueprint();
    let step = json!({"name": "language", "sql": "SELECT {{ settings.language | sql_quote }}"});
    product.personalise = serde_json::from_value(json!({"steps": [step]})).unwrap();
    let made = instance("crm", json!({}), json!({"installedAt": "2026-11-21T10:00:00Z"}));
    let refused = reaches(&made, &product, "language").unwrap_err();
    assert_eq!(refused.exit, Exit::REFUSED);
    assert!(refused.what.contains("used only when an instance is made"), "{}", refused.what);
    assert!(reaches(&made, &product, "smtp_host").is_ok(), "nothing else is");
    assert!(reaches(&crm(json!({})), &product, "language").is_ok(), "it is not made yet");
    let differs = json!([{"type": "SettingsApplied", "status": "False", "reason": "OnlyWhenMade", "message": "",
        "lastTransitionTime": "2026-11-21T10:00:00Z"}]);
    let other = instance("crm", json!({}), json!({"installedAt": "2026-11-21T10:00:00Z", "conditions": differs}));
    assert!(reaches(&other, &product, "language").is_ok(), "it may be put back");
    product.env.insert("LANGUAGE".into(), "{{ settings.language }}".into());
    assert!(reaches(&made, &product, "language").is_ok(), "the processes read it");
}

#[test]
fn an_administrators_address_that_only_personalise_uses_is_refused_once_the_instance_was_made() {
    let mut product = blueprint();
    let made = instance("crm", json!({}), json!({"installedAt": "2026-11-21T10:00:00Z"}));
    let asked = |product: &BlueprintSpec, of: &CrmInstance| {
        field_reaches(of, product, "instance.admin_email", "the administrator's address").map_err(|p| p.what)
    };
    assert_eq!(asked(&product, &made), Ok(()), "nothing uses it");
    let step = json!({"name": "administrator", "sql": "SELECT {{ instance.admin_email | sql_quote }}"});
    product.personalise = serde_json::from_value(json!({"steps": [step]})).unwrap();
    let refused = asked(&product, &made).unwrap_err();
    assert!(refused.starts_with("the administrator's address of acme/crm is used only"), "{refused}");
    assert_eq!(asked(&product, &crm(json!({}))), Ok(()), "it is not made yet");
}

#[test]
fn settings_are_listed_with_where_they_come_from_and_no_secret_is_shown() {
    let rows = |i: &CrmInstance| -> Vec<(String, String, &'static str)> {
        shown::rows(i, Some(&blueprint())).into_iter().map(|r| (r.name, r.value, r.from)).collect()
    };
    let row = |name: &str, value: &str, from| (name.to_owned(), value.to_owned(), from);
    assert_eq!(
        rows(&plain()),
        [
            row("api_key", "", "missing"),
            row("language", "en", "default"),
            row("odd", hide::DOTS, "spec"),
            row("smtp_host", "mx", "spec"),
            row("smtp_password", hide::DOTS, "spec"),
        ]
    );
    assert_eq!(rows(&from_secret())[3], row("smtp_password", "(Secret mine, key p)", "secret"));
    for i in [plain(), from_secret()] {
        for known in [Some(&blueprint()), None] {
            let page = shown::page(&i, known, now()).render(&Paint::default(), None);
            let all = format!("{page}{}{:?}", shown::document(&i, known), hide::lines(&i, known));
            assert!(!all.contains(PASSWORD), "{all}");
            assert!(page.contains("unreachable") && page.contains("2 h ago"), "{page}");
        }
    }
    let document = shown::document(&from_secret(), Some(&blueprint()));
    assert_eq!(document["settings"][3]["secret"], json!({"name": "mine", "key": "p"}));
    assert_eq!(document["settings"][3]["value"], Value::Null);
    assert_eq!(document["settings"][2]["integration"], "mail");
}

#[test]
fn a_document_leaves_secret_values_out_so_that_nobody_writes_dots_back() {
    let mut i = plain();
    hide::strip(&mut i, Some(&blueprint()));
    assert_eq!(i.spec.settings, BTreeMap::from([("smtp_host".to_owned(), "mx".to_owned())]));
    let mut i = plain();
    hide::strip(&mut i, None);
    assert!(i.spec.settings.is_empty(), "nobody knows which are secret");
}

#[test]
fn a_comparison_shows_that_a_secret_differs_and_not_what_it_is() {
    let object =
        |password: &str, host: &str| json!({"spec": {"settings": {"smtp_password": password, "smtp_host": host}}});
    let (mut before, mut after) = (Some(object(PASSWORD, "mx")), object("hunter23", "mx2"));
    hide::mask(&mut before, &mut after, Some(&blueprint()));
    assert_eq!(before, Some(object("(hidden)", "mx")));
    assert_eq!(after, object("(hidden, changed)", "mx2"));
    let (mut before, mut after) = (Some(object(PASSWORD, "mx")), object(PASSWORD, "mx"));
    hide::mask(&mut before, &mut after, None);
    assert_eq!((before, after), (Some(object("(hidden)", "(hidden)")), object("(hidden)", "(hidden)")));
}

#[test]
fn a_secret_on_a_command_line_is_refused_with_the_way_to_do_it() {
    let problem = change(&from_secret(), &blueprint(), &given("smtp_password", PASSWORD, true)).unwrap_err();
    let said = problem.render(Paint::default());
    assert_eq!(problem.exit, Exit::REFUSED);
    assert!(said.contains("instance settings set acme/crm --from-stdin smtp_password"), "{said}");
    assert!(said.contains("--from-file smtp_password=PATH") && !said.contains(PASSWORD), "{said}");
    let change = change(&from_secret(), &blueprint(), &given("smtp_password", PASSWORD, false)).unwrap();
    assert_eq!(change.secret["smtp_password"].reveal(), PASSWORD);
    assert!(change.plain.is_empty());
}

#[test]
fn a_value_that_does_not_fit_is_refused_before_anything_is_written() {
    for (key, value, exit) in [
        ("language", "english", Exit::USAGE),
        ("langage", "vi", Exit::NOT_FOUND),
        ("smtp_host", "x".repeat(1_001).as_str(), Exit::USAGE),
    ] {
        let problem = change(&plain(), &blueprint(), &given(key, value, true)).unwrap_err();
        assert_eq!(problem.exit, exit, "{key}: {problem:?}");
    }
    let fits = change(&plain(), &blueprint(), &given("language", "vi", true)).unwrap();
    assert_eq!(fits.plain, BTreeMap::from([("language".to_owned(), "vi".to_owned())]));
}

#[test]
fn a_setting_stands_in_one_place_after_a_change() {
    let secret =
        Change { secret: BTreeMap::from([("smtp_password".to_owned(), Secret::new(PASSWORD))]), ..Change::default() };
    let reference = json!({"secret": "kzzzzzzzzz-settings", "key": "smtp_password", "revision": "r"});
    assert_eq!(
        patch_of(&plain(), &secret, "kzzzzzzzzz-settings", "r"),
        json!({"settings": {"smtp_password": null}, "settingsFrom": {"smtp_password": reference}}),
        "what stood in the open is taken away"
    );
    assert_eq!(
        patch_of(&from_secret(), &secret, "kzzzzzzzzz-settings", "r"),
        json!({"settingsFrom": {"smtp_password": reference}})
    );
    let open = Change { plain: BTreeMap::from([("smtp_password".to_owned(), "x".to_owned())]), ..Change::default() };
    assert_eq!(
        patch_of(&from_secret(), &open, "s", "r"),
        json!({"settings": {"smtp_password": "x"}, "settingsFrom": {"smtp_password": null}})
    );
    let gone = ["smtp_password", "smtp_host", "language"].map(str::to_owned);
    let gone = Change { gone: BTreeSet::from(gone), ..Change::default() };
    assert_eq!(
        patch_of(&from_secret(), &gone, "s", "r"),
        json!({"settings": {"smtp_host": null}, "settingsFrom": {"smtp_password": null}})
    );
}

#[test]
fn the_secret_carries_the_labels_by_which_a_purge_finds_it() {
    let values = BTreeMap::from([("smtp_password".to_owned(), Secret::new(PASSWORD))]);
    let object = secret_object(&from_secret(), "kzzzzzzzzz-settings", &values);
    assert_eq!(object["metadata"]["labels"]["tenantry.dev/instance-id"], "kzzzzzzzzz");
    assert_eq!(object["metadata"]["labels"]["tenantry.dev/purpose"], "settings");
    assert_eq!(object["data"], json!({"smtp_password": "aHVudGVyMjI="}));
    let stored: k8s_openapi::api::core::v1::Secret = serde_json::from_value(object).unwrap();
    assert!(tenantry_plan::instance::usable(&stored, "kzzzzzzzzz").is_ok());
    assert!(tenantry_plan::instance::usable(&stored, "kyyyyyyyyy").is_err());
}

#[test]
fn an_integration_that_does_not_answer_fails_the_check_and_one_that_nobody_asked_does_not() {
    let with = |state: &str| instance("crm", json!({}), json!({"integrations": [{"name": "mail", "state": state}]}));
    for (state, fails) in [("answers", false), ("notChecked", false), ("unreachable", true), ("refused", true)] {
        assert_eq!(check::fails(&with(state)), fails, "{state}");
    }
    assert!(!check::fails(&instance("crm", json!({}), Value::Null)));
}

#[test]
fn names_and_settings_are_told_apart_on_the_command_line() {
    use clap::Parser;
    let fits = |line: &str| crate::command::Cli::try_parse_from(line.split(' ')).is_ok();
    for line in [
        "tenantry instance settings acme/crm",
        "tenantry instance settings -l tier=gold",
        "tenantry instance settings set acme/crm smtp_host=mx a=b",
        "tenantry instance settings set -l tier=gold smtp_host=mx --wait",
        "tenantry instance settings set acme/crm --from-stdin smtp_password --from-file api_key=/k",
        "tenantry instance settings unset --all smtp_host",
        "tenantry instance settings check acme/crm beta/crm",
        "tenantry instance settings check acme/crm --again",
        "tenantry instance settings check -l tier=gold --again --wait --timeout 90s",
    ] {
        assert!(fits(line), "{line}");
    }
    for line in ["tenantry instance settings set --from-file smtp_password", "tenantry instance settings unset"] {
        assert!(!fits(line), "{line}");
    }
}

/// An instance whose annotation asks for a check, and two integrations with the requests that they met.
fn asked(latest: &str, met: [Option<&str>; 2], more: Value) -> CrmInstance {
    let of = |name: &str, met: Option<&str>| json!({"name": name, "state": "unreachable", "checkedFor": met});
    let mut status = json!({"integrations": [of("mail", met[0]), of("sms", met[1])], "observedGeneration": 1});
    for (key, value) in more.as_object().unwrap() {
        status[key] = value.clone();
    }
    let mut instance = instance("crm", json!({}), status);
    instance.metadata.generation = Some(1);
    instance.metadata.annotations = Some([(names::ANNOTATION_CHECK.to_owned(), latest.to_owned())].into());
    instance
}

const NINE: &str = "2026-11-21T09:00:00.000Z";
const TEN: &str = "2026-11-21T10:00:00.000Z";

fn nine() -> Request {
    Request::parse(NINE).unwrap()
}

#[test]
fn a_check_is_waited_for_until_every_integration_was_checked_after_the_request() {
    let waits = |what: &str| Heard::Waits(what.into());
    assert_eq!(heard(&asked(NINE, [None, None], json!({})), &nine()), waits("mail, sms"));
    assert_eq!(heard(&asked(NINE, [Some(NINE), Some("2026-11-20T09:00:00Z")], json!({})), &nine()), waits("sms"));
    assert_eq!(heard(&asked(NINE, [Some(NINE), Some(NINE)], json!({})), &nine()), Heard::Whole);
    // Somebody else asked later, and the operator saw only that request.
    assert_eq!(heard(&asked(TEN, [Some(TEN), Some(NINE)], json!({})), &nine()), Heard::Whole);
    assert_eq!(heard(&asked(TEN, [Some(TEN), None], json!({})), &nine()), waits("sms"));
    // No integration is left that could be checked.
    assert_eq!(heard(&asked(NINE, [None, None], json!({"integrations": []})), &nine()), Heard::Whole);
}

#[test]
fn who_waits_for_a_check_is_told_what_keeps_the_operator_from_it() {
    let said = |kind: &str, reason: &str| {
        json!({"conditions": [{"type": kind, "status": "False", "reason": reason,
        "message": "no such Secret", "lastTransitionTime": "2026-11-21T08:00:00Z"}]})
    };
    let of = |more: Value| heard(&asked(NINE, [None, None], more), &nine());
    assert_eq!(of(said("SpecValid", "SecretMissing")), Heard::Never("SecretMissing: no such Secret".into()));
    let mut old = said("SpecValid", "SecretMissing");
    old["observedGeneration"] = 0.into();
    assert_eq!(of(old), Heard::Waits("mail, sms".into()), "said of an earlier spec");
    assert_eq!(of(said("Ready", "ServerAway")), Heard::Waits("ServerAway: no such Secret".into()));
    assert_eq!(of(said("Ready", "Suspended")), Heard::Waits("mail, sms".into()), "it is told at once that it is not");
    let mut going = asked(NINE, [None, None], json!({}));
    going.metadata.deletion_timestamp = going.metadata.creation_timestamp.clone();
    assert!(matches!(heard(&going, &nine()), Heard::Never(_)));
}

#[test]
fn a_document_tells_what_was_asked_and_what_was_met() {
    let document = check::document(&asked(TEN, [Some(TEN), None], json!({})));
    assert_eq!((&document["asked"], &document["integrations"][0]["checkedFor"]), (&json!(TEN), &json!(TEN)));
    assert_eq!(document["integrations"][1].get("checkedFor"), None);
    assert_eq!(check::document(&plain())["asked"], Value::Null);
}
