//! Applying children: server-side, forced, and only when something differs. Does I/O (Kubernetes).

use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::Value;
use tenantry_plan::{Child, Kind, child};

use super::objects::dynamic_api;
use crate::context::Ctx;
use crate::error::{Error, Result};

/// Field manager of everything that the operator applies.
pub const FIELD_MANAGER: &str = "tenantry-operator";

/// What an apply did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// Nothing had to be written.
    Unchanged,
    /// It was written.
    Written,
}

impl Ctx {
    /// Brings a child to what it should be. Reads only when this process has not applied it itself, and
    /// writes only when the object differs.
    ///
    /// # Errors
    /// [`Error::Kube`].
    pub async fn apply(&self, child: &Child) -> Result<Applied> {
        if self.memory.knows(child) {
            return Ok(Applied::Unchanged);
        }
        let api = dynamic_api(&self.client, child.kind, child.namespace.as_deref());
        // A child that no watch has seen is new in all likelihood: applying it at once saves the read.
        if !self.fresh(child) {
            let live = api.get_opt(&child.name).await.map_err(Error::kube(format!("get {}", child.describe())))?;
            if let Some(live) = live {
                let value = serde_json::to_value(&live)?;
                if child::holds(&comparable(child), &value) {
                    self.memory.applied(child, &live.metadata);
                    return Ok(Applied::Unchanged);
                }
            }
        }
        let mut params = PatchParams::apply(FIELD_MANAGER).force();
        params.field_validation = Some(kube::api::ValidationDirective::Strict);
        let live = api
            .patch(&child.name, &params, &Patch::Apply(&child.object))
            .await
            .map_err(Error::kube(format!("apply {}", child.describe())))?;
        self.memory.applied(child, &live.metadata);
        Ok(Applied::Written)
    }

    /// Makes an object if there is none of its name, and returns what is there, ours or not.
    ///
    /// # Errors
    /// [`Error::Kube`].
    pub async fn create_once(&self, child: &Child) -> Result<DynamicObject> {
        let api = dynamic_api(&self.client, child.kind, child.namespace.as_deref());
        let wanted: DynamicObject = serde_json::from_value(child.object.clone())?;
        let params = PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
        match api.create(&params, &wanted).await {
            Ok(made) => Ok(made),
            Err(kube::Error::Api(status)) if status.code == 409 => {
                api.get(&child.name).await.map_err(Error::kube(format!("get {}", child.describe())))
            }
            Err(e) => Err(Error::kube(format!("create {}", child.describe()))(e)),
        }
    }

    /// Removes an object; none is fine. Its own children go with it.
    ///
    /// # Errors
    /// [`Error::Kube`].
    pub async fn remove(&self, kind: Kind, namespace: Option<&str>, name: &str) -> Result<()> {
        let api = dynamic_api(&self.client, kind, namespace);
        self.memory.forget(kind, namespace, name);
        match api.delete(name, &DeleteParams::background()).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(e) => Err(Error::kube(format!("delete {} {name}", kind.api().kind))(e)),
        }
    }
}

/// The child as it comes back from the server: `stringData` is stored as `data`.
fn comparable(child: &Child) -> Value {
    use base64_of as b64;
    let mut object = child.object.clone();
    if child.kind == Kind::Secret
        && let Some(map) = object.as_object_mut()
        && let Some(Value::Object(texts)) = map.remove("stringData")
    {
        let data = texts.into_iter().map(|(k, v)| (k, Value::from(b64(v.as_str().unwrap_or_default())))).collect();
        map.insert("data".into(), Value::Object(data));
    }
    object
}

fn base64_of(text: &str) -> String {
    match serde_json::to_value(k8s_openapi::ByteString(text.as_bytes().to_vec())) {
        Ok(Value::String(encoded)) => encoded,
        _ => String::new(),
    }
}
