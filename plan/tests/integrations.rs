//! Settings by Secret and the integrations of the real Tryton blueprint, from the instance to file and check. Reads
//! files only.

// Helpers of tests are not inside a #[test], where the workspace allows these.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tenantry_api::blueprint::{Blueprint, Effective};
use tenantry_api::crm_instance::CrmInstance;
use tenantry_api::site::Site;
use tenantry_api::tenant::Tenant;
use tenantry_core::address::Ranges;
use tenantry_core::ledger::Limits;
use tenantry_core::secret::Secret;
use tenantry_core::smtp::Security;
use tenantry_core::template::Redactor;
use tenantry_core::yaml;
use tenantry_plan::config::{Config, without_secrets};
use tenantry_plan::context::{self, DatabaseAccess, Keys};
use tenantry_plan::instance::{Wanted, in_the_open, validate};
use tenantry_plan::integrations::{Target, Work, work};
use tenantry_plan::{PlanError, Settings};

const PASSWORD: &str = "hunter 22/+";

fn settings() -> Settings {
    let site = json!({ "apiVersion": "tenantry.dev/v1alpha1", "kind": "Site", "metadata": { "name": "site" },
        "spec": { "id": "site-1", "internalCidrs": ["10.20.0.25/32"] } });
    Settings::of_site(&serde_json::from_value::<Site>(site).unwrap())
}

fn instance(spec: &Value) -> CrmInstance {
    let mut all = json!({ "id": "kkkkkkkkkk", "tenant": "acme", "blueprint": "tryton", "host": "crm.acme.example" });
    all.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    serde_json::from_value(json!({ "apiVersion": "tenantry.dev/v1alpha1", "kind": "CrmInstance",
        "metadata": { "name": "crm", "namespace": "tenant-abcdefghij" }, "spec": all }))
    .unwrap()
}

fn wanted(spec: &Value, values: &[(&str, &str)]) -> Result<Wanted, PlanError> {
    let tenant = json!({ "apiVersion": "tenantry.dev/v1alpha1", "kind": "Tenant", "metadata": { "name": "acme" },
        "spec": { "id": "abcdefghij", "plan": "fibo-2" } });
    let tenant: Tenant = serde_json::from_value(tenant).unwrap();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../manifests/blueprints/tryton.yaml");
    let tryton: Blueprint = yaml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let release = Effective::pin("tryton", &tryton.spec, None).unwrap();
    let values: BTreeMap<String, Secret> =
        values.iter().map(|(name, text)| ((*name).to_owned(), Secret::new(*text))).collect();
    validate(&instance(spec), &tenant, &release, &settings(), 1, &values)
}

fn values(wanted: &Wanted) -> Value {
    let limits =
        Limits { plan: "fibo-2".into(), seats: Some(3), storage_bytes: 1, bandwidth_bytes: None, records: None };
    let keys = Keys { admin_password: Secret::new("first-password"), secrets: BTreeMap::new() };
    let database = DatabaseAccess {
        engine: "postgresql".parse().unwrap(),
        host: "pg".into(),
        port: 5432,
        name: "db".into(),
        user: "user".into(),
        password: Secret::new("database-password"),
    };
    context::instance(wanted, &settings(), &limits, Some(&database), &keys)
}

/// The `[email]` part of trytond.conf.
fn email(wanted: &Wanted) -> String {
    let config = Config::render("tryton", &wanted.release.spec, &values(wanted), true).unwrap();
    let rest = config.data["file-0"].split("[email]\n").nth(1).unwrap();
    rest.split("\n[").next().unwrap().trim().to_owned()
}

fn mail(more: Value) -> Value {
    let mut spec = json!({
        "settings": { "smtp_host": "mx.acme.example", "smtp_user": "crm@acme.example", "smtp_from": "crm@acme.example" },
        "settingsFrom": { "smtp_password": { "secret": "kkkkkkkkkk-settings", "key": "smtp_password" } },
    });
    for (key, value) in more.as_object().unwrap() {
        match value {
            Value::Object(map) => spec[key].as_object_mut().unwrap().extend(map.clone()),
            other => spec[key] = other.clone(),
        }
    }
    spec
}

#[test]
fn a_mail_server_reaches_trytonds_configuration_with_its_password_from_a_secret() {
    let secret = [("smtp_password", PASSWORD)];
    for (more, uri) in [
        (json!({}), "smtp+tls://crm%40acme.example:hunter%2022%2F%2B@mx.acme.example:587"),
        (json!({ "smtp_security": "tls" }), "smtps://crm%40acme.example:hunter%2022%2F%2B@mx.acme.example:465"),
        (json!({ "smtp_security": "none", "smtp_user": "", "smtp_port": "2525" }), "smtp://mx.acme.example:2525"),
        (json!({ "smtp_host": "" }), "smtp://127.0.0.1:9"),
    ] {
        let wanted = wanted(&mail(json!({ "settings": more })), &secret).unwrap();
        assert_eq!(email(&wanted), format!("uri = {uri}\nfrom = crm@acme.example"));
    }
    let nothing = wanted(&json!({}), &[]).unwrap();
    assert_eq!(email(&nothing), "uri = smtp://127.0.0.1:9");
}

#[test]
fn a_copy_writes_to_nobody_and_asks_nobody() {
    for environment in ["staging", "rehearsal"] {
        let copy = wanted(&mail(json!({ "environment": environment })), &[("smtp_password", PASSWORD)]).unwrap();
        assert!(email(&copy).starts_with("uri = smtp://127.0.0.1:9"), "{}", email(&copy));
        let work = work(&copy, &Ranges::default(), &values(&copy));
        assert!(matches!(&work[0].1, Work::Not(why) if why.contains(environment)), "{work:?}");
    }
}

#[test]
fn a_check_leads_where_the_settings_lead() {
    let wanted = wanted(&mail(json!({})), &[("smtp_password", PASSWORD)]).unwrap();
    let ranges = Ranges { internal: vec!["10.20.0.25/32".to_owned()], ..Ranges::default() };
    let all = work(&wanted, &ranges, &values(&wanted));
    let [(name, Work::Check(aim))] = all.as_slice() else { panic!("{all:?}") };
    assert_eq!((name.as_str(), aim.ranges.internal.as_slice()), ("mail", ["10.20.0.25/32".to_owned()].as_slice()));
    let login = Some(("crm@acme.example".to_owned(), Secret::new(PASSWORD)));
    let (host, security) = ("mx.acme.example".to_owned(), Security::Starttls);
    assert_eq!(aim.target, Target::Smtp { host, port: 587, security, login });
    let mut suspended = wanted.clone();
    suspended.suspended = Some("invoice".into());
    assert!(
        matches!(&work(&suspended, &Ranges::default(), &values(&suspended))[0].1, Work::Not(why) if why.contains("suspended"))
    );
}

#[test]
fn a_value_from_a_secret_is_secret_whatever_the_blueprint_says_of_the_setting() {
    let spec = json!({ "settingsFrom": { "smtp_from": { "secret": "mine", "key": "from" } } });
    let wanted = wanted(&spec, &[("smtp_from", "hidden@acme.example")]).unwrap();
    let values = values(&wanted);
    assert!(!Redactor::new(&values).redact("550 hidden@acme.example").contains("hidden"));
    let open = without_secrets(&values);
    assert!(open["settings"].get("smtp_from").is_none() && open["settings"].get("smtp_host").is_some());
    assert!(open["settings"].get("smtp_password").is_none());
}

#[test]
fn what_a_secret_holds_is_checked_as_what_the_spec_holds_and_not_repeated() {
    let spec = mail(json!({}));
    let long = "x".repeat(1_001);
    for (value, words) in [("hunter\n22", "does not match"), (long.as_str(), "longer than 1000 characters")] {
        let said = wanted(&spec, &[("smtp_password", value)]).unwrap_err().to_string();
        assert!(said.contains("spec.settingsFrom.smtp_password") && said.contains(words), "{said}");
        assert!(!said.contains("hunter") && !said.contains("xxx"), "{said}");
    }
    let unread = wanted(&spec, &[]).unwrap_err();
    assert!(matches!(&unread, PlanError::Blocked(t) if t.contains("kkkkkkkkkk-settings")), "{unread}");
    let unknown = json!({ "settingsFrom": { "smpt_host": { "secret": "a", "key": "b" } } });
    let said = wanted(&unknown, &[("smpt_host", "x")]).unwrap_err().to_string();
    assert!(said.contains("spec.settingsFrom.smpt_host") && said.contains("smtp_host"), "{said}");
}

#[test]
fn secrets_in_plain_settings_are_named() {
    let release = wanted(&json!({}), &[]).unwrap().release;
    let open = instance(&json!({ "settings": { "smtp_password": "hunter22", "smtp_host": "mx.acme.example" } }));
    assert_eq!(in_the_open(&open.spec, &release.spec), ["smtp_password"]);
    let closed = instance(&mail(json!({})));
    assert_eq!(in_the_open(&closed.spec, &release.spec), Vec::<&str>::new());
}
