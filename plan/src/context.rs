//! The values that a blueprint's templates may use. No I/O.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use tenantry_api::blueprint::{Effective, Release};
use tenantry_core::engine::Engine;
use tenantry_core::ledger::Limits;
use tenantry_core::names;
use tenantry_core::template::SECRET_SETTINGS;

use crate::Settings;
use crate::instance::Wanted;

/// Address and log-in of a database, as stored in its Secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseAccess {
    /// Engine of the database server.
    pub engine: Engine,
    /// Host.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Name of the database.
    pub name: String,
    /// Role.
    pub user: String,
    /// Password of the role.
    pub password: tenantry_core::secret::Secret,
}

/// Keys of an instance, as stored in its Secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    /// The administrator's first password.
    pub admin_password: tenantry_core::secret::Secret,
    /// The application's own keys by name.
    pub secrets: std::collections::BTreeMap<String, tenantry_core::secret::Secret>,
}

/// The template values of an instance.
#[must_use]
pub fn instance(
    wanted: &Wanted,
    settings: &Settings,
    limits: &Limits,
    database: Option<&DatabaseAccess>,
    keys: &Keys,
) -> Value {
    let mut all = common(&wanted.release, settings, &wanted.release.spec.admin.login, keys, database);
    all["instance"] = json!({
        "id": wanted.id.as_str(),
        "name": wanted.name,
        "host": wanted.host,
        "url": settings.url(&wanted.host),
        "environment": wanted.environment.word(),
        "admin_email": wanted.admin_email,
        "time_zone": wanted.time_zone,
    });
    all["tenant"] = json!({
        "id": wanted.tenant_id.as_str(),
        "name": wanted.tenant,
        "display_name": wanted.tenant_display_name,
    });
    all["settings"] = json!(wanted.settings);
    let inner = wanted.release.spec.processes.iter().filter_map(|p| p.inner_port().map(|port| (p, port)));
    let address = |name: &str, port: u16| json!({ "host": names::process(&wanted.id, name), "port": port });
    let inner: Map<String, Value> = inner.map(|(p, port)| (p.name.clone(), address(&p.name, port))).collect();
    if !inner.is_empty() {
        all["processes"] = inner.into();
    }
    let mut secret = secret_settings(&wanted.release);
    secret.extend(wanted.hidden.iter().map(String::as_str));
    if !secret.is_empty() {
        all[SECRET_SETTINGS] = json!(secret);
    }
    let mut plan = json!({ "name": limits.plan, "storage_bytes": limits.storage_bytes });
    if let Some(seats) = limits.seats {
        plan["seats"] = seats.into();
    }
    all["plan"] = plan;
    all
}

/// The template values for the install of a template database, which belongs to no tenant.
#[must_use]
pub fn template(release: &Effective, settings: &Settings, database: &DatabaseAccess, keys: &Keys) -> Value {
    let mut all = common(release, settings, &release.spec.admin.login, keys, Some(database));
    // A template database has the default settings; `personalise` sets what an instance wants to be different.
    let defaults: Map<String, Value> = release
        .spec
        .settings
        .iter()
        .filter_map(|(name, s)| s.default.clone().map(|d| (name.clone(), d.into())))
        .collect();
    all["settings"] = Value::Object(defaults);
    all
}

/// Settings that the blueprint declares as secret.
fn secret_settings(release: &Effective) -> BTreeSet<&str> {
    release.spec.settings.iter().filter(|(_, s)| s.secret).map(|(name, _)| name.as_str()).collect()
}

fn common(
    release: &Effective,
    settings: &Settings,
    login: &str,
    keys: &Keys,
    database: Option<&DatabaseAccess>,
) -> Value {
    let secrets: Map<String, Value> = keys.secrets.iter().map(|(k, v)| (k.clone(), v.reveal().into())).collect();
    let mut all = json!({
        "site": { "id": settings.site.id, "kind": settings.site.kind },
        "admin": { "login": login, "password": keys.admin_password.reveal() },
        "secrets": secrets,
    });
    if let Some(Release { version, image, vars, .. }) = release.release() {
        all["release"] = json!({ "version": version, "image": settings.image(image), "vars": vars });
    }
    let secret = secret_settings(release);
    if !secret.is_empty() {
        all[SECRET_SETTINGS] = json!(secret);
    }
    if let Some(db) = database {
        all["database"] = json!({
            "engine": db.engine,
            "host": db.host,
            "port": db.port,
            "name": db.name,
            "user": db.user,
            "password": db.password.reveal(),
        });
    }
    all
}
