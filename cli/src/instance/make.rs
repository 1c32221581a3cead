//! Making instances: what product they are, checked before anything is stored. Does I/O.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::ResourceExt;
use serde::Serialize;
use serde_json::{Value, json};
use tenantry_api::blueprint::{Blueprint, BlueprintSpec, Effective};
use tenantry_api::crm_instance::{CrmInstance, CrmInstanceSpec};
use tenantry_api::tenant::Tenant;
use tenantry_core::names;

use super::settings::decide::on_a_command_line;
use super::settings::hide::DOTS;
use super::size::{Size, without_nulls};
use crate::args::pair;
use crate::change::fields::{differences, lines};
use crate::change::mint;
use crate::error::{Problem, api, near};
use crate::output::paint::Paint;
use crate::output::text::some;
use crate::session::Session;
use crate::target::{self, BLUEPRINT, SERVER};

/// What an instance is.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Product")]
pub struct Product {
    /// Blueprint
    #[arg(long, value_name = "NAME", add = crate::completion::blueprints())]
    pub blueprint: String,
    /// Version of the release; the newest of the stable channel when not given
    #[arg(long, value_name = "VERSION")]
    pub release: Option<String>,
    /// Host under which it answers
    #[arg(long, value_name = "HOST", value_parser = host)]
    pub host: String,
    #[command(flatten)]
    pub choices: Choices,
}

/// What an instance may choose; there is a default for each.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Product")]
pub struct Choices {
    /// E-mail address of the administrator
    #[arg(long, value_name = "EMAIL")]
    pub admin_email: Option<String>,
    /// Setting that the blueprint offers; can be repeated
    #[arg(long = "setting", value_name = "KEY=VALUE", value_parser = pair)]
    pub settings: Vec<(String, String)>,
    /// Server for its database; chosen for it when not given
    #[arg(long, value_name = "NAME")]
    pub database_server: Option<String>,
    #[command(flatten)]
    pub size: Size,
}

/// A host that people can reach, in lower case, because capital letters mean the same.
pub fn host(text: &str) -> Result<String, String> {
    let host = text.to_ascii_lowercase();
    tenantry_core::host::check(&host).map(|()| host)
}

/// Checks that blueprint, release, settings and database server exist.
pub async fn checked(session: &Session, product: &Product) -> Result<Blueprint, Problem> {
    let blueprint = target::one(session, &session.cluster.blueprints(), BLUEPRINT, &product.blueprint).await?;
    fits(&product.blueprint, &blueprint.spec, product)?;
    if let Some(server) = &product.choices.database_server {
        let api = kube::Api::<tenantry_api::database_server::DatabaseServer>::all(session.cluster.client.clone());
        target::one(session, &api, SERVER, server).await?;
    }
    Ok(blueprint)
}

/// Whether a blueprint has the release and the settings that were asked for.
pub fn fits(name: &str, spec: &BlueprintSpec, product: &Product) -> Result<(), Problem> {
    let show = format!("blueprint show {name}");
    Effective::pin(name, spec, product.release.as_deref()).map_err(|e| {
        let what = e.wanted.as_ref().map_or_else(
            || format!("blueprint {name} has no release in the stable channel"),
            |w| format!("release {w:?} of blueprint {name} does not exist"),
        );
        Problem::not_found(what).why(format!("releases: {}", some(&e.known, 8))).next("", &show)
    })?;
    for (key, _) in &product.choices.settings {
        if !spec.settings.contains_key(key) {
            let known = spec.settings.keys().cloned().collect();
            return Err(near::missing(&format!("setting of blueprint {name}"), key, known, &show));
        }
    }
    if let Some((key, _)) =
        product.choices.settings.iter().find(|(key, _)| spec.settings.get(key).is_some_and(|s| s.secret))
    {
        return Err(on_a_command_line(key).next(
            "leave it away here, and afterwards",
            format!("instance settings set TENANT/INSTANCE --from-stdin {key}"),
        ));
    }
    // A secret that must be given is given afterwards; the instance waits for it and reports that.
    let missing: Vec<String> = spec
        .settings
        .iter()
        .filter(|(key, s)| s.default.is_none() && !s.secret && !product.choices.settings.iter().any(|(k, _)| k == *key))
        .map(|(key, _)| key.clone())
        .collect();
    if missing.is_empty() {
        return product.choices.size.fits(name, spec);
    }
    Err(Problem::usage(format!("blueprint {name} needs settings that were not given: {}", missing.join(", ")))
        .safe("nothing was changed")
        .why(format!("add {}", missing.iter().map(|m| format!("--setting {m}=...")).collect::<Vec<_>>().join(" ")))
        .next("what they mean", show))
}

/// The spec without an id.
pub fn spec(tenant: &str, product: &Product) -> Result<CrmInstanceSpec, Problem> {
    let settings: BTreeMap<String, String> = product.choices.settings.iter().cloned().collect();
    let mut spec = json!({"tenant": tenant, "blueprint": product.blueprint, "host": product.host.to_ascii_lowercase()});
    let optional = [
        ("release", &product.release),
        ("adminEmail", &product.choices.admin_email),
        ("databaseServer", &product.choices.database_server),
    ];
    for (key, value) in optional {
        if let Some(value) = value {
            spec[key] = value.clone().into();
        }
    }
    if !settings.is_empty() {
        spec["settings"] = json!(settings);
    }
    if let (Value::Object(spec), Value::Object(size)) = (&mut spec, without_nulls(product.choices.size.patch().into()))
    {
        spec.extend(size);
    }
    serde_json::from_value(spec).map_err(|e| Problem::usage(format!("this product does not fit: {e}")))
}

/// Labels that the person gave.
pub fn labels(given: &[(String, String)]) -> Option<BTreeMap<String, String>> {
    (!given.is_empty()).then(|| given.iter().cloned().collect())
}

/// The instance in its tenant's namespace, with the tenant's labels and a new id unless it has one.
pub fn instance(
    tenant: &Tenant,
    name: &str,
    mut spec: CrmInstanceSpec,
    own_labels: &[(String, String)],
) -> Result<CrmInstance, Problem> {
    let id = target::id_of(tenant)?;
    let new = spec.id.is_none();
    if new {
        spec.id = Some(mint::id()?.to_string());
    }
    let mut made = CrmInstance::new(name, spec);
    if new {
        // An instance that comes back with its id has data somewhere. A new instance has none, and need not wait until
        // that is known.
        let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        made.metadata.annotations = Some([(names::ANNOTATION_MINTED.to_owned(), now)].into());
    }
    let mut all = labels(own_labels).unwrap_or_default();
    all.insert(names::LABEL_TENANT_ID.into(), id.to_string());
    all.insert(names::LABEL_TENANT.into(), tenant.name_any());
    made.metadata.namespace = Some(names::namespace(&id));
    made.metadata.labels = Some(all);
    Ok(made)
}

/// Creates the instance, or uses the existing one when it is the same.
pub async fn stored(session: &Session, tenant: &Tenant, new: CrmInstance) -> Result<CrmInstance, Problem> {
    let address = target::address_of(&new);
    let api = session.cluster.instances(&target::namespace_of(tenant)?);
    let doing = format!("create instance {address}");
    let existing = api.get_opt(&new.name_any()).await.map_err(|e| api::problem(&doing, &e))?;
    if let Some(existing) = existing {
        return taken_over(existing, &new);
    }
    match api.create(&crate::cluster::post(false), &new).await {
        Ok(made) => Ok(made),
        Err(kube::Error::Api(s)) if s.is_already_exists() => {
            taken_over(api.get(&new.name_any()).await.map_err(|e| api::problem(&doing, &e))?, &new)
        }
        Err(e) => Err(api::problem(&doing, &e)),
    }
}

fn taken_over(existing: CrmInstance, new: &CrmInstance) -> Result<CrmInstance, Problem> {
    let address = target::address_of(&existing);
    if existing.metadata.deletion_timestamp.is_some() {
        return Err(Problem::refused(format!("instance {address} is being archived"))
            .safe("its data is kept")
            .next("bring it back afterwards", format!("instance adopt {address}")));
    }
    let mut compared = new.spec.clone();
    if compared.adopt.is_none() {
        compared.id.clone_from(&existing.spec.id);
    }
    // The difference is printed, and a value that the person did not write may be a secret.
    let mut shown = existing.spec.clone();
    for (key, value) in &mut shown.settings {
        if !compared.settings.contains_key(key) {
            *value = DOTS.to_owned();
        }
    }
    same("instance", &address, &shown, &compared).map_err(|p| p.next("look", format!("instance show {address}")))?;
    Ok(existing)
}

/// Whether an existing object is what was asked for; if not, the error shows the differences.
pub fn same(word: &str, name: &str, existing: &impl Serialize, wanted: &impl Serialize) -> Result<(), Problem> {
    let (existing, wanted) = (as_json(existing)?, as_json(wanted)?);
    let found = differences(&existing, &wanted);
    if found.is_empty() {
        return Ok(());
    }
    Err(Problem::refused(format!("{word} {name} exists already and is different"))
        .safe("nothing was changed")
        .why(lines(&found, Paint::default(), None).join("\n")))
}

fn as_json(value: &impl Serialize) -> Result<Value, Problem> {
    serde_json::to_value(value).map_err(|e| Problem::failed(format!("cannot compare: {e}")))
}

/// Asks the API server whether it would accept the instance. When the namespace does not exist yet, the rules are tried
/// in `default`, where nothing is stored either.
pub async fn rehearsed(session: &Session, instance: &CrmInstance) -> Result<CrmInstance, Problem> {
    let doing = format!("create instance {}", target::address_of(instance));
    let namespace = instance.namespace().unwrap_or_default();
    match session.cluster.instances(&namespace).create(&crate::cluster::post(true), instance).await {
        Ok(made) => Ok(made),
        Err(kube::Error::Api(s)) if s.is_not_found() => {
            let mut elsewhere = instance.clone();
            elsewhere.metadata.namespace = Some("default".into());
            let tried = session.cluster.instances("default").create(&crate::cluster::post(true), &elsewhere).await;
            tried.map(|_| instance.clone()).map_err(|e| api::problem(&doing, &e))
        }
        Err(kube::Error::Api(s)) if s.is_already_exists() => Ok(instance.clone()),
        Err(e) => Err(api::problem(&doing, &e)),
    }
}
