//! Room for the volumes of an instance that is new, asked before anything is made. Does I/O (Kubernetes).

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, ResourceQuota};
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use tenantry_api::condition::ConditionType;
use tenantry_core::class::ErrorClass;
use tenantry_core::ledger::Limits;
use tenantry_core::names::{self, LABEL_INSTANCE_ID};
use tenantry_plan::instance::{Wanted, volume_bytes};
use tenantry_plan::room::{fits, refusal};

use crate::context::Ctx;
use crate::error::Error;
use crate::halt::{Halt, OrHalt};
use crate::life::adopt::archives_of;

/// Checks whether the tenant's quota has room for the volumes that do not exist yet. Archived instances count in the
/// quota, because their volumes are kept.
///
/// # Errors
/// [`Halt`] at `SpecValid` that names the archives which hold volumes.
pub async fn ask(ctx: &Ctx, wanted: &Wanted, limits: &Limits) -> Result<(), Halt> {
    let volumes = &wanted.release.spec.volumes;
    if volumes.is_empty() {
        return Ok(());
    }
    let api: Api<ResourceQuota> = Api::namespaced(ctx.client.clone(), &wanted.namespace);
    let quota =
        api.get_opt("tenantry").await.map_err(Error::kube("get the tenant's quota")).halt(ConditionType::SpecValid)?;
    let Some(quota) = quota else { return Ok(()) };
    let all: Vec<u64> = volumes.iter().map(|v| volume_bytes(limits, v)).collect();
    if fits(&quota, &all).is_ok() {
        return Ok(());
    }
    // The quota counts the volumes that exist already.
    let api: Api<PersistentVolumeClaim> = Api::namespaced(ctx.client.clone(), &wanted.namespace);
    let mine = ListParams::default().labels(&format!("{LABEL_INSTANCE_ID}={}", wanted.id));
    let there =
        api.list_metadata(&mine).await.map_err(Error::kube("list volume claims")).halt(ConditionType::SpecValid)?.items;
    let there: Vec<String> = there.iter().map(ResourceExt::name_any).collect();
    let name = |volume: &str| names::volume(&wanted.id, volume, wanted.generation);
    let open = volumes.iter().filter(|v| !there.contains(&name(&v.name)));
    let open: Vec<u64> = open.map(|v| volume_bytes(limits, v)).collect();
    let Err(shortage) = fits(&quota, &open) else { return Ok(()) };
    let archives = archives_of(ctx, &wanted.tenant_id).await?;
    let text = refusal(&shortage, &wanted.tenant, &archives);
    Err(Halt::fail(ConditionType::SpecValid, "NoRoom", text, ErrorClass::Blocked))
}
