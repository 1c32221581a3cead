//! Claims of ids: an object named after the id claims it before anything is made from it, so that two objects that
//! carry the same id never share what belongs to the id. Does I/O (Kubernetes).

use kube::api::{Api, DynamicObject};
use kube::{Resource, ResourceExt};
use serde_json::json;
use tenantry_api::condition::ConditionType;
use tenantry_api::crm_instance::CrmInstance;
use tenantry_api::tenant::Tenant;
use tenantry_core::id::Id;
use tenantry_core::names;
use tenantry_plan::labels::Labels;
use tenantry_plan::{Child, Kind};

use super::refusal::refuse;
use crate::cluster::{dynamic_api, post_params};
use crate::context::Ctx;
use crate::error::Error;
use crate::halt::{Halt, OrHalt};

/// The object that has an id.
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

    /// Whether the holder exists and carries the id.
    async fn lives(&self, ctx: &Ctx, id: &Id) -> Result<bool, Halt> {
        Ok(self.look(ctx, id).await?.is_some())
    }

    /// Whether the holder was reported once, so that something was made from the id. None means that the holder does
    /// not exist, or has another id.
    async fn look(&self, ctx: &Ctx, id: &Id) -> Result<Option<bool>, Halt> {
        let (carried, is_reported) = if self.kind == "Tenant" {
            let api: Api<Tenant> = Api::all(ctx.client.clone());
            let found =
                api.get_opt(&self.name).await.map_err(Error::kube("get who has the id")).halt(ConditionType::Ready)?;
            let reported = found.as_ref().is_some_and(|t| t.status.as_ref().is_some_and(|s| s.namespace.is_some()));
            (found.and_then(|t| t.spec.id), reported)
        } else {
            let api: Api<CrmInstance> = Api::namespaced(ctx.client.clone(), &self.namespace);
            let found =
                api.get_opt(&self.name).await.map_err(Error::kube("get who has the id")).halt(ConditionType::Ready)?;
            let reported =
                found.as_ref().is_some_and(|i| i.status.as_ref().is_some_and(|s| s.data_generation.is_some()));
            (found.and_then(|i| i.spec.id), reported)
        };
        Ok((carried.as_deref() == Some(id.as_str())).then_some(is_reported))
    }
}

fn build(ctx: &Ctx, id: &Id, holder: &Holder) -> Child {
    let rest = json!({ "data": { "kind": holder.kind, "namespace": holder.namespace, "name": holder.name } });
    let labels = Labels::managed().and(names::LABEL_PURPOSE, "id-claim");
    Child::new(Kind::ConfigMap, Some(&ctx.system_namespace), &names::id_claim(id), &labels, rest)
}

/// Claims an id for an object, or finds that the object has claimed it already. A claim whose holder is gone is taken
/// over, and a lost claim is recreated. `reported` means that something was made from the id for this object: the
/// object had the claim already, and an object that came later and was never accepted has no right to the id.
///
/// # Errors
/// [`Halt`] at `Ready`: refused while another object that has the id lives.
pub async fn claim<K: Resource<DynamicType = ()>>(ctx: &Ctx, object: &K, id: &Id, reported: bool) -> Result<(), Halt> {
    let me = Holder::of(object);
    let child = build(ctx, id, &me);
    if ctx.memory.children.knows(&child) {
        return Ok(());
    }
    let api = dynamic_api(&ctx.client, Kind::ConfigMap, Some(&ctx.system_namespace));
    let found = match reported {
        true => api.get_opt(&child.name).await.map_err(Error::kube("get the id's claim")).halt(ConditionType::Ready)?,
        false => None,
    };
    let stored = match found {
        Some(found) => found,
        None => ctx.create_once(&child).await.halt(ConditionType::Ready)?,
    };
    let holder = Holder::stored(&stored);
    if holder == me {
        ctx.memory.children.applied(&child, &stored.metadata);
        return Ok(());
    }
    let other = holder.look(ctx, id).await?;
    if other.is_some_and(|its| its || !reported) {
        return Err(refuse(format!(
            "id {id} belongs to {}, which keeps it; create this one without spec.id",
            holder.describe()
        )));
    }
    let mut mine: DynamicObject = serde_json::from_value(child.object).halt(ConditionType::Ready)?;
    // If two objects find the holder gone, the resource version lets only one of them through.
    mine.metadata.resource_version = stored.resource_version();
    api.replace(&child.name, &post_params(), &mine)
        .await
        .map_err(Error::kube("take the id over"))
        .halt(ConditionType::Ready)?;
    Ok(())
}

/// Whether an id is claimed for this very object.
///
/// # Errors
/// [`Halt`] at `Ready`.
pub async fn is_held_by<K: Resource<DynamicType = ()>>(ctx: &Ctx, object: &K, id: &Id) -> Result<bool, Halt> {
    let api = dynamic_api(&ctx.client, Kind::ConfigMap, Some(&ctx.system_namespace));
    let found = api.get_opt(&names::id_claim(id)).await;
    let found = found.map_err(Error::kube("get the id's claim")).halt(ConditionType::Ready)?;
    Ok(found.is_some_and(|claim| Holder::stored(&claim) == Holder::of(object)))
}

/// Describes the living object that carries the id, as far as the claim shows. None means that no such object lives.
///
/// # Errors
/// [`Halt`] at `Ready`.
pub async fn living(ctx: &Ctx, id: &Id) -> Result<Option<String>, Halt> {
    let api = dynamic_api(&ctx.client, Kind::ConfigMap, Some(&ctx.system_namespace));
    let found = api.get_opt(&names::id_claim(id)).await;
    let Some(claim) = found.map_err(Error::kube("get the id's claim")).halt(ConditionType::Ready)? else {
        return Ok(None);
    };
    let holder = Holder::stored(&claim);
    Ok(if holder.lives(ctx, id).await? { Some(holder.describe()) } else { None })
}
