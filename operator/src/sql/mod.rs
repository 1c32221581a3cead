//! Administrations of database servers, one for each server, kept open. Does I/O when one is used.

pub(crate) mod servers;

use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret as KubeSecret;
use kube::api::Api;
use tenantry_api::database_server::DatabaseServer;
use tenantry_core::names;
use tenantry_core::secret::Secret;
use tenantry_database::{Administration, Endpoint, Login, Tls};
use tenantry_plan::{Settings, server};

pub use servers::{FailedBuild, Server};

use crate::cluster::data_of;
use crate::context::Ctx;
use crate::error::{Error, Result};

/// The administration of a server, connected when it is first used.
///
/// # Errors
/// [`Error::Blocked`] while its Secret is missing; [`Error::Kube`].
pub async fn administration(ctx: &Ctx, object: &DatabaseServer, settings: &Settings) -> Result<Server> {
    let name = object.metadata.name.clone().unwrap_or_default();
    let secret_name = server::secret_name(object);
    let api: Api<KubeSecret> = Api::namespaced(ctx.client.clone(), &ctx.system_namespace);
    let generation = object.metadata.generation.unwrap_or_default();
    let uid = object.metadata.uid.clone().unwrap_or_default();
    if let Some(open) = ctx.servers.open.lock().await.get(&name)
        && open.key.starts_with(&format!("{uid}/{generation}/"))
    {
        return Ok(open.clone());
    }
    let secret = api.get_opt(&secret_name).await.map_err(Error::kube("get the administrator's Secret"))?;
    let secret = secret.ok_or_else(|| {
        Error::Blocked(format!(
            "Secret {}/{secret_name} with the administrator's username and password does not exist",
            ctx.system_namespace
        ))
    })?;
    let data = data_of(secret.data.as_ref());
    let password = data.get("password").cloned().ok_or_else(|| {
        Error::Blocked(format!("Secret {}/{secret_name} has no key \"password\"", ctx.system_namespace))
    })?;
    let user = data.get("username").cloned().unwrap_or_else(|| server::admin_user(object.spec.engine).into());
    let (host, port) = ctx.reach(object, settings).await?;
    let tls = match &object.spec.external {
        Some(external) if external.tls => Tls::Require { ca: data.get("ca.crt").cloned() },
        _ => Tls::Disable,
    };
    let endpoint = Endpoint { name: Some(name.clone()), engine: object.spec.engine, host, port, tls };
    let login = Login { user, password: Secret::new(password) };
    let admin: Arc<dyn Administration> =
        Arc::from(tenantry_database::connect(endpoint.clone(), login, ctx.gate.clone())?);
    had_nothing_or_has_it(ctx, object, admin.as_ref()).await?;
    let version = secret.metadata.resource_version.unwrap_or_default();
    let made = Server { endpoint, admin, key: format!("{uid}/{generation}/{version}") };
    ctx.servers.open.lock().await.insert(name, made.clone());
    Ok(made)
}

/// Refuses a server that is empty although data was on it: its volume was replaced, or another server answers at its
/// address. Nothing is created there, because otherwise lost data would look like data that never existed.
async fn had_nothing_or_has_it(ctx: &Ctx, object: &DatabaseServer, admin: &dyn Administration) -> Result<()> {
    let name = object.metadata.name.as_deref().unwrap_or_default();
    let annotations = object.metadata.annotations.as_ref();
    let confirmed = annotations.and_then(|a| a.get(names::ANNOTATION_CONFIRM_EMPTY)).is_some_and(|text| text == name);
    if confirmed || admin.has_registry().await? {
        return Ok(());
    }
    let users = crate::server::uses(ctx, name).await?;
    if users.is_empty() {
        return Ok(());
    }
    Err(Error::ServerEmpty(format!(
        "database server {name:?} answers, and holds nothing of what was on it ({}, perhaps more): its volume was replaced, or another server answers at its address. Nothing is made there. Give it its data back; for good: kubectl annotate databaseserver {name} {}={name}",
        users.join(", "),
        names::ANNOTATION_CONFIRM_EMPTY
    )))
}
