//! The status of an object of ours: one writer for every kind, which writes only what differs. Does I/O (Kubernetes).

use kube::api::{ObjectMeta, Patch, PatchParams};
use kube::core::object::HasStatus;
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::cluster::apply_params;
use crate::context::Ctx;
use crate::error::{Error, Result};

/// Field manager under which earlier versions of the operator applied statuses.
const EARLIER_MANAGER: &str = "tenantry";

/// Writes a status if it differs from the status that was read. The request names the uid, so that another object of
/// the same name never gets the status. If the object is gone by now, no status is needed.
///
/// # Errors
/// [`Error::Kube`].
#[tracing::instrument(target = "tenantry::trace", level = "debug", name = "status", skip_all)]
pub async fn write<K>(ctx: &Ctx, object: &K, status: K::Status) -> Result<()>
where
    K: Resource<DynamicType = ()> + HasStatus + Clone + DeserializeOwned + std::fmt::Debug,
    K::Status: Serialize + PartialEq,
{
    if object.status() == Some(&status) {
        return Ok(());
    }
    let mut metadata = json!({ "name": object.name_any(), "uid": object.meta().uid });
    if let Some(namespace) = object.namespace() {
        metadata["namespace"] = namespace.into();
    }
    let mut body = json!({ "apiVersion": K::api_version(&()), "kind": K::kind(&()), "metadata": metadata });
    let bare = body.clone();
    body["status"] = serde_json::to_value(status)?;
    let stored = apply(ctx, object, &apply_params(), &body).await?;
    if stored.as_ref().is_some_and(has_earlier_manager) {
        // An apply does not remove fields that another manager owns. Here the earlier manager gives up all its fields,
        // and the API server removes those that the new status does not have. If this call fails, the next write of
        // the status makes up for it.
        apply(ctx, object, &PatchParams::apply(EARLIER_MANAGER), &bare).await?;
    }
    Ok(())
}

/// Applies a status. Returns the metadata of the stored object, or None if the object is gone.
async fn apply<K>(ctx: &Ctx, object: &K, params: &PatchParams, body: &Value) -> Result<Option<ObjectMeta>>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    let (name, kind) = (object.name_any(), K::kind(&()));
    let request = kube::core::Request::new(K::url_path(&(), object.meta().namespace.as_deref()));
    let request = request.patch_subresource("status", &name, params, &Patch::Apply(body));
    let request = request.map_err(|e| Error::kube("write a status")(kube::Error::BuildRequest(e)))?;
    match ctx.client.request::<K>(request).await {
        Ok(stored) => {
            ctx.memory.wrote(stored.meta());
            Ok(Some(stored.meta().clone()))
        }
        Err(kube::Error::Api(answer)) if answer.code == 404 => Ok(None),
        Err(e) => Err(Error::kube(format!("write the status of {kind} {name}"))(e)),
    }
}

/// Whether fields of the stored status still belong to the earlier manager.
fn has_earlier_manager(meta: &ObjectMeta) -> bool {
    meta.managed_fields.iter().flatten().any(|entry| {
        let applied = entry.operation.as_deref() == Some("Apply") && entry.subresource.as_deref() == Some("status");
        applied && entry.manager.as_deref() == Some(EARLIER_MANAGER)
    })
}
