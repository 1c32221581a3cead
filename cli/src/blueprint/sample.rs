//! A sample instance, and all templates of a blueprint rendered for it. No I/O.
//!
//! The values come from `tenantry_plan::context`, the function that the operator uses.

use std::collections::BTreeMap;

use kube::ResourceExt;
use serde_json::{Value, json};
use tenantry_api::blueprint::{Blueprint, BlueprintSpec, Effective};
use tenantry_api::crm_instance::Environment;
use tenantry_api::site::Site;
use tenantry_core::id::Id;
use tenantry_core::ledger::Limits;
use tenantry_core::secret::Secret;
use tenantry_core::steps::Step;
use tenantry_core::template;
use tenantry_plan::context::{self, DatabaseAccess, Keys};

/// Choices for the sample instance.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// None means the newest release of the stable channel.
    pub release: Option<String>,
    pub environment: Environment,
    pub host: Option<String>,
    pub settings: BTreeMap<String, String>,
}

/// A template and its place in the blueprint.
struct Template<'a> {
    place: String,
    source: &'a str,
}

/// Renders every template of a blueprint except those of the verification. Returns each with its place, or all errors.
pub fn rendered(blueprint: &Blueprint, wanted: &Wanted) -> Result<Vec<(String, String)>, Vec<String>> {
    let values = values(blueprint, wanted).map_err(|e| vec![e])?;
    let (mut all, mut wrong) = (Vec::new(), Vec::new());
    for t in templates(&blueprint.spec) {
        match template::render(&t.place, t.source, &values) {
            Ok(text) => all.push((t.place, text)),
            Err(e) => wrong.push(e.to_string()),
        }
    }
    if wrong.is_empty() { Ok(all) } else { Err(wrong) }
}

/// Errors of rendering for the install of a release's template by commands. The configuration exists there, but it
/// belongs to no instance.
pub fn for_install(blueprint: &Blueprint, wanted: &Wanted) -> Vec<String> {
    let spec = &blueprint.spec;
    if !spec.install.as_ref().is_some_and(|list| list.steps.iter().any(|s| s.sql.is_none())) {
        return Vec::new();
    }
    let values = match values_at(blueprint, wanted, true) {
        Ok(values) => values,
        Err(e) => return vec![e],
    };
    match tenantry_plan::config::Config::render(&blueprint.name_any(), spec, &values, false) {
        Ok(_) => Vec::new(),
        Err(e) => {
            vec![format!("for the install, which belongs to no instance (`{{% if instance is defined %}}`): {e}")]
        }
    }
}

/// The values for a sample instance.
pub fn values(blueprint: &Blueprint, wanted: &Wanted) -> Result<Value, String> {
    values_at(blueprint, wanted, false)
}

fn values_at(blueprint: &Blueprint, wanted: &Wanted, install: bool) -> Result<Value, String> {
    let spec = &blueprint.spec;
    let release = Effective::pin(&blueprint.name_any(), spec, wanted.release.as_deref())
        .or_else(|e| if wanted.release.is_none() { newest(blueprint) } else { Err(e) })
        .map_err(|e| e.to_string())?;
    let engine = spec.database.as_ref().and_then(|d| d.engines.first()).map(|e| e.engine);
    let database = engine.map(|engine| DatabaseAccess {
        engine,
        host: "database.example".into(),
        port: engine.port(),
        name: "crm_sample_g1".into(),
        user: "crm_sample_g1".into(),
        password: Secret::new("sample-database-password"),
    });
    let keys = Keys {
        admin_password: Secret::new("sample-admin-password"),
        secrets: spec.secrets.iter().map(|s| (s.name.clone(), Secret::new(format!("sample-{}", s.name)))).collect(),
    };
    let limits = Limits {
        plan: "sample".into(),
        seats: Some(7),
        storage_bytes: 2_500_000_000,
        bandwidth_bytes: None,
        records: None,
    };
    let site: Site = serde_json::from_value(json!({
        "apiVersion": "tenantry.dev/v1alpha1", "kind": "Site", "metadata": {"name": "site"},
        "spec": {"id": "sample", "ingress": {"tls": true}, "podSecurity": "privileged"},
    }))
    .map_err(|e| e.to_string())?;
    let settings = tenantry_plan::Settings::of_site(&site);
    if install && let Some(database) = &database {
        return Ok(context::template(&release, &settings, database, &keys));
    }
    let instance = instance(blueprint, &release, wanted);
    Ok(context::instance(&instance, &settings, &limits, database.as_ref(), &keys))
}

/// The last release of the list, for a blueprint without a release in the stable channel.
fn newest(blueprint: &Blueprint) -> Result<Effective, tenantry_api::blueprint::UnknownRelease> {
    let last = blueprint.spec.releases.last().map(|r| r.version.as_str());
    Effective::pin(&blueprint.name_any(), &blueprint.spec, last)
}

fn instance(blueprint: &Blueprint, release: &Effective, wanted: &Wanted) -> tenantry_plan::instance::Wanted {
    let tenant_id = Id::mint([1; tenantry_core::id::ID_LENGTH]);
    let settings = blueprint
        .spec
        .settings
        .iter()
        .map(|(name, s)| {
            let given = wanted.settings.get(name).cloned().or_else(|| s.default.clone());
            (name.clone(), given.unwrap_or_else(|| format!("sample-{name}")))
        })
        .collect();
    tenantry_plan::instance::Wanted {
        id: Id::mint([2; tenantry_core::id::ID_LENGTH]),
        uid: None,
        name: "crm".into(),
        namespace: tenantry_core::names::namespace(&tenant_id),
        tenant_id,
        tenant: "acme".into(),
        tenant_display_name: "Acme Trading Co.".into(),
        release: release.clone(),
        environment: wanted.environment,
        host: wanted.host.clone().unwrap_or_else(|| "crm.acme.example".into()),
        admin_email: "admin@acme.example".into(),
        time_zone: "Asia/Ho_Chi_Minh".into(),
        replicas: std::collections::BTreeMap::new(),
        scheduling: None,
        settings,
        hidden: std::collections::BTreeSet::new(),
        generation: 1,
        database_server: None,
        suspended: None,
    }
}

/// Every template except those of the verification, which need answers.
fn templates(spec: &BlueprintSpec) -> Vec<Template<'_>> {
    let mut all: Vec<Template<'_>> = Vec::new();
    let mut add = |place: String, source| all.push(Template { place, source });
    for (name, source) in &spec.env {
        add(format!("env.{name}"), source);
    }
    for (name, check) in spec.integrations.iter().filter_map(|i| i.check.as_ref().map(|c| (&i.name, c))) {
        for (field, source, _) in tenantry_plan::integrations::templates(check) {
            add(format!("integrations[{name}].check.{field}"), source);
        }
    }
    for file in &spec.files {
        add(format!("files[{}]", file.path), &file.content);
    }
    steps("install", spec.install.as_ref().map_or(&[], |l| &l.steps), &mut add);
    steps("personalise", spec.personalise.as_ref().map_or(&[], |l| &l.steps), &mut add);
    steps("neutralise", spec.neutralise.as_ref().map_or(&[], |l| &l.steps), &mut add);
    let migrate = spec.migrate.as_ref().and_then(|m| m.steps.as_ref());
    steps("migrate.steps", migrate.map_or(&[], |l| &l.steps), &mut add);
    for p in &spec.processes {
        for (i, word) in p.command.iter().enumerate() {
            add(format!("processes[{}].command[{i}]", p.name), word);
        }
        for (name, source) in &p.env {
            add(format!("processes[{}].env.{name}", p.name), source);
        }
        for (word, probe) in [("readiness", &p.readiness), ("liveness", &p.liveness)] {
            if let Some(http) = probe.as_ref().and_then(|p| p.http.as_ref()) {
                add(format!("processes[{}].{word}.http.path", p.name), &http.path);
            }
            let command = probe.iter().flat_map(|p| p.command.iter().flatten()).enumerate();
            for (i, text) in command {
                add(format!("processes[{}].{word}.command[{i}]", p.name), text);
            }
        }
    }
    for s in &spec.schedules {
        for (i, word) in s.command.iter().enumerate() {
            add(format!("schedules[{}].command[{i}]", s.name), word);
        }
        for (name, source) in &s.env {
            add(format!("schedules[{}].env.{name}", s.name), source);
        }
    }
    all
}

fn steps<'a>(place: &str, steps: &'a [Step], add: &mut impl FnMut(String, &'a str)) {
    for step in steps {
        let place = format!("{place}[{}]", step.name);
        for (i, word) in step.command.iter().enumerate() {
            add(format!("{place}.command[{i}]"), word);
        }
        if let Some(sql) = &step.sql {
            add(format!("{place}.sql"), sql);
        }
        if let Some(stdin) = &step.stdin {
            add(format!("{place}.stdin"), stdin);
        }
        for (name, source) in &step.env {
            add(format!("{place}.env.{name}"), source);
        }
    }
}
