//! What lies on the database servers already for an instance of which nothing is known here. Does I/O (SQL,
//! Kubernetes reads).
//!
//! After the loss of a cluster, its objects come back with their ids, from Git or a backup. Then only the servers' own
//! records know of the data. The servers are asked before anything is made.

use std::collections::BTreeSet;

use futures::future::join_all;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Secret};
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use tenantry_api::condition::ConditionType;
use tenantry_api::crm_instance::CrmInstance;
use tenantry_api::database_server::{DatabaseServer, DatabaseServerPhase};
use tenantry_core::class::ErrorClass;
use tenantry_core::id::Id;
use tenantry_core::names;
use tenantry_database::{DatabaseRecord, State};
use tenantry_plan::Settings;
use tenantry_plan::instance::{Trust, access_of, data_generation};

use crate::cluster::data_of;
use crate::context::Ctx;
use crate::error::Error;
use crate::generation;
use crate::halt::{Halt, OrHalt};
use crate::life::refuse;
use crate::sql;

/// The condition of the place of a database.
const CONDITION: ConditionType = ConditionType::DatabaseReady;

/// A database that exists on a server.
#[derive(Debug, Clone)]
pub struct Found {
    /// Name of its DatabaseServer.
    pub server: String,
    /// What the server's own record says.
    pub record: DatabaseRecord,
}

impl Found {
    /// Whether the database holds more than the half-made content of an earlier attempt.
    #[must_use]
    pub fn is_data(&self) -> bool {
        self.record.state.is_data()
    }
}

/// Looks for the database of an instance that was never reported: where its Secret says that it lies, or on every
/// server.
///
/// # Errors
/// [`Halt`] at `DatabaseReady` when the answer cannot be known, and at `Ready` when the id belongs to another tenant.
pub async fn look(ctx: &Ctx, instance: &CrmInstance, id: &Id, trust: Trust) -> Result<Option<Found>, Halt> {
    let settings = ctx.settings().await.halt(CONDITION)?;
    if let Some((server, name)) = placed(ctx, instance, id).await? {
        let found = on(ctx, &server, &name, &settings).await?;
        let found = found.filter(|f| is_of(f, instance, id));
        if trust == Trust::Given && found.as_ref().is_none_or(|f| f.record.state == State::Creating) {
            let text = format!(
                "database {name} is not on server {server:?}, and no new one is made in its place: the Secret with its address is older than this object, so it was there before. Restore the server from its own backup"
            );
            return Err(Halt::fail(CONDITION, "DatabaseLost", text, ErrorClass::Blocked));
        }
        return Ok(found);
    }
    let servers = ctx.database_servers().await.halt(CONDITION)?;
    // An instance whose id was minted a moment ago does not wait for a server that is away.
    let asked: Vec<&DatabaseServer> = match trust {
        Trust::Young => servers.iter().filter(|s| is_ready(s)).collect(),
        Trust::Known | Trust::Given => servers.iter().collect(),
    };
    let Everywhere { found, away } = everywhere(ctx, instance, id, &asked, &settings).await?;
    if found.as_ref().is_some_and(Found::is_data) || trust == Trust::Young || !has_database(ctx, instance).await? {
        return Ok(found);
    }
    if trust == Trust::Given && (servers.is_empty() || !ctx.memory.is_list_whole("DatabaseServer")) {
        let which = if servers.is_empty() { "there is no DatabaseServer" } else { "a DatabaseServer cannot be read" };
        let text = format!(
            "{which}, so that none can be asked whether it holds data of id {id}, and nothing is made before that is known. Bring it back (`tenantry doctor` names what cannot be read)"
        );
        return Err(Halt::fail(CONDITION, "ServerNotAsked", text, ErrorClass::Blocked));
    }
    if let Some((server, error)) = away {
        let text = format!(
            "database server {server:?} cannot be asked whether it holds data of id {id}, and nothing is made before that is known: {error}. Bring it back (`tenantry database-server show {server}`), or, if it never comes back, delete its DatabaseServer"
        );
        return Err(Halt::fail(CONDITION, "ServerNotAsked", text, ErrorClass::Blocked));
    }
    let left = match trust {
        Trust::Given => left(ctx, instance, id).await?,
        Trust::Young | Trust::Known => None,
    };
    if let Some(left) = left {
        let text = format!(
            "{left} is older than this object, so it had a database, and none of the {} database servers has it; no new one is made in its place. Bring the server back that held it (`tenantry database-server list`)",
            servers.len()
        );
        return Err(Halt::fail(CONDITION, "DatabaseNotFound", text, ErrorClass::Blocked));
    }
    Ok(found)
}

/// The database servers that were created after an instance, and which of them are ready: they were not asked when the
/// instance was created.
///
/// # Errors
/// [`Halt`] at `DatabaseReady`.
pub async fn later_servers(ctx: &Ctx, instance: &CrmInstance) -> Result<String, Halt> {
    let servers = ctx.database_servers().await.halt(CONDITION)?;
    let came = instance.creation_timestamp();
    let later = servers.iter().filter(|s| s.creation_timestamp() >= came);
    let mut all: Vec<String> =
        later.map(|s| format!("{}/{}/{}", s.name_any(), s.uid().unwrap_or_default(), is_ready(s))).collect();
    all.sort();
    Ok(all.join(" "))
}

fn is_ready(server: &DatabaseServer) -> bool {
    server.status.as_ref().is_some_and(|s| s.phase == DatabaseServerPhase::Ready)
}

/// The row of a known instance, read for its release. None means that the instance has no database, or no row.
///
/// # Errors
/// [`Halt`] at `DatabaseReady` while a server cannot be asked.
pub async fn row(ctx: &Ctx, instance: &CrmInstance, id: &Id) -> Result<Option<Found>, Halt> {
    let settings = ctx.settings().await.halt(CONDITION)?;
    let reported = instance.status.as_ref().and_then(|s| s.database.clone()).map(|d| (d.server, d.name));
    let place = match placed(ctx, instance, id).await? {
        Some(place) => Some(place),
        None => reported,
    };
    if let Some((server, name)) = place {
        return Ok(on(ctx, &server, &name, &settings).await?.filter(|f| is_of(f, instance, id)));
    }
    if !has_database(ctx, instance).await? {
        return Ok(None);
    }
    let servers = ctx.database_servers().await.halt(CONDITION)?;
    let asked: Vec<&DatabaseServer> = servers.iter().collect();
    let Everywhere { found, away } = everywhere(ctx, instance, id, &asked, &settings).await?;
    match (found, away) {
        (None, Some((_, e))) => Err(Halt::at(CONDITION)(e)),
        (found, _) => Ok(found),
    }
}

/// The answers of the servers.
#[derive(Debug)]
pub struct Everywhere {
    /// The database.
    pub found: Option<Found>,
    /// The first server that could not be asked.
    pub away: Option<(String, Error)>,
}

/// Asks all given servers at the same time, by owner. Data comes before half-made databases. Of several generations that
/// one counts which the servers' own rows say to be current.
///
/// # Errors
/// [`Halt`] when two servers have data, when the rows contradict each other, or when the data belongs to another tenant.
pub async fn everywhere(
    ctx: &Ctx,
    instance: &CrmInstance,
    id: &Id,
    servers: &[&DatabaseServer],
    settings: &Settings,
) -> Result<Everywhere, Halt> {
    let owner = names::owner_of_instance(id);
    let answers = join_all(servers.iter().map(|server| async {
        let asked = sql::administration(ctx, server, settings).await?;
        Ok::<_, Error>(asked.admin.find_by_owner(&owner).await?)
    }))
    .await;
    let (mut all, mut away) = (Vec::new(), None);
    for (server, answer) in servers.iter().map(|s| s.name_any()).zip(answers) {
        match answer {
            Ok(rows) => all.extend(rows.into_iter().map(|record| Found { server: server.clone(), record })),
            Err(e) if away.is_none() => away = Some((server, e)),
            Err(_) => {}
        }
    }
    if let Some(other) = all.iter().find(|f| !is_of(f, instance, id)) {
        return Err(refuse(format!(
            "spec.id: server {:?} holds database {} of id {id}, which belongs to tenant id {}; create the tenant with that spec.id, or this instance without spec.id. The data is safe",
            other.server, other.record.name, other.record.tenant
        )));
    }
    let numbers: BTreeSet<u32> = all.iter().filter(|f| f.is_data()).map(|f| f.record.generation).collect();
    let said = instance.annotations().get(names::ANNOTATION_DATA_GENERATION).and_then(|text| text.parse().ok());
    let current = match (numbers.len(), numbers.first()) {
        (_, None) => return Ok(Everywhere { found: all.pop(), away }),
        (1, Some(only)) => *only,
        // A person said so, or an adoption noted it.
        _ if said.is_some_and(|said| numbers.contains(&said)) => said.unwrap_or_default(),
        _ => current_of(ctx, instance, &owner, &all, settings).await?,
    };
    let data: Vec<Found> = all.into_iter().filter(|f| f.is_data() && f.record.generation == current).collect();
    let named = instance.spec.database_server.as_deref();
    let found = match data.as_slice() {
        [one] => Some(one.clone()),
        several => several.iter().find(|f| Some(f.server.as_str()) == named).cloned(),
    };
    match found {
        Some(found) => Ok(Everywhere { found: Some(found), away }),
        None => Err(disputed(instance, &data)),
    }
}

/// The generation that the rows of the servers say to be current.
async fn current_of(
    ctx: &Ctx,
    instance: &CrmInstance,
    owner: &str,
    all: &[Found],
    settings: &Settings,
) -> Result<u32, Halt> {
    let mut rows = Vec::new();
    let named = instance.spec.database_server.as_ref().filter(|named| all.iter().any(|f| f.server == **named));
    let servers = all.iter().map(|f| &f.server).filter(|server| named.is_none_or(|named| *server == named));
    for name in servers.collect::<BTreeSet<_>>() {
        let Some(object) = ctx.database_server(name).await.halt(CONDITION)? else { continue };
        let asked = sql::administration(ctx, &object, settings).await.halt(CONDITION)?;
        rows.extend(asked.admin.generations(owner).await.halt(CONDITION)?);
    }
    generation::current(&rows).ok_or_else(|| {
        let text = format!(
            "the database servers hold several generations of this instance's data, and their rows do not say which one is current: {}. None was touched, and none is chosen. Bring every server back (`tenantry database-server list`), or say which generation is meant: kubectl -n {} annotate crm {} {}=NUMBER --overwrite",
            generation::described(&rows),
            instance.namespace().unwrap_or_default(),
            instance.name_any(),
            names::ANNOTATION_DATA_GENERATION,
        );
        Halt::fail(CONDITION, "GenerationDisputed", text, ErrorClass::Blocked)
    })
}

/// Several servers say that they have the data: a person must say which server is meant.
fn disputed(instance: &CrmInstance, data: &[Found]) -> Halt {
    let each = data.iter().map(|f| {
        let r = &f.record;
        format!("{} ({}, made {}, changed {})", f.server, r.state, r.created_at, r.updated_at)
    });
    let text = format!(
        "several database servers hold data of this instance: {}. None was touched, and none is chosen. Look at both, then say which one it is: kubectl -n {} patch crm {} --type=merge -p '{{\"spec\":{{\"databaseServer\":\"NAME\"}}}}'",
        each.collect::<Vec<_>>().join(", "),
        instance.namespace().unwrap_or_default(),
        instance.name_any()
    );
    Halt::fail(CONDITION, "DatabaseDisputed", text, ErrorClass::Blocked)
}

/// Whether a row belongs to this instance and to its tenant.
fn is_of(found: &Found, instance: &CrmInstance, id: &Id) -> bool {
    let tenant = instance.namespace().unwrap_or_default();
    found.record.owner == names::owner_of_instance(id)
        && Some(found.record.tenant.as_str()) == tenant.strip_prefix("tenant-")
}

/// One database on one server.
async fn on(ctx: &Ctx, server: &str, name: &str, settings: &Settings) -> Result<Option<Found>, Halt> {
    let object = ctx.database_server(server).await.halt(CONDITION)?;
    let object = object.ok_or_else(|| {
        let text = format!("DatabaseServer {server:?} with this instance's data does not exist; create it again");
        Halt::fail(CONDITION, "NoSuchServer", text, ErrorClass::Blocked)
    })?;
    let asked = sql::administration(ctx, &object, settings).await.halt(CONDITION)?;
    let record = asked.admin.record(name).await.halt(CONDITION)?;
    Ok(record.map(|record| Found { server: server.to_owned(), record }))
}

/// Server and database that the Secret names.
async fn placed(ctx: &Ctx, instance: &CrmInstance, id: &Id) -> Result<Option<(String, String)>, Halt> {
    let api: Api<Secret> = Api::namespaced(ctx.client.clone(), &instance.namespace().unwrap_or_default());
    let found = api.get_opt(&names::database_secret(id, data_generation(instance))).await;
    let found = found.map_err(Error::kube("get the database's Secret")).halt(CONDITION)?;
    let access = access_of(&data_of(found.and_then(|s| s.data).as_ref()));
    Ok(access.map(|(server, access)| (server, access.name)))
}

/// What exists of an instance before it was made: its keys, or a volume claim.
async fn left(ctx: &Ctx, instance: &CrmInstance, id: &Id) -> Result<Option<String>, Halt> {
    if keys_are_there(ctx, instance, id).await? {
        let name = names::keys_secret(id, data_generation(instance));
        return Ok(Some(format!("Secret {name} with keys of this instance")));
    }
    Ok(claim_of(ctx, instance, id).await?.map(|name| format!("volume claim {name} of this instance")))
}

/// A volume claim that carries an instance's id.
///
/// # Errors
/// [`Halt`] at `DatabaseReady`.
pub async fn claim_of(ctx: &Ctx, instance: &CrmInstance, id: &Id) -> Result<Option<String>, Halt> {
    let api: Api<PersistentVolumeClaim> =
        Api::namespaced(ctx.client.clone(), &instance.namespace().unwrap_or_default());
    let params = ListParams::default().labels(&format!("{}={id}", names::LABEL_INSTANCE_ID)).limit(1);
    let found = api.list_metadata(&params).await;
    let found = found.map_err(Error::kube("look for volume claims")).halt(CONDITION)?;
    Ok(found.items.first().map(ResourceExt::name_any))
}

async fn keys_are_there(ctx: &Ctx, instance: &CrmInstance, id: &Id) -> Result<bool, Halt> {
    let api: Api<Secret> = Api::namespaced(ctx.client.clone(), &instance.namespace().unwrap_or_default());
    let found = api.get_metadata_opt(&names::keys_secret(id, data_generation(instance))).await;
    Ok(found.map_err(Error::kube("look for the keys")).halt(CONDITION)?.is_some())
}

/// Whether the instance's product keeps a database, as far as the Blueprint tells.
async fn has_database(ctx: &Ctx, instance: &CrmInstance) -> Result<bool, Halt> {
    let blueprint = ctx.blueprint(&instance.spec.blueprint).await.halt(CONDITION)?;
    Ok(blueprint.is_none_or(|b| b.spec.database.is_some()))
}
