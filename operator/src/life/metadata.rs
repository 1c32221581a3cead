//! The first write to a new Tenant: id, finalizer and the baseline of its billing stream, in one patch. Does I/O.

use kube::api::{Api, Patch};
use kube::{Resource, ResourceExt};
use serde_json::{Value, json};
use tenantry_core::id::Id;
use tenantry_core::names;

use crate::cluster::patch_params;
use crate::context::Ctx;
use crate::error::{Error, Result};

/// Sets what is missing among `spec.id`, finalizer and annotations, guarded by the version that was read.
///
/// Returns the stored object. None means that nothing was missing, and nothing was written.
///
/// # Errors
/// [`Error::Kube`]; a conflict is transient.
pub async fn metadata<K>(
    ctx: &Ctx,
    api: &Api<K>,
    object: &K,
    has_id: bool,
    annotations: &[(&str, String)],
) -> Result<Option<K>>
where
    K: Resource + Clone + serde::de::DeserializeOwned + std::fmt::Debug + serde::Serialize,
{
    let mut patch = json!({ "metadata": {} });
    let mut needed = false;
    if !object.finalizers().iter().any(|f| f == names::FINALIZER) {
        let mut all = object.finalizers().to_vec();
        all.push(names::FINALIZER.to_owned());
        patch["metadata"]["finalizers"] = all.into();
        needed = true;
    }
    for (key, value) in annotations {
        if object.annotations().get(*key) != Some(value) {
            patch["metadata"]["annotations"][*key] = Value::from(value.clone());
            needed = true;
        }
    }
    if !has_id {
        let id = Id::mint(ctx.random_bytes()?);
        patch["spec"] = json!({ "id": id.as_str() });
        needed = true;
    }
    if !needed {
        return Ok(None);
    }
    // The resource version makes two operators, or an operator with a stale cache, collide here instead of minting two
    // ids.
    patch["metadata"]["resourceVersion"] = object.resource_version().unwrap_or_default().into();
    let stored = api
        .patch(&object.name_any(), &patch_params(), &Patch::Merge(&patch))
        .await
        .map_err(Error::kube(format!("prepare {}", object.name_any())))?;
    ctx.memory.wrote(stored.meta());
    Ok(Some(stored))
}

/// Removes the finalizer: the object may go.
///
/// # Errors
/// [`Error::Kube`].
pub async fn release<K>(api: &Api<K>, object: &K) -> Result<()>
where
    K: Resource + Clone + serde::de::DeserializeOwned + std::fmt::Debug + serde::Serialize,
{
    let rest: Vec<_> = object.finalizers().iter().filter(|f| *f != names::FINALIZER).cloned().collect();
    let patch = json!({ "metadata": {
        "finalizers": rest,
        "resourceVersion": object.resource_version().unwrap_or_default(),
    }});
    match api.patch(&object.name_any(), &patch_params(), &Patch::Merge(&patch)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(e) => Err(Error::kube(format!("release {}", object.name_any()))(e)),
    }
}
