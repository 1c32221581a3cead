//! Databases that somebody dropped by hand: one query per server, whose answer the instances check. And rows of
//! generations that lag behind an instance which was verified. Does I/O (SQL).

use kube::api::Api;
use kube::runtime::reflector::ObjectRef;
use tenantry_api::condition::{ConditionType, holds};
use tenantry_api::crm_instance::CrmInstance;
use tenantry_core::id::Id;
use tenantry_core::names;
use tenantry_database::Administration;
use tenantry_plan::instance::data_generation;

use crate::context::Ctx;
use crate::error::{Error, Result};
use crate::generation;

/// Asks a server for the names of its databases, and wakes the instances whose database is not among them. An instance
/// reports no loss because of this answer alone: it asks for its own database, in its own pass.
///
/// # Errors
/// [`Error`] of the server.
pub async fn sweep(ctx: &Ctx, server: &str, admin: &dyn Administration) -> Result<()> {
    // First the expected databases are read, then the present ones: a database that is created meanwhile is in the
    // answer.
    let expected = expected(ctx, server).await?;
    if expected.is_empty() {
        return Ok(());
    }
    for database in admin.unsettled().await? {
        let verified =
            |i: &CrmInstance| i.status.as_ref().is_some_and(|s| holds(&s.conditions, ConditionType::Verified));
        // Otherwise it is being installed, and its own pass settles it.
        if let Some((_, instance)) = expected.iter().find(|(name, i)| *name == database && verified(i))
            && let Some(id) = instance.spec.id.as_deref().and_then(|id| Id::parse(id).ok())
        {
            generation::settle_late(admin, &names::owner_of_instance(&id), data_generation(instance)).await?;
        }
    }
    let present = admin.present().await?;
    for (database, instance) in expected.into_iter().filter(|(database, _)| !present.contains(database)) {
        tracing::warn!(database, server, "not found by the server's sweep; its instance looks for it");
        ctx.memory.doubt(instance.metadata.uid.as_deref().unwrap_or_default());
        if let Some(wake) = &ctx.wake {
            // A closed channel means that the process is ending.
            let _ = wake.send(ObjectRef::from_obj(&instance));
        }
    }
    Ok(())
}

/// Databases that instances have on a server, according to their statuses. An instance that has already reported the
/// loss of its database is not included: it asks for the database by itself.
async fn expected(ctx: &Ctx, server: &str) -> Result<Vec<(String, CrmInstance)>> {
    let pick = |instance: &CrmInstance| database(instance, server).map(|name| (name, instance.clone()));
    if let Some(caches) = &ctx.caches {
        return Ok(caches.instances.state().iter().filter_map(|i| pick(i)).collect());
    }
    let api: Api<CrmInstance> = Api::all(ctx.client.clone());
    let list = api.list(&Default::default()).await.map_err(Error::kube("list instances"))?;
    Ok(list.items.iter().filter_map(pick).collect())
}

/// The database that was made for an instance on a server.
fn database(instance: &CrmInstance, server: &str) -> Option<String> {
    let status = instance.status.as_ref()?;
    let made =
        holds(&status.conditions, ConditionType::DatabaseReady) && holds(&status.conditions, ConditionType::Installed);
    let database = status.database.as_ref().filter(|d| d.server == server)?;
    (made && instance.metadata.deletion_timestamp.is_none()).then(|| database.name.clone())
}
