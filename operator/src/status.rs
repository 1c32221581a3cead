//! The status of an object of ours: one writer for every kind, which writes only what differs. Does I/O (Kubernetes).

use kube::api::{Patch, PatchParams};
use kube::core::object::HasStatus;
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tenantry_core::names;

use crate::context::Ctx;
use crate::error::{Error, Result};

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
    let (name, kind) = (object.name_any(), K::kind(&()));
    let mut metadata = json!({ "name": name, "uid": object.meta().uid });
    if let Some(namespace) = object.namespace() {
        metadata["namespace"] = namespace.into();
    }
    let body = json!({ "apiVersion": K::api_version(&()), "kind": kind, "metadata": metadata, "status": status });
    let url = K::url_path(&(), object.meta().namespace.as_deref());
    let request = kube::core::Request::new(url);
    let params = PatchParams::apply(names::MANAGED_BY).force();
    let request = request.patch_subresource("status", &name, &params, &Patch::Apply(&body));
    let request = request.map_err(|e| Error::kube("write a status")(kube::Error::BuildRequest(e)))?;
    match ctx.client.request::<K>(request).await {
        Ok(stored) => {
            ctx.memory.wrote(stored.meta());
            Ok(())
        }
        Err(kube::Error::Api(answer)) if answer.code == 404 => Ok(()),
        Err(e) => Err(Error::kube(format!("write the status of {kind} {name}"))(e)),
    }
}
