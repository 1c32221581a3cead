//! Secret settings that stand in a spec do not go into its Archive, which more people read. Does I/O (Kubernetes).

use std::collections::BTreeMap;

use kube::api::Patch;
use serde_json::json;
use tenantry_api::crm_instance::CrmInstance;
use tenantry_core::id::Id;
use tenantry_core::names;
use tenantry_plan::Kind;
use tenantry_plan::archive::hide;

use super::release;
use super::remains::Remains;
use crate::cluster::{dynamic_api, patch_params, post_params};
use crate::context::Ctx;
use crate::error::{Error, Result};

/// Moves the secret settings into the instance's Secret of settings, where an adoption finds them. Without the release
/// it is not known which settings are secret, and all of them stay where they are.
///
/// # Errors
/// [`Error::Kube`].
pub(super) async fn secrets(ctx: &Ctx, instance: &CrmInstance, id: &Id, data: &mut Remains) -> Result<()> {
    if data.spec.settings.is_empty() {
        return Ok(());
    }
    let kept = match &data.release_hash {
        Some(hash) => release::found(ctx, hash).await?.map(|r| r.spec),
        None => None,
    };
    let blueprint = match kept {
        Some(spec) => Some(spec),
        None => ctx.blueprint(&data.spec.blueprint).await?.map(|b| b.spec),
    };
    let Some(blueprint) = blueprint else { return Ok(()) };
    let name = names::settings_secret(id);
    let values = hide(&mut data.spec, &blueprint, &name);
    if values.is_empty() {
        return Ok(());
    }
    write(ctx, instance, id, &name, &values).await
}

/// Adds values to the Secret. The values that are there already need not be read for that.
async fn write(
    ctx: &Ctx,
    instance: &CrmInstance,
    id: &Id,
    name: &str,
    values: &BTreeMap<String, String>,
) -> Result<()> {
    let namespace = instance.metadata.namespace.as_deref();
    let api = dynamic_api(&ctx.client, Kind::Secret, namespace);
    let said = || Error::kube("keep the secret settings");
    let patch = json!({ "stringData": values });
    match api.patch(name, &patch_params(), &Patch::Merge(&patch)).await {
        Ok(_) => return Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => {}
        Err(e) => return Err(said()(e)),
    }
    let tenant = namespace.and_then(|ns| ns.strip_prefix("tenant-")).unwrap_or_default();
    let object = json!({ "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": { "name": name, "labels": {
            names::LABEL_TENANT_ID: tenant, names::LABEL_TENANT: instance.spec.tenant,
            names::LABEL_INSTANCE_ID: id.as_str(), names::LABEL_INSTANCE: instance.metadata.name,
            names::LABEL_PURPOSE: "settings",
        }},
        "stringData": values });
    match api.create(&post_params(), &serde_json::from_value(object)?).await {
        Ok(_) => Ok(()),
        Err(e) => Err(said()(e)),
    }
}
