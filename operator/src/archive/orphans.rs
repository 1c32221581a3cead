//! Finds remains of a tenant to which no object and no archive leads: they block a purge, and are reported. Does I/O.

use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use serde::de::DeserializeOwned;
use tenantry_api::archive::{Archive, ArchivePhase};
use tenantry_api::condition::{ConditionType, Said};
use tenantry_api::crm_instance::CrmInstance;
use tenantry_api::database_server::{DatabaseServerStatus, OrphanedDatabase};
use tenantry_core::class::ErrorClass;
use tenantry_core::id::Id;
use tenantry_core::names;
use tenantry_database::{DatabaseRecord, Page};
use tenantry_plan::Kind;
use tenantry_plan::orphans::{Found, LISTED, led_to, phase, refusal};

use super::pace::{CONDITION, has_namespace};
use crate::cluster::dynamic_api;
use crate::context::Ctx;
use crate::error::{Error, Result};
use crate::halt::{Halt, OrHalt};
use crate::sql::{self, Server};

/// How often a server's registry is compared with instances and archives. More often while orphans are known, so that
/// they are soon no longer reported after somebody has dealt with them.
const EVERY: Duration = Duration::from_secs(3_600);
const EVERY_WHILE_KNOWN: Duration = Duration::from_secs(300);
/// Objects of a kind per page.
const PAGE: u32 = 500;

/// Refuses the purge of a tenant while its namespace or a database server holds something of the tenant that no purged
/// archive names. Changes nothing. Every server is asked, and a server that cannot be asked leads to a refusal as well.
///
/// # Errors
/// [`Halt`] at `Purged` with the list and the commands.
pub async fn none_of(ctx: &Ctx, archives: &[Archive], tenant: &Id) -> std::result::Result<(), Halt> {
    let namespace = names::namespace(tenant);
    let mut found = in_namespace(ctx, archives, &namespace).await.halt(CONDITION)?;
    let settings = ctx.settings().await.halt(CONDITION)?;
    if !ctx.memory.is_list_whole("DatabaseServer") {
        let text = "a DatabaseServer cannot be read, so it is not known whether it holds something of this tenant; nothing was destroyed. `tenantry doctor` names it";
        return Err(Halt::fail(CONDITION, "Blocked", text, ErrorClass::Blocked));
    }
    let mut servers = ctx.database_servers().await.halt(CONDITION)?;
    servers.sort_by_key(ResourceExt::name_any);
    for object in &servers {
        let name = object.name_any();
        let asked = |halt: Halt| Halt {
            message: format!(
                "database server {name:?} must be asked whether it holds something of this tenant, and nothing was destroyed: {}",
                halt.message
            ),
            ..halt
        };
        let server = sql::administration(ctx, object, &settings).await.halt(CONDITION).map_err(&asked)?;
        let records = server.admin.find_by_tenant(tenant.as_str()).await.halt(CONDITION).map_err(&asked)?;
        found.extend(records.iter().map(|r| Found {
            instance: names::instance_of_owner(&r.owner).map(|id| id.to_string()),
            what: format!("database {} on {name}", r.name),
        }));
    }
    match refusal(&namespace, tenant.as_str(), &found) {
        Some(text) => Err(Halt::fail(CONDITION, "Orphans", text, ErrorClass::Blocked)),
        None => Ok(()),
    }
}

/// Finds volume claims that no purged archive names, and Secrets and processes of instances that have no purged
/// archive.
async fn in_namespace(ctx: &Ctx, archives: &[Archive], namespace: &str) -> Result<Vec<Found>> {
    let purged: Vec<&Archive> = archives.iter().filter(|a| phase(a) == ArchivePhase::Purged).collect();
    let mut found = Vec::new();
    for (kind, word) in Kind::ALL.into_iter().filter_map(|kind| Some((kind, kind.name_as_remains()?))) {
        // Claims that the operator did not create count too: a volume holds data, whoever wrote it.
        let of_instances = ListParams::default().labels(names::LABEL_INSTANCE_ID);
        let params = if kind == Kind::PersistentVolumeClaim { ListParams::default() } else { of_instances };
        let listed = dynamic_api(&ctx.client, kind, Some(namespace)).list_metadata(&params).await;
        let all = match listed.map_err(Error::kube(format!("list what is left in {namespace}"))) {
            Ok(all) => all.items,
            // The namespace is gone, and with it both the Secrets and the right to read them.
            Err(e) if e.api_code() == Some(403) && !has_namespace(ctx, namespace).await? => return Ok(found),
            Err(e) => return Err(e),
        };
        for one in all {
            let (name, instance) = (one.name_any(), one.labels().get(names::LABEL_INSTANCE_ID).cloned());
            let named = match kind {
                Kind::PersistentVolumeClaim => purged.iter().any(|a| a.spec.volumes.contains(&name)),
                _ => instance.as_ref().is_some_and(|id| purged.iter().any(|a| a.spec.id == *id)),
            };
            if !named {
                found.push(Found { instance, what: format!("{word} {name}") });
            }
        }
    }
    Ok(found)
}

/// Whether it is time to look for databases on a server to which nothing leads.
#[must_use]
pub fn is_due(ctx: &Ctx, uid: &str, status: &DatabaseServerStatus, now: Timestamp) -> bool {
    let every = if status.orphans.is_empty() { EVERY } else { EVERY_WHILE_KNOWN };
    ctx.memory.is_due(uid, now, every)
}

/// Databases of a server to which no living instance and no open archive leads. Returns their number, and the first few
/// of them for a report to people.
///
/// The registry is read first, then objects and archives. A database that is created or archived meanwhile is therefore
/// found through its object or archive, and a database that is purged meanwhile has no record any more.
///
/// # Errors
/// [`Error`].
pub async fn on_server(ctx: &Ctx, server: &Server) -> Result<(u32, Vec<OrphanedDatabase>)> {
    let mut page = Page { prefix: names::DATABASE_PREFIX.into(), after: None, limit: 0 };
    let mut records: Vec<(Id, DatabaseRecord)> = Vec::new();
    loop {
        let some = server.admin.records(&page).await?;
        let Some(last) = some.last() else { break };
        page.after = Some(last.name.clone());
        records.extend(some.into_iter().filter_map(|r| Some((names::instance_of_owner(&r.owner)?, r))));
    }
    if records.is_empty() {
        return Ok((0, Vec::new()));
    }
    let mut known = std::collections::BTreeSet::new();
    pages::<CrmInstance>(ctx, |some| known.extend(led_to(&some, &[]))).await?;
    pages::<Archive>(ctx, |some| known.extend(led_to(&[], &some))).await?;
    let (mut count, mut told) = (0_u32, Vec::new());
    for (id, record) in records.into_iter().filter(|(id, _)| !known.contains(id.as_str())) {
        if told.len() >= LISTED {
            count = count.saturating_add(1);
        } else if server.admin.record(&record.name).await?.is_some_and(|r| r.owner == record.owner) {
            count = count.saturating_add(1);
            told.push(OrphanedDatabase { name: record.name, instance: id.to_string(), tenant: record.tenant });
        }
    }
    Ok((count, told))
}

/// The server's condition about orphans. The caller does not set it as long as there never were any orphans.
#[must_use]
pub fn said(server: &str, count: u32, told: &[OrphanedDatabase]) -> Said {
    let Some(first) = told.first() else {
        return Said::yes(ConditionType::NoOrphans, "None", "every database belongs to an instance or an archive");
    };
    let names: Vec<&str> = told.iter().map(|o| o.name.as_str()).collect();
    let text = format!(
        "{count} databases on {server} belong to no living instance and to no archive that keeps them: {}. They are kept. `tenantry archive orphan {}/{}` makes an archive of one, which can be adopted or purged",
        names.join(", "),
        first.tenant,
        first.instance
    );
    Said::no(ConditionType::NoOrphans, "Orphans", text)
}

/// Reads all objects of a kind page by page, so that they are never all in memory at once.
async fn pages<K>(ctx: &Ctx, mut each: impl FnMut(Vec<K>)) -> Result<()>
where
    K: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned,
{
    let api: Api<K> = Api::all(ctx.client.clone());
    let mut params = ListParams::default().limit(PAGE);
    loop {
        let list = api.list(&params).await.map_err(Error::kube("list what leads to databases"))?;
        each(list.items);
        match list.metadata.continue_.filter(|c| !c.is_empty()) {
            Some(next) => params = params.continue_token(&next),
            None => return Ok(()),
        }
    }
}
