//! Ids: claimed by an object named after the id before anything is made from it, so that two objects that
//! carry one id never share what belongs to it. Does I/O (Kubernetes).

use kube::api::{Api, DynamicObject, PostParams};
use kube::{Resource, ResourceExt};
use serde_json::json;
use tenantry_api::condition::ConditionType;
use tenantry_api::crm_instance::CrmInstance;
use tenantry_api::tenant::Tenant;
use tenantry_core::id::Id;
use tenantry_core::names;
use tenantry_plan::labels::Labels;
use tenantry_plan::{Child, Kind};

use super::adopt::refuse;
use crate::cluster::dynamic_api;
use crate::context::Ctx;
use crate::error::Error;
use crate::halt::Halt;

/// Who has an id.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Holder {
    kind: String,
    namespace: String,
    name: String,
}

impl Holder {
    fn of<K: Resource<DynamicType = ()>>(object: &K) -> Self {
        Self {
            kind: K::kind(&()).into_owned(),
            namespace: object.meta().namespace.clone().unwrap_or_default(),
            name: object.meta().name.clone().unwrap_or_default(),
        }
    }

    fn stored(claim: &DynamicObject) -> Self {
        let text = |key: &str| claim.data.pointer(&format!("/data/{key}")).and_then(|v| v.as_str()).unwrap_or_default();
        Self { kind: text("kind").into(), namespace: text("namespace").into(), name: text("name").into() }
    }

    fn describe(&self) -> String {
        match self.kind.as_str() {
            "Tenant" => format!("tenant {:?}", self.name),
            _ => format!("instance {}/{}", self.namespace, self.name),
        }
    }

    /// Whether it is there and carries the id.
    async fn lives(&self, ctx: &Ctx, id: &Id) -> Result<bool, Halt> {
        let failed = |e| Halt::at(ConditionType::Ready)(Error::kube("get who has the id")(e));
        let carried = if self.kind == "Tenant" {
            let api: Api<Tenant> = Api::all(ctx.client.clone());
            api.get_opt(&self.name).await.map_err(failed)?.and_then(|t| t.spec.id)
        } else {
            let api: Api<CrmInstance> = Api::namespaced(ctx.client.clone(), &self.namespace);
            api.get_opt(&self.name).await.map_err(failed)?.and_then(|i| i.spec.id)
        };
        Ok(carried.as_deref() == Some(id.as_str()))
    }
}

fn build(ctx: &Ctx, id: &Id, holder: &Holder) -> Child {
    let rest = json!({ "data": { "kind": holder.kind, "namespace": holder.namespace, "name": holder.name } });
    let labels = Labels::managed().and(names::LABEL_PURPOSE, "id-claim");
    Child::new(Kind::ConfigMap, Some(&ctx.system_namespace), &names::id_claim(id), &labels, rest)
}

/// Claims an id for an object, or finds it claimed by the object already. A claim whose holder is gone is taken over,
/// and a claim that was lost is made again; `claimed_before` says to look first.
///
/// # Errors
/// [`Halt`] at `Ready`: refused while another object that has the id lives.
pub async fn claim<K: Resource<DynamicType = ()>>(
    ctx: &Ctx,
    object: &K,
    id: &Id,
    claimed_before: bool,
) -> Result<(), Halt> {
    let ready = Halt::at(ConditionType::Ready);
    let me = Holder::of(object);
    let child = build(ctx, id, &me);
    if ctx.memory.knows(&child) {
        return Ok(());
    }
    let api = dynamic_api(&ctx.client, Kind::ConfigMap, Some(&ctx.system_namespace));
    let found = match claimed_before {
        true => api.get_opt(&child.name).await.map_err(|e| ready(Error::kube("get the id's claim")(e)))?,
        false => None,
    };
    let stored = match found {
        Some(found) => found,
        None => ctx.create_once(&child).await.map_err(&ready)?,
    };
    let holder = Holder::stored(&stored);
    if holder == me {
        ctx.memory.applied(&child, &stored.metadata);
        return Ok(());
    }
    if holder.lives(ctx, id).await? {
        return Err(refuse(format!(
            "id {id} belongs to {}, which keeps it; create this one without spec.id",
            holder.describe()
        )));
    }
    let mut mine: DynamicObject = serde_json::from_value(child.object).map_err(|e| ready(e.into()))?;
    // Of two that find the holder gone, the version lets one through.
    mine.metadata.resource_version = stored.resource_version();
    let params = PostParams { field_manager: Some(crate::cluster::FIELD_MANAGER.into()), ..PostParams::default() };
    api.replace(&child.name, &params, &mine).await.map_err(|e| ready(Error::kube("take the id over")(e)))?;
    Ok(())
}

/// Whether an object that carries the id lives, as far as the claim tells.
///
/// # Errors
/// [`Halt`] at `Ready`.
pub async fn living(ctx: &Ctx, id: &Id) -> Result<Option<String>, Halt> {
    let api = dynamic_api(&ctx.client, Kind::ConfigMap, Some(&ctx.system_namespace));
    let found = api.get_opt(&names::id_claim(id)).await;
    let Some(claim) = found.map_err(|e| Halt::at(ConditionType::Ready)(Error::kube("get the id's claim")(e)))? else {
        return Ok(None);
    };
    let holder = Holder::stored(&claim);
    Ok(if holder.lives(ctx, id).await? { Some(holder.describe()) } else { None })
}
