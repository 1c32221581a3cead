//! What there is of an instance whose object was lost: the servers' own records tell. Does I/O (SQL, Kubernetes).

use kube::ResourceExt;
use tenantry_api::archive::KeptDatabase;
use tenantry_api::condition::ConditionType;
use tenantry_api::crm_instance::CrmInstanceSpec;
use tenantry_core::id::Id;
use tenantry_core::names;

use super::release;
use super::remains::Remains;
use crate::context::Ctx;
use crate::halt::{Halt, OrHalt};
use crate::sql;

/// Asks every server for databases of an id. `spec` is what is known of the object.
///
/// # Errors
/// [`Halt`] at `Archived` while a server cannot be asked: an archive that names half of the data would let the other
/// half be lost.
pub async fn found(ctx: &Ctx, id: &Id, spec: &CrmInstanceSpec) -> Result<Remains, Halt> {
    let settings = ctx.settings().await.halt(ConditionType::Archived)?;
    let owner = names::owner_of_instance(id);
    let mut data = Remains { databases: Vec::new(), generation: 1, release_hash: None, spec: spec.clone() };
    let mut servers = ctx.database_servers().await.halt(ConditionType::Archived)?;
    servers.sort_by_key(ResourceExt::name_any);
    for object in &servers {
        let server = sql::administration(ctx, object, &settings).await.halt(ConditionType::Archived)?;
        for record in server.admin.find_by_owner(&owner).await.halt(ConditionType::Archived)? {
            data.databases.push(KeptDatabase { server: object.name_any(), name: record.name });
            if record.generation >= data.generation {
                data.generation = record.generation;
                data.release_hash = Some(record.release_hash).filter(|hash| !hash.is_empty());
            }
        }
    }
    if let Some(hash) = &data.release_hash
        && let Some(release) = release::found(ctx, hash).await.halt(ConditionType::Archived)?
    {
        data.spec.blueprint = release.blueprint;
    }
    Ok(data)
}
