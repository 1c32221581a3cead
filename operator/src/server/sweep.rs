//! Databases that somebody dropped by hand: one question a server, whose answer the instances check. Does I/O (SQL).

use kube::api::Api;
use kube::runtime::reflector::ObjectRef;
use tenantry_api::condition::{ConditionType, holds};
use tenantry_api::crm_instance::CrmInstance;
use tenantry_database::Administration;

use crate::context::Ctx;
use crate::error::{Error, Result};

/// Asks a server for the names of its databases, and makes the instances look whose database is not among them. An
/// instance accuses nobody on this word alone: it asks for its own database, in its own turn.
///
/// # Errors
/// [`Error`] of the server.
pub async fn sweep(ctx: &Ctx, server: &str, admin: &dyn Administration) -> Result<()> {
    // First who is said to be there, then who is: a database that is made meanwhile is in the answer.
    let expected = expected(ctx, server).await?;
    if expected.is_empty() {
        return Ok(());
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

/// Databases that instances say they have on a server. One that said already that it lost its own is not among them:
/// it asks for it by itself.
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
