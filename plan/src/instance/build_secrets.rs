//! Secrets of an instance: keys, database access, rendered configuration. No I/O.

use std::collections::BTreeMap;

use serde_json::json;
use tenantry_core::names::{self, LABEL_DATABASE_SERVER, LABEL_PURPOSE};
use tenantry_core::secret::Secret;

use super::Wanted;
use crate::child::{Child, Kind};
use crate::config::Config;
use crate::context::{DatabaseAccess, Keys};

/// The Secret with the administrator's first password and the application's keys. Created once and never overwritten.
#[must_use]
pub fn build_keys_secret(wanted: &Wanted, keys: &Keys) -> Child {
    let mut data = BTreeMap::from([("admin-password".to_owned(), keys.admin_password.reveal().to_owned())]);
    data.insert("admin-login".into(), wanted.release.spec.admin.login.clone());
    for (name, value) in &keys.secrets {
        data.insert(format!("secret.{name}"), value.reveal().to_owned());
    }
    let labels = wanted.data_labels().and(LABEL_PURPOSE, "keys");
    let name = names::keys_secret(&wanted.id, wanted.generation);
    let rest = json!({ "type": "Opaque", "immutable": true, "stringData": data });
    Child::new(Kind::Secret, Some(&wanted.namespace), &name, &labels, rest)
}

/// Reads the keys from the data of their Secret. None means that the password is missing.
#[must_use]
pub fn keys_of(data: &BTreeMap<String, String>) -> Option<Keys> {
    let admin_password = Secret::new(data.get("admin-password")?.clone());
    let secrets = data
        .iter()
        .filter_map(|(k, v)| k.strip_prefix("secret.").map(|name| (name.to_owned(), Secret::new(v.clone()))))
        .collect();
    Some(Keys { admin_password, secrets })
}

/// Annotation of a database's Secret: the password in it has not been set on the server yet.
pub const ANNOTATION_UNTOLD: &str = "tenantry.dev/password-not-set-yet";

/// The Secret with the address and log-in of the database. It is written before the database is created, and so it
/// fixes the placement. `untold` means that the database already exists and that its server learns the password only
/// after this Secret is written.
#[must_use]
pub fn build_database_secret(wanted: &Wanted, server: &str, access: &DatabaseAccess, untold: bool) -> Child {
    let labels = wanted.data_labels().and(LABEL_PURPOSE, "database").and(LABEL_DATABASE_SERVER, server);
    let name = names::database_secret(&wanted.id, wanted.generation);
    let rest = json!({
        "type": "Opaque",
        "stringData": {
            "server": server,
            "engine": access.engine,
            "host": access.host,
            "port": access.port.to_string(),
            "database": access.name,
            "username": access.user,
            "password": access.password.reveal(),
        },
    });
    let mut child = Child::new(Kind::Secret, Some(&wanted.namespace), &name, &labels, rest);
    if untold {
        child.object["metadata"]["annotations"] = json!({ ANNOTATION_UNTOLD: "true" });
    }
    child
}

/// Reads server and access from the data of their Secret. None means that something is missing.
#[must_use]
pub fn access_of(data: &BTreeMap<String, String>) -> Option<(String, DatabaseAccess)> {
    let get = |key: &str| data.get(key).cloned();
    let access = DatabaseAccess {
        engine: get("engine")?.parse().ok()?,
        host: get("host")?,
        port: get("port")?.parse().ok()?,
        name: get("database")?,
        user: get("username")?,
        password: Secret::new(get("password")?),
    };
    Some((get("server")?, access))
}

/// The Secret with the rendered configuration, named after its content.
#[must_use]
pub(super) fn build_config_secret(wanted: &Wanted, config: &Config) -> Child {
    let labels = wanted.data_labels().and(LABEL_PURPOSE, "config");
    let name = names::config_secret(&wanted.id, wanted.generation, &config.content());
    let rest = json!({ "type": "Opaque", "immutable": true, "stringData": config.data });
    Child::new(Kind::Secret, Some(&wanted.namespace), &name, &labels, rest)
}
