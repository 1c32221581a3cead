//! Hosts: claimed by an object named after the host, atomically. Does I/O (Kubernetes).

use k8s_openapi::api::networking::v1::Ingress;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Preconditions};
use serde_json::json;
use tenantry_api::condition::ConditionType;
use tenantry_api::crm_instance::CrmInstance;
use tenantry_core::class::ErrorClass;
use tenantry_core::id::Id;
use tenantry_core::names;
use tenantry_plan::instance::{Wanted, serves};
use tenantry_plan::{Child, Kind};

use crate::context::Ctx;
use crate::error::Error;
use crate::halt::{Halt, OrHalt};
use crate::life::claim;

/// Number of Ingresses that one request reads.
const PAGE: u32 = 250;

fn build(ctx: &Ctx, wanted: &Wanted) -> Child {
    let rest = json!({ "immutable": true, "data": {
        "instance": wanted.id.as_str(), "tenant": wanted.tenant, "name": wanted.name } });
    let name = names::host_claim(&wanted.host);
    let labels = wanted.labels().and(names::LABEL_PURPOSE, "host-claim");
    Child::new(Kind::ConfigMap, Some(&ctx.system_namespace), &name, &labels, rest)
}

/// Claims the host, or finds that this instance has claimed it already; `claimed_before` says to look for the claim
/// first. Before a claim is made, a check finds out whether somebody else's Ingress serves the host. This check is not
/// repeated for a host that is claimed.
///
/// # Errors
/// [`Halt`] at `HostClaimed` when another instance has the host, or an Ingress that is not ours serves it.
#[tracing::instrument(target = "tenantry::trace", level = "debug", name = "host", skip_all)]
pub async fn claim(ctx: &Ctx, wanted: &Wanted, class: Option<&str>, claimed_before: bool) -> Result<(), Halt> {
    let child = build(ctx, wanted);
    if ctx.memory.children.knows(&child) {
        return Ok(());
    }
    let api = crate::cluster::dynamic_api(&ctx.client, child.kind, child.namespace.as_deref());
    let found = match claimed_before {
        true => api
            .get_opt(&child.name)
            .await
            .map_err(Error::kube("get the host claim"))
            .halt(ConditionType::HostClaimed)?,
        false => None,
    };
    let stored = match found {
        Some(found) => found,
        None => {
            served_elsewhere(ctx, wanted, class).await?;
            ctx.create_once(&child).await.halt(ConditionType::HostClaimed)?
        }
    };
    let owner = stored.labels().get(names::LABEL_INSTANCE_ID).cloned().unwrap_or_default();
    if owner == wanted.id.as_str() {
        ctx.memory.children.applied(&child, &stored.metadata);
        return Ok(());
    }
    if let Some(claimed) = released(ctx, &stored, &owner).await? {
        // The first instance that creates the claim again has the host.
        let again = ctx.create_once(&child).await.halt(ConditionType::HostClaimed)?;
        if again.labels().get(names::LABEL_INSTANCE_ID).map(String::as_str) == Some(wanted.id.as_str()) {
            ctx.memory.children.applied(&child, &again.metadata);
            return Ok(());
        }
        let text = format!("spec.host: {} was just taken by another instance, after {claimed} was gone", wanted.host);
        return Err(Halt::fail(ConditionType::HostClaimed, "HostTaken", text, ErrorClass::Blocked));
    }
    let data =
        |key: &str| stored.data.pointer(&format!("/data/{key}")).and_then(|v| v.as_str()).unwrap_or("?").to_owned();
    let text = format!(
        "spec.host: {} is taken by {}/{}; choose another host, or archive that instance first. Nothing was changed there",
        wanted.host,
        data("tenant"),
        data("name")
    );
    Err(Halt::fail(ConditionType::HostClaimed, "HostTaken", text, ErrorClass::Blocked))
}

/// Refuses a host that somebody else's Ingress serves: the ingress controller would go on sending people there. All
/// Ingresses that are not ours are searched once for a claim, because the API server cannot be asked by host.
async fn served_elsewhere(ctx: &Ctx, wanted: &Wanted, class: Option<&str>) -> Result<(), Halt> {
    if !wanted.release.spec.processes.iter().any(|p| p.serves) {
        return Ok(());
    }
    let api: Api<Ingress> = Api::all(ctx.client.clone());
    let foreign = format!("{}!={}", names::LABEL_MANAGED_BY, names::MANAGED_BY);
    let mut page = ListParams::default().labels(&foreign).limit(PAGE);
    loop {
        let found = api.list(&page).await.map_err(Error::kube("list Ingresses")).halt(ConditionType::HostClaimed)?;
        if let Some(other) = found.items.iter().find(|i| serves(i, &wanted.host, class)) {
            let (namespace, name) = (other.namespace().unwrap_or_default(), other.name_any());
            let text = format!(
                "spec.host: {} is served by Ingress {namespace}/{name}, which is none of Tenantry's; nothing was made. Take the host out of it (kubectl -n {namespace} edit ingress {name}), or choose another one: kubectl -n {} edit crminstance {}",
                wanted.host, wanted.namespace, wanted.name
            );
            return Err(Halt::fail(ConditionType::HostClaimed, "HostServedElsewhere", text, ErrorClass::Blocked));
        }
        match found.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => return Ok(()),
        }
    }
}

/// Removes a claim when its holder and everything that could serve its host are gone. Returns who had the claim. None
/// means that the claim is in use.
async fn released(ctx: &Ctx, stored: &DynamicObject, owner: &str) -> Result<Option<String>, Halt> {
    let text = |key: &str| stored.data.pointer(&format!("/data/{key}")).and_then(|v| v.as_str()).unwrap_or_default();
    let tenant = stored.labels().get(names::LABEL_TENANT_ID).and_then(|id| Id::parse(id).ok());
    let (Ok(id), Some(tenant)) = (Id::parse(owner), tenant) else { return Ok(None) };
    let namespace = names::namespace(&tenant);
    let living: Api<CrmInstance> = Api::namespaced(ctx.client.clone(), &namespace);
    let holder = living
        .get_opt(text("name"))
        .await
        .map_err(Error::kube("get who has the host"))
        .halt(ConditionType::HostClaimed)?;
    if holder.is_some_and(|i| i.spec.id.as_deref() == Some(owner)) || claim::living(ctx, &id).await?.is_some() {
        return Ok(None);
    }
    let ingress = crate::cluster::dynamic_api(&ctx.client, Kind::Ingress, Some(&namespace));
    let serves = ingress
        .get_opt(&names::service(&id))
        .await
        .map_err(Error::kube("get its Ingress"))
        .halt(ConditionType::HostClaimed)?;
    if serves.is_some() {
        let message = format!(
            "the host is served by what is left of instance {id} ({}/{}), whose object is gone. Nothing was changed there. `tenantry archive orphan {tenant}/{id}` archives it with all its data, and the host is free then",
            text("tenant"),
            text("name")
        );
        return Err(Halt::fail(ConditionType::HostClaimed, "HostOrphaned", message, ErrorClass::Blocked));
    }
    let api = crate::cluster::dynamic_api(&ctx.client, Kind::ConfigMap, Some(&ctx.system_namespace));
    // Deletes this very claim: a new claim that was made meanwhile is left alone.
    let preconditions = Preconditions { uid: stored.metadata.uid.clone(), resource_version: None };
    let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
    match api.delete(&stored.name_any(), &params).await {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
        Err(e) => return Err(Halt::at(ConditionType::HostClaimed)(Error::kube("take the host over")(e))),
    }
    Ok(Some(format!("{}/{}", text("tenant"), text("name"))))
}

/// Gives back every host of an instance except the one that it keeps.
///
/// # Errors
/// [`crate::error::Error::Kube`].
pub async fn release_all(ctx: &Ctx, instance_id: &str, keep: Option<&str>) -> crate::error::Result<()> {
    let keep = keep.map(names::host_claim);
    let api = crate::cluster::dynamic_api(&ctx.client, Kind::ConfigMap, Some(&ctx.system_namespace));
    let selector = format!("{}={instance_id},{}=host-claim", names::LABEL_INSTANCE_ID, names::LABEL_PURPOSE);
    let found = api.list_metadata(&ListParams::default().labels(&selector)).await;
    for claim in found.map_err(Error::kube("list host claims"))?.items {
        if keep.as_deref() != Some(claim.name_any().as_str()) {
            ctx.remove(Kind::ConfigMap, Some(&ctx.system_namespace), &claim.name_any()).await?;
        }
    }
    Ok(())
}
