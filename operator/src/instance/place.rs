//! Where an instance's database lies: decided once, written into its Secret before the database is made. Does I/O.

use k8s_openapi::api::core::v1::Secret as KubeSecret;
use kube::ResourceExt;
use kube::api::{Api, Patch};
use serde_json::json;
use tenantry_api::condition::ConditionType;
use tenantry_api::database_server::{DatabaseServer, DatabaseServerPhase};
use tenantry_api::plan::Tenancy;
use tenantry_api::tenant::Tenant;
use tenantry_core::class::ErrorClass;
use tenantry_core::engine::Engine;
use tenantry_core::names;
use tenantry_core::placement::{Candidate, Need, choose};
use tenantry_plan::context::DatabaseAccess;
use tenantry_plan::instance::{ANNOTATION_UNTOLD, Wanted, access_of, build_database_secret};
use tenantry_plan::{Settings, server};

use super::copy;
use super::found::{self, Found};
use super::inputs::Placed;
use super::pass::Pass;
use crate::cluster::{data_of, patch_params, typed};
use crate::context::Ctx;
use crate::error::Error;
use crate::halt::{Halt, OrHalt};
use crate::sql::Server;

const CONDITION: ConditionType = ConditionType::DatabaseReady;

/// Reads the placement from its Secret, finds it again on the servers, or decides it.
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
    let name = names::database_secret(&wanted.id, wanted.generation);
    let api: Api<KubeSecret> = Api::namespaced(ctx.client.clone(), &wanted.namespace);
    let is_new = pass.instance.status.is_none() && !pass.had_data_before();
    if !is_new && let Some(placed) = read(&api, &name).await.halt(CONDITION)? {
        return Ok(placed);
    }
    let servers = ctx.database_servers().await.halt(CONDITION)?;
    let found = match &pass.found {
        Some(found) => Some(found.clone()),
        None => find(ctx, pass, wanted, &servers, settings).await?,
    };
    let object = match &found {
        Some(found) => of_name(&servers, &found.server)?,
        None => decide(ctx, pass, wanted, tenant, &servers).await?,
    };
    let (host, port) = server::address(&object, settings);
    let access = DatabaseAccess {
        engine: object.spec.engine,
        host,
        port,
        name: names::database(&wanted.id, wanted.generation),
        user: names::database(&wanted.id, wanted.generation),
        password: ctx.password(32).halt(CONDITION)?,
    };
    // If the database exists and only its Secret was lost, the Secret is written first and says that the server does
    // not know the password yet. A crash here, or another writer at the same time, then still leaves one password that
    // counts.
    let untold = found.as_ref().is_some_and(Found::is_data);
    let child = build_database_secret(wanted, &object.name_any(), &access, untold);
    // The first decision wins: the stored Secret counts.
    let stored: KubeSecret = typed(&ctx.create_once(&child).await.halt(CONDITION)?).halt(CONDITION)?;
    placed(&stored).ok_or_else(|| {
        let text = format!("Secret {}/{name} is not whole; its keys are needed: server, engine, host, port, database, username, password", wanted.namespace);
        Halt::fail(CONDITION, "SecretIncomplete", text, ErrorClass::Blocked)
    })
}

/// Makes sure that the server knows the password of the Secret, and notes in the Secret that it does. The password is
/// tried by a log-in, and set only when the log-in is refused.
///
/// # Errors
/// [`Halt`] at `DatabaseReady`; the next pass does what is left to do.
pub async fn tell(ctx: &Ctx, wanted: &Wanted, placed: &Placed, server: &Server) -> Result<(), Halt> {
    let (owner, access) = (names::owner_of_instance(&wanted.id), &placed.access);
    let kept = server.admin.keep_password(&access.name, &owner, &access.password).await;
    kept.halt(CONDITION)?;
    if !placed.untold {
        return Ok(());
    }
    let api: Api<KubeSecret> = Api::namespaced(ctx.client.clone(), &wanted.namespace);
    let told = Patch::Merge(json!({ "metadata": { "annotations": { ANNOTATION_UNTOLD: null } } }));
    let name = names::database_secret(&wanted.id, wanted.generation);
    let patched = api.patch_metadata(&name, &patch_params(), &told).await;
    patched.map(drop).map_err(Error::kube("note that the server knows the password")).halt(CONDITION)
}

fn of_name(servers: &[DatabaseServer], name: &str) -> Result<DatabaseServer, Halt> {
    let found = servers.iter().find(|s| s.name_any() == name).cloned();
    found.ok_or_else(|| Halt::fail(CONDITION, "InternalError", "the chosen server is gone", ErrorClass::Transient))
}

async fn read(api: &Api<KubeSecret>, name: &str) -> crate::error::Result<Option<Placed>> {
    let found = api.get_opt(name).await.map_err(Error::kube("get the database's Secret"))?;
    Ok(found.as_ref().and_then(placed))
}

fn placed(secret: &KubeSecret) -> Option<Placed> {
    let untold = secret.annotations().contains_key(ANNOTATION_UNTOLD);
    access_of(&data_of(secret.data.as_ref())).map(|(server, access)| Placed { server, access, untold })
}

/// The server on which a database of this instance lies already, when the database's Secret was lost.
async fn find(
    ctx: &Ctx,
    pass: &Pass,
    wanted: &Wanted,
    servers: &[DatabaseServer],
    settings: &Settings,
) -> Result<Option<Found>, Halt> {
    if !pass.had_data_before() {
        return Ok(None);
    }
    let asked: Vec<&DatabaseServer> = servers.iter().collect();
    let said = found::everywhere(ctx, &pass.instance, &wanted.id, &asked, settings).await?;
    let mine = said.found.filter(|f| f.record.generation == wanted.generation);
    match (mine, said.away) {
        (Some(found), _) => Ok(Some(found)),
        // The database may be on the server that could not be asked.
        (None, Some((_, e))) => Err(Halt::at(CONDITION)(e)),
        (None, None) => {
            let name = names::database(&wanted.id, wanted.generation);
            let text = format!(
                "database {name} of this instance is on none of the {} database servers, and no new one is made in its place; bring its server back (`tenantry database-server list`)",
                servers.len()
            );
            Err(Halt::fail(CONDITION, "DatabaseNotFound", text, ErrorClass::Blocked))
        }
    }
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
    let engines: Vec<(Engine, u32)> =
        needs.map(|d| d.engines.iter().map(|e| (e.engine, e.min_version)).collect()).unwrap_or_default();
    let original = copy::place_of_original(ctx, pass, servers).await?;
    let engines = match &original {
        // A dump is loaded by the same engine, of the same version or a newer one.
        Some(o) => engines.into_iter().filter(|(e, _)| *e == o.engine).map(|(e, v)| (e, v.max(o.version))).collect(),
        None => engines,
    };
    let plan = ctx.plan(&tenant.spec.plan).await.halt(CONDITION)?;
    let need = Need {
        engines: &engines,
        tenant: wanted.tenant_id.as_str(),
        dedicated: plan.is_some_and(|p| p.spec.database_tenancy == Tenancy::Dedicated),
        named: wanted.database_server.as_deref(),
    };
    // A copy lies on its original's server while there is room.
    let beside = original.as_ref().filter(|_| need.named.is_none()).map(|o| o.server.as_str());
    let near = beside.and_then(|name| choose(&candidates, &Need { named: Some(name), ..need.clone() }).ok());
    let chosen = near
        .map_or_else(|| choose(&candidates, &need), Ok)
        .map_err(|e| Halt::fail(CONDITION, "NoDatabaseServer", e.to_string(), ErrorClass::Blocked))?;
    of_name(servers, &chosen.name)
}

fn candidate(server: &DatabaseServer) -> Candidate {
    let status = server.status.as_ref();
    Candidate {
        name: server.name_any(),
        engine: server.spec.engine,
        version: status.and_then(|s| s.version_major).unwrap_or(0),
        ready: status.is_some_and(|s| s.phase == DatabaseServerPhase::Ready),
        // A server that is being deleted goes when it is empty: no new database is placed there.
        accepting: server.spec.accepting && server.metadata.deletion_timestamp.is_none(),
        databases: status.and_then(|s| s.databases).unwrap_or(0),
        max_databases: server.spec.max_databases,
        dedicated_to: server.spec.dedicated_to.clone(),
    }
}
