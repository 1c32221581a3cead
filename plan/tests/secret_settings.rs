//! Settings that a blueprint declares as secret: out of messages, logs and command lines. No I/O.

// Helpers of tests are not inside a #[test], where the workspace allows these.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tenantry_api::blueprint::{BlueprintSpec, Effective};
use tenantry_api::crm_instance::CrmInstance;
use tenantry_api::site::Site;
use tenantry_api::tenant::Tenant;
use tenantry_core::ledger::Limits;
use tenantry_core::secret::Secret;
use tenantry_plan::config::without_secrets;
use tenantry_plan::context::{self, Keys};
use tenantry_plan::instance::{Wanted, validate};
use tenantry_plan::{PlanError, Settings, blueprint, job};

const MAIL: &str = "smtp://mail:hunter22@mx.example";

fn spec(command: &str) -> BlueprintSpec {
    serde_json::from_value(json!({
        "title": "Notes",
        "settings": {
            "mail": { "pattern": "smtp://.*", "secret": true },
            "language": { "default": "en" },
        },
        "releases": [{ "version": "1.0", "image": "notes:1.0" }],
        "processes": [{ "name": "web" }],
        "personalise": { "steps": [
            { "name": "mail", "command": ["set", command], "env": { "MAIL": "{{ settings.mail }}" } },
        ] },
    }))
    .unwrap()
}

fn object(kind: &str, metadata: Value, spec: Value) -> Value {
    json!({ "apiVersion": "tenantry.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec })
}

fn site() -> Settings {
    let site = object("Site", json!({ "name": "site" }), json!({ "id": "site-1" }));
    Settings::of_site(&serde_json::from_value::<Site>(site).unwrap())
}

fn wanted(mail: &str) -> Result<Wanted, PlanError> {
    let tenant = object("Tenant", json!({ "name": "acme" }), json!({ "id": "abcdefghij", "plan": "fibo-2" }));
    let tenant: Tenant = serde_json::from_value(tenant).unwrap();
    let spec_of = json!({ "id": "kkkkkkkkkk", "tenant": "acme", "blueprint": "notes", "host": "crm.acme.example",
        "settings": { "mail": mail } });
    let instance = object("CrmInstance", json!({ "name": "crm", "namespace": "tenant-abcdefghij" }), spec_of);
    let instance: CrmInstance = serde_json::from_value(instance).unwrap();
    let release = Effective::pin("notes", &spec("{{ settings.language }}"), None).unwrap();
    validate(&instance, &tenant, &release, &site(), 1, &BTreeMap::new())
}

fn values() -> Value {
    let limits =
        Limits { plan: "fibo-2".into(), seats: Some(3), storage_bytes: 1, bandwidth_bytes: None, records: None };
    let keys = Keys { admin_password: Secret::new("first-password"), secrets: BTreeMap::new() };
    context::instance(&wanted(MAIL).unwrap(), &site(), &limits, None, &keys)
}

#[test]
fn a_refused_value_is_not_repeated() {
    let said = wanted("imap://mail:hunter22@mx.example").unwrap_err().to_string();
    assert!(said.contains("settings.mail") && said.contains("does not match smtp://.*"), "{said}");
    assert!(!said.contains("hunter22"), "{said}");
}

#[test]
fn a_job_keeps_a_secret_setting_out_of_its_log_and_out_of_command_lines() {
    let list = spec("{{ settings.language }}").personalise.unwrap();
    let file = job::file("notes", "personalise", &list, &values()).unwrap();
    for text in [MAIL, "hunter22", "first-password"] {
        assert!(file.redact.iter().any(|t| t == text), "{text}: {:?}", file.redact);
    }
    assert!(!file.redact.iter().any(|t| t == "en"));
    assert_eq!(file.steps[0].env["MAIL"], MAIL);
    let open = without_secrets(&values());
    assert_eq!(open["settings"], json!({ "language": "en" }));
    let list = spec("{{ settings.mail }}").personalise.unwrap();
    let error = job::file("notes", "personalise", &list, &values()).unwrap_err().to_string();
    assert!(error.contains("settings.mail") && !error.contains("hunter22"), "{error}");
}

#[test]
fn a_blueprint_that_puts_a_secret_setting_into_a_command_line_is_refused() {
    assert_eq!(blueprint::problems(&spec("{{ settings.language }}")), Vec::<String>::new());
    for command in ["{{ settings.mail }}", "{{ settings|tojson }}"] {
        let said = blueprint::problems(&spec(command)).join("\n");
        assert!(said.contains("would stand in a command line"), "{command}: {said}");
    }
}
