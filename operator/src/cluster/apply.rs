//! Applying children: server-side, forced, and only when something differs. Does I/O (Kubernetes).

use kube::api::{DeleteParams, DynamicObject, Patch};
use tenantry_plan::{Child, Kind, child};

use super::manager::{apply_params, post_params};
use super::objects::dynamic_api;
use crate::context::Ctx;
use crate::error::{Error, Result};

/// What an apply did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// Nothing had to be written.
    Unchanged,
    /// It was written.
    Written,
}

impl Ctx {
    /// Brings a child to its desired state. Reads only when this process has not applied it itself, and writes only
    /// when the object differs.
    ///
    /// # Errors
    /// [`Error::Kube`].
    pub async fn apply(&self, child: &Child) -> Result<Applied> {
        if self.memory.children.knows(child) {
            return Ok(Applied::Unchanged);
        }
        let api = dynamic_api(&self.client, child.kind, child.namespace.as_deref());
        // A child that no watch has seen is very likely new: applying it at once saves the read, and does no harm if
        // the child exists after all.
        if !self.memory.children.is_unseen(child) {
            let live = api.get_opt(&child.name).await.map_err(Error::kube(format!("get {}", child.describe())))?;
            if let Some(live) = live {
                let value = serde_json::to_value(&live)?;
                if child::is_applied(child, &value) {
                    self.memory.children.applied(child, &live.metadata);
                    return Ok(Applied::Unchanged);
                }
            }
        }
        let mut params = apply_params();
        params.field_validation = Some(kube::api::ValidationDirective::Strict);
        let live = api
            .patch(&child.name, &params, &Patch::Apply(&child.object))
            .await
            .map_err(Error::kube(format!("apply {}", child.describe())))?;
        self.memory.children.applied(child, &live.metadata);
        Ok(Applied::Written)
    }

    /// Creates an object unless an object with its name exists. Returns the stored object, whether the operator created
    /// it or not.
    ///
    /// # Errors
    /// [`Error::Kube`].
    pub async fn create_once(&self, child: &Child) -> Result<DynamicObject> {
        let api = dynamic_api(&self.client, child.kind, child.namespace.as_deref());
        let wanted: DynamicObject = serde_json::from_value(child.object.clone())?;
        match api.create(&post_params(), &wanted).await {
            Ok(made) => Ok(made),
            Err(kube::Error::Api(status)) if status.code == 409 => {
                api.get(&child.name).await.map_err(Error::kube(format!("get {}", child.describe())))
            }
            Err(e) => Err(Error::kube(format!("create {}", child.describe()))(e)),
        }
    }

    /// Removes an object together with its own children. It is no error if the object does not exist.
    ///
    /// # Errors
    /// [`Error::Kube`].
    pub async fn remove(&self, kind: Kind, namespace: Option<&str>, name: &str) -> Result<()> {
        let api = dynamic_api(&self.client, kind, namespace);
        self.memory.children.forget(kind, namespace, name);
        match api.delete(name, &DeleteParams::background()).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(e) => Err(Error::kube(format!("delete {} {name}", kind.api().kind))(e)),
        }
    }
}
