//! Administrations of database servers, one for each, kept open. Does I/O when one is used.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Secret as KubeSecret;
use kube::api::Api;
use tenantry_api::database_server::{DatabaseServer, Engine as ApiEngine};
use tenantry_core::names;
use tenantry_core::secret::Secret;
use tenantry_database::{Administration, Endpoint, Engine, Login, Tls};
use tenantry_plan::{Settings, server};
use tokio::sync::Mutex;

use crate::cluster::data_of;
use crate::context::Ctx;
use crate::error::{Error, Result};

/// Administration of one server together with its endpoint as the operator reaches it.
#[derive(Debug, Clone)]
pub struct Server {
    /// Endpoint for the operator.
    pub endpoint: Endpoint,
    /// Its administration.
    pub admin: Arc<dyn Administration>,
    /// From which version of object and Secret it was made.
    key: String,
}

/// A build of a template by SQL that failed. It has no job that could be asked later.
#[derive(Debug, Clone)]
pub struct FailedBuild {
    /// Its number.
    pub attempt: u32,
    /// The step and the server's words.
    pub said: String,
    /// When it failed.
    pub since: Instant,
}

/// Open administrations by name of the server.
#[derive(Debug, Default)]
pub struct Servers {
    open: Mutex<HashMap<String, Server>>,
    locks: Mutex<HashMap<String, Arc<Mutex<()>>>>,
    /// By the key of the template. Losing it costs one more attempt, whose number the server's registry keeps.
    failed_builds: Mutex<HashMap<String, FailedBuild>>,
    /// When the templates of a server were looked at, and how many databases were on it.
    templates: Mutex<HashMap<String, (u32, Timestamp)>>,
}

impl Servers {
    /// The lock of this process for a template of a server: it is built by one at a time, and dropped by nobody
    /// meanwhile. What other processes do is kept apart by the server itself.
    pub async fn lock_template(&self, server: &str, name: &str) -> Arc<Mutex<()>> {
        self.locks.lock().await.entry(format!("{server}/{name}")).or_default().clone()
    }

    /// The last build of a template by SQL, if it failed.
    pub async fn failed_build(&self, key: &str) -> Option<FailedBuild> {
        self.failed_builds.lock().await.get(key).cloned()
    }

    /// Remembers how a build of a template by SQL ended; none: well.
    pub async fn build_ended(&self, key: &str, failed: Option<FailedBuild>) {
        let mut all = self.failed_builds.lock().await;
        match failed {
            Some(failed) => all.insert(key.to_owned(), failed),
            None => all.remove(key),
        };
    }

    /// Whether the templates of a server are to be looked at: its databases are others than before, or it is long ago.
    pub async fn templates_due(&self, server: &str, databases: u32, now: Timestamp, every: SignedDuration) -> bool {
        let all = self.templates.lock().await;
        all.get(server).is_none_or(|(then, at)| *then != databases || now.duration_since(*at) >= every)
    }

    /// Remembers that the templates of a server were looked at.
    pub async fn templates_seen(&self, server: &str, databases: u32, now: Timestamp) {
        self.templates.lock().await.insert(server.to_owned(), (databases, now));
    }

    /// Forgets a server, so that it is connected anew.
    pub async fn forget(&self, name: &str) {
        self.open.lock().await.remove(name);
    }
}

/// Engine of the database crate for an engine of the API.
#[must_use]
pub fn engine(of: ApiEngine) -> Engine {
    match of {
        ApiEngine::Postgresql => Engine::Postgresql,
        ApiEngine::Mariadb => Engine::Mariadb,
    }
}

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
    let endpoint = Endpoint { name: Some(name.clone()), engine: engine(object.spec.engine), host, port, tls };
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
/// address. Nothing is made there, or what is lost would look like what never was.
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
