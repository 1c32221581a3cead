//! Layer 3: every blueprint that is shipped, planned and rendered whole: production, staging and template. Reads files.

// Helpers of tests are not inside a #[test], where the workspace allows these.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tenantry_api::blueprint::{Blueprint, BlueprintSpec, Effective, Neutralisation, StepList};
use tenantry_api::crm_instance::CrmInstance;
use tenantry_api::site::Site;
use tenantry_api::tenant::Tenant;
use tenantry_core::ledger::Limits;
use tenantry_core::secret::Secret;
use tenantry_core::{template, yaml};
use tenantry_plan::config::Config;
use tenantry_plan::context::{self, DatabaseAccess, Keys};
use tenantry_plan::instance::{Seen, Serving, Wanted, desired, validate};
use tenantry_plan::{Child, Kind, Settings, blueprint, job};

const MAIL: &str = "mx.customer.example";

/// Every blueprint that is shipped, by name, in the order of the names.
fn shipped() -> Vec<(String, Blueprint)> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../manifests/blueprints");
    let mut all: Vec<(String, Blueprint)> = std::fs::read_dir(root)
        .unwrap()
        .map(|file| {
            let path = file.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let text = std::fs::read_to_string(&path).unwrap();
            (name.clone(), yaml::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}")))
        })
        .collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

/// One product in one environment, with every setting of mail that it offers.
struct World {
    wanted: Wanted,
    settings: Settings,
    limits: Limits,
    database: Option<DatabaseAccess>,
    keys: Keys,
}

fn access(spec: &BlueprintSpec) -> Option<DatabaseAccess> {
    let engine = spec.database.as_ref()?.engines.first()?.engine;
    Some(DatabaseAccess {
        engine,
        host: "database".into(),
        port: engine.port(),
        name: "crm_kkkkkkkkkk_g1".into(),
        user: "crm_kkkkkkkkkk_g1".into(),
        password: Secret::new("sample-database-password"),
    })
}

fn world(name: &str, product: &Blueprint, release: Option<&str>, environment: &str) -> World {
    let site: Site = serde_json::from_value(json!({
        "apiVersion": "tenantry.dev/v1alpha1", "kind": "Site", "metadata": { "name": "site" },
        "spec": { "id": "site-1", "ingress": { "className": "nginx", "tls": true }, "podSecurity": "baseline" },
    }))
    .unwrap();
    let settings = Settings::of_site(&site);
    let tenant: Tenant = serde_json::from_value(json!({
        "apiVersion": "tenantry.dev/v1alpha1", "kind": "Tenant", "metadata": { "name": "acme" },
        "spec": { "id": "abcdefghij", "plan": "fibo-2", "displayName": "Acme O'Brien & Co." },
    }))
    .unwrap();
    let mail = [
        ("smtp_host", MAIL),
        ("smtp_user", "mail@acme.example"),
        ("smtp_password", "sample-p%40'ss"),
        ("smtp_from", "crm@acme.example"),
    ];
    let offered = &product.spec.settings;
    let given: BTreeMap<&str, &str> = mail.into_iter().filter(|(name, _)| offered.contains_key(*name)).collect();
    let object: CrmInstance = serde_json::from_value(json!({
        "apiVersion": "tenantry.dev/v1alpha1", "kind": "CrmInstance",
        "metadata": { "name": "crm", "namespace": "tenant-abcdefghij" },
        "spec": { "id": "kkkkkkkkkk", "tenant": "acme", "blueprint": name, "host": "crm.acme.example",
                  "environment": environment, "settings": given },
    }))
    .unwrap();
    let release = Effective::pin(name, &product.spec, release).unwrap();
    let wanted =
        validate(&object, &tenant, &release, &settings, 1, &BTreeMap::new()).unwrap_or_else(|e| panic!("{name}: {e}"));
    let limits = Limits {
        plan: "fibo-2".into(),
        seats: Some(7),
        storage_bytes: 10_000_000_000,
        bandwidth_bytes: None,
        records: None,
    };
    let secrets = product.spec.secrets.iter();
    let keys = Keys {
        admin_password: Secret::new("sample-admin-password"),
        secrets: secrets.map(|s| (s.name.clone(), Secret::new(format!("sample-{}", s.name)))).collect(),
    };
    World { wanted, settings, limits, database: access(&product.spec), keys }
}

impl World {
    fn children(&self) -> Vec<Child> {
        let seen = Seen { serving: Some(Serving::App), app_ready: true, verified: true, ..Seen::default() };
        let (settings, limits, keys) = (&self.settings, &self.limits, &self.keys);
        let plan = desired(&self.wanted, settings, limits, None, self.database.as_ref(), keys, &seen);
        plan.unwrap_or_else(|e| panic!("{}: {e}", self.wanted.release.blueprint)).children
    }

    fn values(&self) -> Value {
        context::instance(&self.wanted, &self.settings, &self.limits, self.database.as_ref(), &self.keys)
    }
}

/// What the SQL and the commands of a list become, one text.
fn steps(name: &str, place: &str, list: &StepList, values: &Value) -> String {
    let sql = job::sql(name, place, list, values).unwrap_or_else(|e| panic!("{name}: {e}"));
    let file = job::file(name, place, list, values).unwrap_or_else(|e| panic!("{name}: {e}"));
    assert_eq!(sql.len() + file.steps.len(), list.steps.len(), "{name}: {place}: a step is left out");
    let sql: Vec<&str> = sql.iter().map(|(_, text)| text.as_str()).collect();
    format!("{}\n{}", sql.join("\n"), serde_json::to_string(&file.steps).unwrap())
}

/// Every list of steps that an instance runs, by place.
fn lists(spec: &BlueprintSpec) -> Vec<(&'static str, StepList)> {
    let all = [
        ("personalise", spec.personalise.clone()),
        ("neutralise", spec.neutralise.as_ref().map(Neutralisation::list)),
        ("migrate.steps", spec.migrate.as_ref().and_then(|m| m.steps.clone())),
    ];
    all.into_iter().filter_map(|(place, list)| list.map(|list| (place, list))).collect()
}

/// Every text of a verification with something captured for each name.
fn verification(name: &str, spec: &BlueprintSpec, values: &Value) -> usize {
    let Some(verify) = &spec.verify else { return 0 };
    let mut values = values.clone();
    let names = verify.steps.iter().flat_map(|s| s.capture.keys());
    values["captures"] = names.map(|n| (n.clone(), Value::from("12x345"))).collect::<serde_json::Map<_, _>>().into();
    for step in &verify.steps {
        let mut texts: Vec<&String> = step.headers.values().chain(&step.body).collect();
        texts.push(&step.path);
        texts.extend(step.expect.iter().flat_map(|e| e.equals.iter().chain(&e.contains).chain(&e.not_contains)));
        for text in texts {
            template::render(&step.name, text, &values).unwrap_or_else(|e| panic!("{name}: {e}"));
        }
    }
    verify.steps.len()
}

#[test]
fn every_product_is_sound() {
    for (name, product) in shipped() {
        assert_eq!(blueprint::problems(&product.spec), Vec::<String>::new(), "{name}");
        assert_eq!(product.metadata.name.as_deref(), Some(name.as_str()), "the file is named after the blueprint");
    }
}

#[test]
fn every_release_of_every_product_is_rendered_whole_in_every_environment() {
    for (name, product) in shipped() {
        for release in &product.spec.releases {
            for environment in ["production", "staging", "rehearsal"] {
                let world = world(&name, &product, Some(&release.version), environment);
                assert!(world.children().iter().any(|c| c.kind == Kind::Deployment), "{name}");
                let values = world.values();
                for (place, list) in &lists(&product.spec) {
                    assert!(steps(&name, place, list, &values).len() > 10, "{name}: {place}");
                }
                for sql in product.spec.migrate.iter().flat_map(|m| m.verify_sql.iter().chain(&m.before_sql)) {
                    template::render("migrate", sql, &values).unwrap_or_else(|e| panic!("{name}: {e}"));
                }
                assert!(verification(&name, &product.spec, &values) >= 4, "{name}: hardly verified");
            }
        }
    }
}

#[test]
fn every_template_is_rendered_without_an_instance() {
    for (name, product) in shipped() {
        let world = world(&name, &product, None, "production");
        let Some(list) = &product.spec.install else { continue };
        let values =
            context::template(&world.wanted.release, &world.settings, world.database.as_ref().unwrap(), &world.keys);
        assert!(steps(&name, "install", list, &values).len() > 10, "{name}");
        let config = Config::render(&name, &product.spec, &values, false).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(config.files.len(), product.spec.files.len(), "{name}");
        let text = json!(config.data).to_string();
        assert!(!text.contains("acme"), "{name}: a template knows a tenant");
    }
}

#[test]
fn no_secret_of_any_product_stands_outside_a_secret() {
    for (name, product) in shipped() {
        for child in world(&name, &product, None, "production").children() {
            let text = child.object.to_string();
            assert!(child.kind == Kind::Secret || !text.contains("sample-"), "{name}: {}", child.describe());
        }
    }
}

#[test]
fn mail_has_the_same_settings_everywhere() {
    for (name, product) in shipped() {
        let offered = &product.spec.settings;
        if !offered.contains_key("smtp_host") {
            continue;
        }
        let defaults = [
            ("smtp_host", ""),
            ("smtp_user", ""),
            ("smtp_password", ""),
            ("smtp_security", "starttls"),
            ("smtp_from", ""),
        ];
        for (setting, default) in defaults {
            let found = offered.get(setting).unwrap_or_else(|| panic!("{name} has no setting {setting}"));
            assert_eq!(found.default.as_deref(), Some(default), "{name}: {setting}");
            assert_eq!(found.secret, setting == "smtp_password", "{name}: {setting}");
        }
        // Empty is the usual port of the chosen security, where the product's file can tell.
        let port = offered["smtp_port"].default.as_deref();
        assert!(matches!(port, Some("587" | "")), "{name}: {port:?}");
        assert_eq!(offered["smtp_security"].pattern.as_deref(), Some("none|starttls|tls"), "{name}");
    }
}

#[test]
fn a_copy_is_told_no_mail_server_and_the_original_is() {
    for (name, product) in shipped() {
        if !product.spec.settings.contains_key("smtp_host") {
            continue;
        }
        let told = |environment: &str| {
            let world = world(&name, &product, None, environment);
            let values = world.values();
            let mut text: String = world.children().iter().map(|c| c.object.to_string()).collect();
            for (place, list) in &lists(&product.spec) {
                text.push_str(&steps(&name, place, list, &values));
            }
            text.contains(MAIL)
        };
        assert!(told("production"), "{name}: the mail server is nowhere");
        for environment in ["staging", "rehearsal"] {
            assert!(!told(environment), "{name}: {environment} is told the mail server");
        }
    }
}

/// A rendered file of a product by its path.
fn file<'a>(spec: &'a BlueprintSpec, path: &str) -> &'a str {
    let found = spec.files.iter().find(|f| f.path == path);
    &found.unwrap_or_else(|| panic!("no file {path}")).content
}

fn vtiger() -> Blueprint {
    shipped().into_iter().find(|(name, _)| name == "vtiger").unwrap().1
}

#[test]
fn a_program_of_vtiger_that_did_not_reach_its_end_has_failed() {
    let spec = vtiger().spec;
    let begin = file(&spec, "/etc/tenantry/vtiger.php");
    assert!(begin.contains("register_shutdown_function"), "a die() would end with 0 and say nothing");
    let mut all = lists(&spec);
    all.extend(spec.install.clone().map(|list| ("install", list)));
    let last = all.iter().flat_map(|(_, list)| &list.steps).filter_map(|step| step.command.last());
    let programs: Vec<&String> = last.filter(|word| word.starts_with("/etc/tenantry/")).collect();
    assert_eq!(programs.len(), 4, "{programs:?}");
    for program in programs {
        let text = file(&spec, program);
        assert!(text.starts_with("<?php\nrequire '/etc/tenantry/vtiger.php';\n"), "{program}");
        assert!(text.trim_end().ends_with("tenantry_done(null);"), "{program}");
        // It reads the file that is to be made, and dies.
        assert!(!text.contains("getActiveAdminUser("), "{program}");
    }
}

#[test]
fn vtiger_takes_the_step_to_its_own_tables_and_writes_into_a_copy_of_its_code() {
    let spec = vtiger().spec;
    let migrate = spec.migrate.as_ref().unwrap().steps.as_ref().unwrap();
    for (list, program) in [(spec.install.as_ref().unwrap(), "install"), (migrate, "migrate")] {
        let text = file(&spec, &format!("/etc/tenantry/vtiger-{program}.php"));
        assert!(text.contains("require 'modules/Migration/schema/810_to_820.php';"), "{program}");
        let steps = |name: &str| list.steps.iter().position(|s| s.name == name).unwrap();
        assert!(steps("copy of the code") < steps("database"), "{program}");
        assert_eq!(
            list.steps[steps("database")].working_dir.as_deref(),
            Some("/var/www/html/storage/build"),
            "{program}"
        );
    }
    assert!(file(&spec, "/var/www/html/config.inc.php").contains("$root_directory = __DIR__ . '/';"));
}

#[test]
fn vtiger_is_told_its_mail_server_at_each_start() {
    let product = vtiger();
    let world = world("vtiger", &product, None, "production");
    let personalise = steps("vtiger", "personalise", product.spec.personalise.as_ref().unwrap(), &world.values());
    assert!(!personalise.contains(MAIL), "what is written once never hears of later settings");
    let text: String = world.children().iter().map(|c| c.object.to_string()).collect();
    assert!(text.contains(&format!("'server' => 'tls://{MAIL}:587'")));
    let command = product.spec.processes[0].command.join(" ");
    assert!(command.contains("php -f /etc/tenantry/vtiger-mail.php; exec "), "{command}");
}

#[test]
fn the_end_of_a_session_of_vtiger_is_borne_though_it_fails() {
    let spec = vtiger().spec;
    let out = spec.verify.as_ref().unwrap().steps.iter().find(|s| s.name == "log out").unwrap();
    assert_eq!(out.status, [200, 500]);
    assert!(out.expect.is_empty());
}

#[test]
fn every_product_says_what_is_true_of_a_copy_that_can_write_to_nobody() {
    for (name, product) in shipped() {
        let stated = product.spec.neutralise.as_ref().map(|n| n.verify_sql.len());
        assert!(stated.is_some_and(|n| n > 0), "{name}: {stated:?}");
    }
}

#[test]
fn what_acts_on_customers_waits_for_the_verification() {
    for (name, product) in shipped() {
        let world = world(&name, &product, None, "production");
        let (settings, limits, keys) = (&world.settings, &world.limits, &world.keys);
        let seen = Seen { serving: Some(Serving::App), app_ready: true, ..Seen::default() };
        let plan = desired(&world.wanted, settings, limits, None, world.database.as_ref(), keys, &seen).unwrap();
        let named = |n: &str| product.spec.processes.iter().find(|p| n.ends_with(&format!("-{}", p.name)));
        for child in plan.children.iter().filter(|c| c.kind == Kind::Deployment) {
            let process = named(&child.name).unwrap();
            let runs = child.object["spec"]["replicas"] != json!(0);
            let wanted = !process.after_verify && process.replicas.default > 0;
            assert_eq!(runs, wanted, "{name}: {}", child.name);
        }
        assert!(plan.children.iter().filter(|c| c.kind == Kind::CronJob).all(|c| c.object["spec"]["suspend"] == true));
    }
}

#[test]
fn the_children_of_every_product_are_as_written_down() {
    for (name, product) in shipped() {
        let shown: Vec<Value> =
            world(&name, &product, None, "production").children().into_iter().map(|c| c.object).collect();
        insta::assert_yaml_snapshot!(format!("production_of_{name}"), shown);
    }
}
