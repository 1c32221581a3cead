//! What the Request Tracker blueprint renders: quoting, mail by environment, ports, hashes. Reads files only.

// Helpers of tests are not inside a #[test], where the workspace allows these.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tenantry_api::blueprint::{Blueprint, BlueprintSpec, Effective};
use tenantry_api::crm_instance::CrmInstance;
use tenantry_api::site::Site;
use tenantry_api::tenant::Tenant;
use tenantry_core::ledger::Limits;
use tenantry_core::secret::Secret;
use tenantry_core::yaml;
use tenantry_plan::config::{Config, render};
use tenantry_plan::context::{self, DatabaseAccess, Keys};
use tenantry_plan::instance::validate;
use tenantry_plan::{PlanError, Settings, job};

fn blueprint() -> Blueprint {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../manifests/blueprints/request-tracker.yaml");
    yaml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn of<T: serde::de::DeserializeOwned>(kind: &str, metadata: Value, spec: Value) -> T {
    let object = json!({ "apiVersion": "tenantry.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec });
    serde_json::from_value(object).unwrap()
}

fn keys() -> Keys {
    Keys { admin_password: Secret::new("first-password"), secrets: BTreeMap::new() }
}

fn database() -> DatabaseAccess {
    DatabaseAccess {
        engine: "mariadb".parse().unwrap(),
        host: "maria".into(),
        port: 3306,
        name: "crm_kkkkkkkkkk_g1".into(),
        user: "crm_kkkkkkkkkk_g1".into(),
        password: Secret::new("it's \\ $me@"),
    }
}

/// The values of an instance on a site with this ingress.
fn values(environment: &str, ingress: Value, settings: Value) -> Result<Value, PlanError> {
    let site: Site = of("Site", json!({ "name": "site" }), json!({ "id": "site-1", "ingress": ingress }));
    let site = Settings::of_site(&site);
    let tenant: Tenant = of("Tenant", json!({ "name": "acme" }), json!({ "id": "abcdefghij", "plan": "fibo-2" }));
    let instance: CrmInstance = of(
        "CrmInstance",
        json!({ "name": "desk", "namespace": "tenant-abcdefghij" }),
        json!({ "id": "kkkkkkkkkk", "tenant": "acme", "blueprint": "request-tracker", "host": "desk.acme.example",
                "environment": environment, "settings": settings }),
    );
    let release = Effective::pin("request-tracker", &blueprint().spec, None).unwrap();
    let wanted = validate(&instance, &tenant, &release, &site, 1, &std::collections::BTreeMap::new())?;
    let limits =
        Limits { plan: "fibo-2".into(), seats: Some(3), storage_bytes: 1, bandwidth_bytes: None, records: None };
    Ok(context::instance(&wanted, &site, &limits, Some(&database()), &keys()))
}

/// Content of both files.
fn files(spec: &BlueprintSpec, values: &Value) -> (String, String) {
    let config = Config::render("request-tracker", spec, values, true).unwrap();
    (config.data["file-0"].clone(), config.data["file-1"].clone())
}

fn mail() -> Value {
    json!({ "smtp_host": "mail.acme.example", "smtp_user": "desk", "smtp_password": "p\"a's #x \\z",
            "smtp_from": "desk@acme.example" })
}

fn has(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(text.lines().any(|l| l == *line), "{line}\nis not in\n{text}");
    }
}

#[test]
fn production_sends_by_its_mail_server_with_the_password_in_a_file_alone() {
    let values = values("production", json!({ "tls": true }), mail()).unwrap();
    let (site, msmtp) = files(&blueprint().spec, &values);
    has(
        &site,
        &[
            "Set($MailCommand, 'sendmailpipe');",
            "Set($SendmailArguments, '20 /usr/sbin/sendmail -oi');",
            "Set($CorrespondAddress, 'desk@acme.example');",
            "Set($CommentAddress, 'desk@acme.example');",
            "Set($DatabasePassword, 'it\\'s \\\\ $me@');",
            "Set($rtname, 'acme');",
            "Set($Organization, 'acme');",
            "Set($WebBaseURL, 'https://desk.acme.example');",
            "Set($WebPort, 443);",
            "Set($WebSecureCookies, 1);",
        ],
    );
    has(
        &msmtp,
        &[
            "host mail.acme.example",
            "port 587",
            "from \"desk@acme.example\"",
            "tls on",
            "tls_starttls on",
            "auth on",
            "user \"desk\"",
            "password \"p\"a's #x \\z\"",
        ],
    );
    assert!(!site.contains("p\"a's"), "{site}");
}

#[test]
fn each_way_of_keeping_the_connection_from_others_is_rendered() {
    let words = [("none", "tls off"), ("starttls", "tls_starttls on"), ("tls", "tls_starttls off")];
    for (security, line) in words {
        let mut settings = mail();
        settings["smtp_security"] = security.into();
        let (_, msmtp) = files(&blueprint().spec, &values("production", json!({}), settings).unwrap());
        has(&msmtp, &[line]);
        assert_eq!(msmtp.contains("tls on"), security != "none", "{msmtp}");
    }
}

#[test]
fn staging_rehearsal_and_production_without_a_mail_server_send_nothing() {
    for (environment, settings) in [("staging", mail()), ("rehearsal", mail()), ("production", json!({}))] {
        let values = values(environment, json!({ "tls": true }), settings).unwrap();
        let (site, msmtp) = files(&blueprint().spec, &values);
        has(&site, &["Set($MailCommand, sub { return -1 });"]);
        has(&msmtp, &["host 127.0.0.1", "port 9"]);
        for word in ["sendmail", "mail.acme.example", "p\"a's"] {
            assert!(!site.contains(word) && !msmtp.contains(word), "{environment}: {word}\n{site}\n{msmtp}");
        }
    }
}

#[test]
fn the_port_that_browsers_use_is_the_ingress_one() {
    let cases = [
        (json!({ "tls": true }), "Set($WebPort, 443);"),
        (json!({ "tls": true, "port": 8443 }), "Set($WebPort, 8443);"),
        (json!({ "tls": false }), "Set($WebPort, 80);"),
        (json!({ "tls": false, "port": 8092 }), "Set($WebPort, 8092);"),
    ];
    for (ingress, line) in cases {
        let secure = ingress["tls"] == true;
        let (site, _) = files(&blueprint().spec, &values("production", ingress, json!({})).unwrap());
        has(&site, &[line]);
        assert_eq!(site.contains("WebSecureCookies"), secure, "{site}");
    }
}

#[test]
fn the_template_is_installed_without_an_instance_and_without_mail() {
    let release = Effective::pin("request-tracker", &blueprint().spec, None).unwrap();
    let site: Site = of("Site", json!({ "name": "site" }), json!({ "id": "site-1" }));
    let values = context::template(&release, &Settings::of_site(&site), &database(), &keys());
    let (site, msmtp) = files(&release.spec, &values);
    has(&site, &["Set($rtname, 'template');", "Set($MailCommand, sub { return -1 });"]);
    has(&msmtp, &["host 127.0.0.1"]);
}

#[test]
fn settings_that_would_leave_their_place_in_a_file_are_refused() {
    let wrong = [
        ("languages", "en); system('id'"),
        ("smtp_host", "mail\npassword x"),
        ("smtp_password", "a\nhost evil"),
        ("smtp_user", "a\tb\u{7f}"),
        ("smtp_port", "25 # x"),
        ("smtp_security", "maybe"),
        ("smtp_from", "a@b\" x"),
        ("rt_name", "it's"),
    ];
    for (name, value) in wrong {
        let error = values("production", json!({}), json!({ name: value })).unwrap_err().to_string();
        assert!(error.contains(&format!("settings.{name}")), "{name}: {error}");
    }
}

#[test]
fn the_first_password_travels_as_a_hash_and_no_job_shows_the_mail_password() {
    let values = values("production", json!({}), mail()).unwrap();
    let list = blueprint().spec.personalise.unwrap();
    assert!(job::is_sql(&list));
    let sql = list.steps[0].sql.as_deref().unwrap();
    let text = render("request-tracker", "personalise", sql, &values).unwrap();
    assert!(!text.contains("first-password"), "{text}");
    // md5 of the password, from another implementation.
    assert!(text.contains(&format!("UNHEX('{FIRST_PASSWORD_MD5}')")), "{text}");
    let install = job::file("request-tracker", "install", &blueprint().spec.install.unwrap(), &values).unwrap();
    assert!(install.redact.iter().any(|t| t == "p\"a's #x \\z"), "{:?}", install.redact);
}

/// `printf first-password | md5sum`.
const FIRST_PASSWORD_MD5: &str = "b975f06bfd229cc7f1c47a1ade7720ce";
