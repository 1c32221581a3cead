//! Where an instance's database lies: decided once, written into its Secret before the database is made. Does I/O.

use k8s_openapi::api::core::v1::Secret as KubeSecret;
use kube::ResourceExt;
use kube::api::Api;
use tenantry_api::database_server::{DatabaseServer, DatabaseServerPhase};
use tenantry_api::plan::Tenancy;
use tenantry_api::tenant::Tenant;
use tenantry_core::class::ErrorClass;
use tenantry_core::names;
use tenantry_core::placement::{Candidate, Need, choose};
use tenantry_plan::context::DatabaseAccess;
use tenantry_plan::instance::{Wanted, access_of, build_database_secret};
use tenantry_plan::{Settings, server};

use super::copy;
use super::live::Pass;
use crate::cluster::{data_of, typed};
use crate::context::Ctx;
use crate::error::Error;
use crate::halt::Halt;
use crate::sql;

const CONDITION: &str = "DatabaseReady";

/// A placed database.
#[derive(Debug, Clone)]
pub struct Placed {
    /// Name of the DatabaseServer.
    pub server: String,
    /// Access for the instance.
    pub access: DatabaseAccess,
}

/// Reads the placement, finds it on the servers again, or decides it.
///
/// # Errors
/// [`Halt`] at `DatabaseReady`.
#[tracing::instrument(target = "tenantry::trace", level = "debug", name = "place", skip_all)]
pub async fn ensure(
    ctx: &Ctx,
    pass: &Pass,
    wanted: &Wanted,
    tenant: &Tenant,
    settings: &Settings,
) -> Result<Placed, Halt> {
    let at = Halt::at(CONDITION);
    let name = names::database_secret(&wanted.id, wanted.generation);
    let api: Api<KubeSecret> = Api::namespaced(ctx.client.clone(), &wanted.namespace);
    let is_new = pass.instance.status.is_none() && !pass.had_data_before();
    if !is_new && let Some(placed) = read(&api, &name).await.map_err(&at)? {
        return Ok(placed);
    }
    let servers = ctx.database_servers().await.map_err(&at)?;
    let found = find(ctx, wanted, &servers, settings, pass.had_data_before()).await?;
    let lost_secret = found.is_some();
    let object = match found {
        Some(object) => object,
        None => decide(ctx, pass, wanted, tenant, &servers).await?,
    };
    let (host, port) = server::address(&object, settings);
    let access = DatabaseAccess {
        engine: object.spec.engine.word().into(),
        host,
        port,
        name: names::database(&wanted.id, wanted.generation),
        user: names::database(&wanted.id, wanted.generation),
        password: ctx.password(32).map_err(&at)?,
    };
    if lost_secret {
        // The database lives on and only its Secret was lost: the server learns the new password first, so
        // that a Secret which exists always fits.
        let server = sql::administration(ctx, &object, settings).await.map_err(&at)?;
        let owner = names::owner_of_instance(&wanted.id);
        let set = server.admin.set_password(&access.name, &owner, &access.password).await;
        set.map_err(|e| at(e.into()))?;
    }
    let child = build_database_secret(wanted, &object.name_any(), &access);
    // Whoever decided first wins: what is stored counts.
    let stored: KubeSecret = typed(&ctx.create_once(&child).await.map_err(&at)?).map_err(&at)?;
    placed(&stored).ok_or_else(|| {
        let text = format!("Secret {}/{name} is not whole; its keys are needed: server, engine, host, port, database, username, password", wanted.namespace);
        Halt::fail(CONDITION, "SecretIncomplete", text, ErrorClass::Blocked)
    })
}

async fn read(api: &Api<KubeSecret>, name: &str) -> crate::error::Result<Option<Placed>> {
    let found = api.get_opt(name).await.map_err(Error::kube("get the database's Secret"))?;
    Ok(found.as_ref().and_then(placed))
}

fn placed(secret: &KubeSecret) -> Option<Placed> {
    access_of(&data_of(secret.data.as_ref())).map(|(server, access)| Placed { server, access })
}

/// The server on which a database of this instance lies already, when its Secret was lost.
async fn find(
    ctx: &Ctx,
    wanted: &Wanted,
    servers: &[DatabaseServer],
    settings: &Settings,
    known: bool,
) -> Result<Option<DatabaseServer>, Halt> {
    if !known {
        return Ok(None);
    }
    let at = Halt::at(CONDITION);
    let name = names::database(&wanted.id, wanted.generation);
    let owner = names::owner_of_instance(&wanted.id);
    let mut away = None;
    for object in servers {
        let asked = match sql::administration(ctx, object, settings).await {
            Ok(server) => server.admin.record(&name).await.map_err(Error::from),
            Err(e) => Err(e),
        };
        match asked {
            Ok(Some(record)) if record.owner == owner && record.tenant == wanted.tenant_id.as_str() => {
                return Ok(Some(object.clone()));
            }
            Ok(_) => {}
            // It may be on another one; if it is not, this one decides.
            Err(e) => away = Some(e),
        }
    }
    if let Some(e) = away {
        return Err(at(e));
    }
    let text = format!(
        "database {name} of this instance is on none of the {} database servers, and no new one is made in its place; bring its server back (`tenantry database-server list`)",
        servers.len()
    );
    Err(Halt::fail(CONDITION, "DatabaseNotFound", text, ErrorClass::Blocked))
}

async fn decide(
    ctx: &Ctx,
    pass: &Pass,
    wanted: &Wanted,
    tenant: &Tenant,
    servers: &[DatabaseServer],
) -> Result<DatabaseServer, Halt> {
    let candidates: Vec<Candidate> = servers.iter().map(candidate).collect();
    let needs = wanted.release.spec.database.as_ref();
    let engines: Vec<(String, u32)> = needs
        .map(|d| d.engines.iter().map(|e| (e.engine.word().to_owned(), e.min_version)).collect())
        .unwrap_or_default();
    let original = copy::place_of_original(ctx, pass, servers).await?;
    let engines = match &original {
        // What was dumped is loaded by the same engine, of the same version or a newer one.
        Some(o) => engines.into_iter().filter(|(e, _)| *e == o.engine).map(|(e, v)| (e, v.max(o.version))).collect(),
        None => engines,
    };
    let plan = ctx.plan(&tenant.spec.plan).await.map_err(Halt::at(CONDITION))?;
    let need = Need {
        engines: &engines,
        tenant: wanted.tenant_id.as_str(),
        dedicated: plan.is_some_and(|p| p.spec.database_tenancy == Tenancy::Dedicated),
        named: wanted.database_server.as_deref(),
    };
    // A copy lies beside its original while there is room.
    let beside = original.as_ref().filter(|_| need.named.is_none()).map(|o| o.server.as_str());
    let near = beside.and_then(|name| choose(&candidates, &Need { named: Some(name), ..need.clone() }).ok());
    let chosen = near
        .map_or_else(|| choose(&candidates, &need), Ok)
        .map_err(|e| Halt::fail(CONDITION, "NoDatabaseServer", e.to_string(), ErrorClass::Blocked))?;
    let found = servers.iter().find(|s| s.name_any() == chosen.name).cloned();
    found.ok_or_else(|| Halt::fail(CONDITION, "InternalError", "the chosen server is gone", ErrorClass::Transient))
}

fn candidate(server: &DatabaseServer) -> Candidate {
    let status = server.status.as_ref();
    Candidate {
        name: server.name_any(),
        engine: server.spec.engine.word().into(),
        version: status.and_then(|s| s.version_major).unwrap_or(0),
        ready: status.is_some_and(|s| s.phase == DatabaseServerPhase::Ready),
        // One that was deleted goes when it is empty: nothing new comes there.
        accepting: server.spec.accepting && server.metadata.deletion_timestamp.is_none(),
        databases: status.and_then(|s| s.databases).unwrap_or(0),
        max_databases: server.spec.max_databases,
        dedicated_to: server.spec.dedicated_to.clone(),
    }
}
