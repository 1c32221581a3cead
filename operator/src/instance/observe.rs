//! What there is of an instance's processes before they are planned. Does I/O (Kubernetes).

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Service};
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use tenantry_api::condition::ConditionType;
use tenantry_core::id::Id;
use tenantry_core::names::{self, LABEL_INSTANCE_ID, LABEL_PROCESS, LABEL_SERVES};
use tenantry_plan::instance::{
    PAGE, Seen, Serving, Wanted, build_budget, build_service, may_be_many, volume_bytes, was_built_otherwise,
};
use tenantry_plan::{Claim, Kind};

use super::inputs::Inputs;
use super::pass::Pass;
use crate::cluster::{dynamic_api, look_at_growth};
use crate::context::Ctx;
use crate::error::{Error, Result};
use crate::halt::{Halt, OrHalt};

/// Deployments by process.
pub type Deployments = BTreeMap<String, Deployment>;

/// What was found.
#[derive(Debug)]
pub struct Found {
    /// What planning needs.
    pub seen: Seen,
    /// The Deployments that exist.
    pub deployments: Deployments,
    /// Whether nothing existed: what this pass makes cannot be ready yet, so it need not be read.
    pub new: bool,
}

/// Reads everything that planning needs, and nothing when the instance is new.
///
/// # Errors
/// [`Halt`] at `ProcessesReady`.
#[tracing::instrument(target = "tenantry::trace", level = "debug", name = "observe", skip_all)]
pub async fn observe(ctx: &Ctx, pass: &Pass, inputs: &Inputs<'_>, verified: bool) -> Result<Found, Halt> {
    let wanted = inputs.wanted;
    let begins = pass.instance.status.is_none() && !pass.had_data_before();
    let serving = serving(ctx, wanted, begins).await.halt(ConditionType::ProcessesReady)?;
    let mut seen = Seen { serving, verified, ..Seen::default() };
    if begins && serving.is_none() {
        return Ok(Found { seen, deployments: Deployments::new(), new: true });
    }
    let deployments = deployments(ctx, wanted).await.halt(ConditionType::ProcessesReady)?;
    seen.app_ready = serving_ready(wanted, &deployments);
    seen.page_ready = !page_is_waited_for(deployments.get(PAGE));
    seen.volumes = claims(ctx, pass, inputs).await.halt(ConditionType::ProcessesReady)?;
    seen.lost.clone_from(&pass.lost);
    seen.budgets = budgets(ctx, wanted).await.halt(ConditionType::ProcessesReady)?;
    let otherwise = wanted.release.spec.processes.iter().filter(|p| was_built_otherwise(p));
    let live = otherwise.filter_map(|p| deployments.get(&p.name).map(|d| (&p.name, d)));
    for (name, deployment) in live {
        let live = serde_json::to_value(deployment).halt(ConditionType::ProcessesReady)?;
        seen.processes.insert(name.clone(), live);
    }
    Ok(Found { seen, deployments, new: false })
}

/// What answers at the moment, the application or the page. The Service need not be read when this process applied it
/// and nobody has changed it since. It need not be read either when the instance is new and the watch has reported no
/// Service of it.
async fn serving(ctx: &Ctx, wanted: &Wanted, begins: bool) -> Result<Option<Serving>> {
    if !wanted.release.spec.processes.iter().any(|p| p.serves) {
        return Ok(None);
    }
    let services = [Serving::App, Serving::Page].map(|s| (s, build_service(wanted, s)));
    if let Some((serving, _)) = services.iter().find(|(_, child)| ctx.memory.children.knows(child)) {
        return Ok(Some(*serving));
    }
    if begins && services.iter().all(|(_, child)| ctx.memory.children.is_unseen(child)) {
        return Ok(None);
    }
    let api: Api<Service> = Api::namespaced(ctx.client.clone(), &wanted.namespace);
    let service = api.get_opt(&names::service(&wanted.id)).await.map_err(Error::kube("get the Service"))?;
    let selector = service.and_then(|s| s.spec).and_then(|s| s.selector);
    Ok(selector.and_then(|s| match s.get(LABEL_SERVES).map(String::as_str) {
        Some("app") => Some(Serving::App),
        Some("page") => Some(Serving::Page),
        _ => None,
    }))
}

/// The Deployments of an instance.
///
/// # Errors
/// [`Error::Kube`].
pub async fn deployments(ctx: &Ctx, wanted: &Wanted) -> Result<Deployments> {
    deployments_of(ctx, &wanted.namespace, &wanted.id).await
}

/// The Deployments of an instance of which only namespace and id are known.
///
/// # Errors
/// [`Error::Kube`].
pub async fn deployments_of(ctx: &Ctx, namespace: &str, id: &Id) -> Result<Deployments> {
    let api: Api<Deployment> = Api::namespaced(ctx.client.clone(), namespace);
    let params = ListParams::default().labels(&format!("{LABEL_INSTANCE_ID}={id}"));
    let list = api.list(&params).await.map_err(Error::kube("list deployments"))?;
    Ok(list.items.into_iter().filter_map(|d| d.labels().get(LABEL_PROCESS).cloned().map(|p| (p, d))).collect())
}

/// The disruption budgets of an instance. They are not read where the blueprint allows none, where a budget is wanted
/// and applied anyway, or where a watch would have reported one.
async fn budgets(ctx: &Ctx, wanted: &Wanted) -> Result<BTreeSet<String>> {
    let spec = &wanted.release.spec;
    let unwanted = spec.processes.iter().filter(|p| may_be_many(p) && wanted.pods(p) <= 1);
    let mut unwanted = unwanted.map(|p| build_budget(wanted, p)).filter(|child| !ctx.memory.children.is_unseen(child));
    if unwanted.next().is_none() {
        return Ok(BTreeSet::new());
    }
    let api = dynamic_api(&ctx.client, Kind::PodDisruptionBudget, Some(&wanted.namespace));
    let params = ListParams::default().labels(&format!("{LABEL_INSTANCE_ID}={}", wanted.id));
    let list = api.list_metadata(&params).await.map_err(Error::kube("list disruption budgets"))?;
    Ok(list.items.iter().map(ResourceExt::name_any).collect())
}

async fn claims(ctx: &Ctx, pass: &Pass, inputs: &Inputs<'_>) -> Result<BTreeMap<String, Claim>> {
    let wanted = inputs.wanted;
    let mut all = pass.claims.clone().unwrap_or_default();
    if wanted.release.spec.volumes.is_empty() {
        return Ok(all);
    }
    if pass.claims.is_none() {
        let api: Api<PersistentVolumeClaim> = Api::namespaced(ctx.client.clone(), &wanted.namespace);
        let params = ListParams::default().labels(&format!("{LABEL_INSTANCE_ID}={}", wanted.id));
        let list = api.list(&params).await.map_err(Error::kube("list volume claims"))?;
        all.extend(list.items.into_iter().map(|claim| (claim.name_any(), Claim::of(&claim))));
    }
    for volume in &wanted.release.spec.volumes {
        if let Some(claim) = all.get_mut(&names::volume(&wanted.id, &volume.name, wanted.generation)) {
            look_at_growth(ctx, claim, volume_bytes(inputs.limits, volume)).await?;
        }
    }
    Ok(all)
}

/// Whether this many pods of the newest kind run. With zero replicas: whether no pod runs.
#[must_use]
pub fn is_ready(deployment: &Deployment, replicas: i32) -> bool {
    let Some(status) = &deployment.status else { return replicas == 0 };
    let current = status.observed_generation >= deployment.metadata.generation;
    let enough = |n: Option<i32>| n.unwrap_or(0) >= replicas;
    // While pods are exchanged one after the other, the pods of the kind before are available, too.
    let of_before = status.replicas.unwrap_or(0) - status.updated_replicas.unwrap_or(0);
    let none_left = if replicas > 0 { of_before <= 0 } else { status.replicas.unwrap_or(0) == 0 };
    current && enough(status.updated_replicas) && enough(status.available_replicas) && none_left
}

/// Whether the Service must wait for the page before it is switched to the page: while the page is missing or starting.
/// A page that Kubernetes has given up on, for lack of its image or of room, does not keep the CRM of a suspended
/// tenant serving.
#[must_use]
pub fn page_is_waited_for(page: Option<&Deployment>) -> bool {
    let Some(page) = page else { return true };
    let conditions = page.status.as_ref().and_then(|s| s.conditions.as_ref());
    let current = page.status.as_ref().is_some_and(|s| s.observed_generation >= page.metadata.generation);
    let given_up = conditions.is_some_and(|all| all.iter().any(|c| c.type_ == "Progressing" && c.status == "False"));
    !(is_ready(page, 1) || (current && given_up))
}

/// Whether the serving processes run.
#[must_use]
pub fn serving_ready(wanted: &Wanted, found: &Deployments) -> bool {
    wanted.release.spec.processes.iter().filter(|p| p.serves).all(|p| {
        let replicas = i32::try_from(wanted.pods(p)).unwrap_or(i32::MAX);
        found.get(&p.name).is_some_and(|d| is_ready(d, replicas))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_deployment_is_ready_when_no_pod_of_the_kind_before_is_left() {
        let deployment = |updated: i32, available: i32, all: i32| -> Deployment {
            let status = json!({ "observedGeneration": 2, "updatedReplicas": updated, "availableReplicas": available,
                "replicas": all });
            serde_json::from_value(json!({ "metadata": { "generation": 2 }, "status": status })).unwrap()
        };
        assert!(is_ready(&deployment(1, 1, 1), 1));
        assert!(!is_ready(&deployment(1, 1, 2), 1), "the new one starts while the old one is available");
        assert!(!is_ready(&deployment(1, 0, 1), 1));
        assert!(is_ready(&deployment(2, 2, 2), 1), "one that is on its way out is of the newest kind");
        assert!(!is_ready(&deployment(1, 1, 1), 2));
        assert!(is_ready(&deployment(0, 0, 0), 0) && !is_ready(&deployment(1, 1, 1), 0));
    }
}
