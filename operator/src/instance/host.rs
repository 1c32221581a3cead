//! Hosts: claimed by an object named after the host, atomically. Does I/O (Kubernetes).

use kube::ResourceExt;
use serde_json::json;
use tenantry_core::class::ErrorClass;
use tenantry_core::names;
use tenantry_plan::instance::Wanted;
use tenantry_plan::{Child, Kind};

use crate::context::Ctx;
use crate::halt::Halt;

fn build(ctx: &Ctx, wanted: &Wanted) -> Child {
    let rest = json!({ "immutable": true, "data": {
        "instance": wanted.id.as_str(), "tenant": wanted.tenant, "name": wanted.name } });
    let name = names::host_claim(&wanted.host);
    let labels = wanted.labels().and(names::LABEL_PURPOSE, "host-claim");
    Child::new(Kind::ConfigMap, Some(&ctx.system_namespace), &name, &labels, rest)
}

/// Claims the host, or finds it claimed by this instance already.
///
/// # Errors
/// [`Halt`] at `HostClaimed` when another instance has it.
pub async fn claim(ctx: &Ctx, wanted: &Wanted) -> Result<(), Halt> {
    let child = build(ctx, wanted);
    if ctx.memory.knows(&child) {
        return Ok(());
    }
    let stored = ctx.create_once(&child).await.map_err(Halt::at("HostClaimed"))?;
    let owner = stored.labels().get(names::LABEL_INSTANCE_ID).cloned().unwrap_or_default();
    if owner == wanted.id.as_str() {
        ctx.memory.applied(&child, &stored.metadata);
        return Ok(());
    }
    let data = |key: &str| stored.data.pointer(&format!("/data/{key}")).and_then(|v| v.as_str()).unwrap_or("?").to_owned();
    let text = format!(
        "spec.host: {} is taken by {}/{}; choose another host, or archive that instance first. Nothing was changed there",
        wanted.host,
        data("tenant"),
        data("name")
    );
    Err(Halt::fail("HostClaimed", "HostTaken", text, ErrorClass::Blocked))
}

/// Gives the host back, if it is this instance's.
///
/// # Errors
/// [`crate::error::Error::Kube`].
pub async fn release(ctx: &Ctx, instance_id: &str, host: &str) -> crate::error::Result<()> {
    let name = names::host_claim(host);
    let api = crate::cluster::dynamic_api(&ctx.client, Kind::ConfigMap, Some(&ctx.system_namespace));
    let found = api.get_opt(&name).await.map_err(crate::error::Error::kube("get the host claim"))?;
    if found.is_some_and(|c| c.labels().get(names::LABEL_INSTANCE_ID).is_some_and(|id| id == instance_id)) {
        ctx.remove(Kind::ConfigMap, Some(&ctx.system_namespace), &name).await?;
    }
    Ok(())
}
