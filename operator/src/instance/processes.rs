//! Processes of an instance: applied, watched until they are ready, switched between application and page. Does I/O.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Service};
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use tenantry_api::plan::Resources;
use tenantry_core::class::ErrorClass;
use tenantry_core::ledger::Limits;
use tenantry_core::names::{self, LABEL_INSTANCE_ID, LABEL_PROCESS, LABEL_SERVES};
use tenantry_core::quantity;
use tenantry_plan::context::{DatabaseAccess, Keys};
use tenantry_plan::instance::{Desired, PAGE, Seen, Serving, Wanted, desired};
use tenantry_plan::{Kind, Settings};

use super::live::Pass;
use crate::cluster::trouble;
use crate::context::Ctx;
use crate::error::Error;
use crate::halt::Halt;

const CONDITION: &str = "ProcessesReady";

/// What processes are planned from.
#[derive(Debug)]
pub struct Planned<'a> {
    /// The instance.
    pub wanted: &'a Wanted,
    /// Settings.
    pub settings: &'a Settings,
    /// Limits.
    pub limits: &'a Limits,
    /// Resources of the plan.
    pub resources: Option<&'a Resources>,
    /// Database.
    pub database: Option<&'a DatabaseAccess>,
    /// Keys.
    pub keys: &'a Keys,
}

/// Processes that run.
#[derive(Debug)]
pub struct Running {
    /// For the condition.
    pub message: String,
    /// Whether some start only after the verification.
    pub waits_for_verification: bool,
}

/// Brings the processes to what they should be and waits until they are ready.
///
/// # Errors
/// [`Halt`] at `ProcessesReady`.
pub async fn ensure(ctx: &Ctx, pass: &Pass, planned: &Planned<'_>) -> Result<Running, Halt> {
    let wanted = planned.wanted;
    let at = Halt::at(CONDITION);
    let verified = pass.held("Verified", wanted.generation);
    // Twice at most: the second time with what the first made ready (page up, then switch).
    for _ in 0..2 {
        let seen = observe(ctx, planned, verified, pass).await?;
        let plan = plan(planned, &seen)?;
        apply(ctx, wanted, &plan).await?;
        let now = ready(ctx, planned, &plan).await?;
        let switched = tenantry_plan::instance::serving(
            wanted.suspended.is_some(),
            Some(plan.decision.serving),
            now.app,
            now.page,
        );
        if switched == plan.decision && now.all {
            prune(ctx, wanted, &plan, pass).await.map_err(&at)?;
            return Ok(Running { message: now.message, waits_for_verification: !verified && waits(wanted) });
        }
        if switched == plan.decision {
            return Err(waiting(ctx, wanted, now.message).await);
        }
    }
    Err(Halt::wait(CONDITION, "Switching", "switching between application and page", Duration::from_secs(2)))
}

/// Starts what waited for the verification.
///
/// # Errors
/// [`Halt`] at `ProcessesReady`.
pub async fn start_the_rest(ctx: &Ctx, pass: &Pass, planned: &Planned<'_>) -> Result<(), Halt> {
    let seen = observe(ctx, planned, true, pass).await?;
    apply(ctx, planned.wanted, &plan(planned, &seen)?).await
}

fn waits(wanted: &Wanted) -> bool {
    let spec = &wanted.release.spec;
    !spec.schedules.is_empty() || spec.processes.iter().any(|p| p.after_verify)
}

fn plan(planned: &Planned<'_>, seen: &Seen) -> Result<Desired, Halt> {
    let Planned { wanted, settings, limits, resources, database, keys } = planned;
    desired(wanted, settings, limits, *resources, *database, keys, seen).map_err(|e| Halt::at(CONDITION)(e.into()))
}

async fn apply(ctx: &Ctx, wanted: &Wanted, plan: &Desired) -> Result<(), Halt> {
    let at = Halt::at(CONDITION);
    for child in &plan.children {
        ctx.apply(child).await.map_err(&at)?;
    }
    for (kind, name) in &plan.prunes {
        ctx.remove(*kind, Some(&wanted.namespace), name).await.map_err(&at)?;
    }
    Ok(())
}

/// What is there before planning.
async fn observe(ctx: &Ctx, planned: &Planned<'_>, verified: bool, pass: &Pass) -> Result<Seen, Halt> {
    let wanted = planned.wanted;
    let at = Halt::at(CONDITION);
    let services: Api<Service> = Api::namespaced(ctx.client.clone(), &wanted.namespace);
    let name = names::service(&wanted.id);
    let service = services.get_opt(&name).await.map_err(|e| at(Error::kube("get the Service")(e)))?;
    let selector = service.and_then(|s| s.spec).and_then(|s| s.selector);
    let serving = selector.and_then(|s| match s.get(LABEL_SERVES).map(String::as_str) {
        Some("app") => Some(Serving::App),
        Some("page") => Some(Serving::Page),
        _ => None,
    });
    let mut seen = Seen { serving, verified, ..Seen::default() };
    if serving.is_none() && pass.instance.status.is_none() {
        // New: there is nothing else to see.
        return Ok(seen);
    }
    let found = deployments(ctx, wanted).await?;
    seen.app_ready = serving_ready(wanted, &found);
    seen.page_ready = found.get(PAGE).is_some_and(|d| is_ready(d, 1));
    if !wanted.release.spec.volumes.is_empty() {
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(ctx.client.clone(), &wanted.namespace);
        let params = ListParams::default().labels(&format!("{LABEL_INSTANCE_ID}={}", wanted.id));
        let list = claims.list(&params).await.map_err(|e| at(Error::kube("list volume claims")(e)))?;
        for claim in list.items {
            let requests = claim.spec.as_ref().and_then(|s| s.resources.as_ref()).and_then(|r| r.requests.as_ref());
            let size = requests.and_then(|r| r.get("storage")).and_then(|q| quantity::bytes(&q.0).ok());
            if claim.status.as_ref().and_then(|s| s.phase.as_deref()) != Some("Bound") {
                seen.unbound.insert(claim.name_any());
            }
            seen.volumes.insert(claim.name_any(), size.unwrap_or(0));
        }
    }
    Ok(seen)
}

async fn deployments(ctx: &Ctx, wanted: &Wanted) -> Result<BTreeMap<String, Deployment>, Halt> {
    let api: Api<Deployment> = Api::namespaced(ctx.client.clone(), &wanted.namespace);
    let params = ListParams::default().labels(&format!("{LABEL_INSTANCE_ID}={}", wanted.id));
    let list = api.list(&params).await.map_err(|e| Halt::at(CONDITION)(Error::kube("list deployments")(e)))?;
    Ok(list.items.into_iter().filter_map(|d| d.labels().get(LABEL_PROCESS).cloned().map(|p| (p, d))).collect())
}

fn is_ready(deployment: &Deployment, replicas: i32) -> bool {
    let Some(status) = &deployment.status else { return replicas == 0 };
    let current = status.observed_generation >= deployment.metadata.generation;
    let enough = |n: Option<i32>| n.unwrap_or(0) >= replicas;
    let none_left = replicas > 0 || status.replicas.unwrap_or(0) == 0;
    current && enough(status.updated_replicas) && enough(status.available_replicas) && none_left
}

fn serving_ready(wanted: &Wanted, found: &BTreeMap<String, Deployment>) -> bool {
    wanted.release.spec.processes.iter().filter(|p| p.serves).all(|p| {
        let replicas = i32::try_from(p.replicas.default).unwrap_or(i32::MAX);
        found.get(&p.name).is_some_and(|d| is_ready(d, replicas))
    })
}

struct Now {
    app: bool,
    page: bool,
    all: bool,
    message: String,
}

/// Whether what was planned runs.
async fn ready(ctx: &Ctx, planned: &Planned<'_>, plan: &Desired) -> Result<Now, Halt> {
    let wanted = planned.wanted;
    let spec = &wanted.release.spec;
    let nothing_runs = spec.processes.iter().all(|p| p.replicas.default == 0);
    if nothing_runs && wanted.suspended.is_none() {
        return Ok(Now { app: true, page: false, all: true, message: "no process is meant to run".into() });
    }
    let found = deployments(ctx, wanted).await?;
    let mut not_ready = Vec::new();
    let mut running = 0;
    for child in plan.children.iter().filter(|c| c.kind == Kind::Deployment) {
        let process =
            child.object.pointer("/metadata/labels").and_then(|l| l.get(LABEL_PROCESS)).and_then(|v| v.as_str());
        let replicas = child.object.pointer("/spec/replicas").and_then(serde_json::Value::as_i64).unwrap_or(1);
        let process = process.unwrap_or_default();
        if !found.get(process).is_some_and(|d| is_ready(d, i32::try_from(replicas).unwrap_or(i32::MAX))) {
            not_ready.push(process.to_owned());
        } else if replicas > 0 {
            running += 1;
        }
    }
    let all = not_ready.is_empty();
    let message = if all { format!("{running} processes run") } else { format!("starting: {}", not_ready.join(", ")) };
    Ok(Now { app: serving_ready(wanted, &found), page: found.get(PAGE).is_some_and(|d| is_ready(d, 1)), all, message })
}

/// A wait, or what keeps the pods from running.
async fn waiting(ctx: &Ctx, wanted: &Wanted, message: String) -> Halt {
    let api: Api<Pod> = Api::namespaced(ctx.client.clone(), &wanted.namespace);
    let params = ListParams::default().labels(&format!("{LABEL_INSTANCE_ID}={}", wanted.id));
    let pods = match api.list(&params).await {
        Ok(list) => list.items,
        Err(e) => return Halt::at(CONDITION)(Error::kube("list pods")(e)),
    };
    match trouble(&pods) {
        Some(t) => Halt {
            again: Some(Duration::from_secs(15)),
            ..Halt::fail(CONDITION, &t.reason, t.message, ErrorClass::Blocked)
        },
        None => Halt::wait(CONDITION, "Starting", message, Duration::from_secs(15)),
    }
}

/// Configurations and hosts that nothing uses any more, once the new ones run. This process looks once for
/// each configuration and host; a new instance has no old ones.
async fn prune(ctx: &Ctx, wanted: &Wanted, plan: &Desired, pass: &Pass) -> crate::error::Result<()> {
    let in_use = format!("{} {:?}", wanted.host, plan.config);
    if pass.instance.status.as_ref().is_none_or(|s| s.installed_at.is_none())
        || ctx.memory.is_pruned(&wanted.id, &in_use)
    {
        return Ok(());
    }
    super::host::release_all(ctx, wanted.id.as_str(), Some(&wanted.host)).await?;
    let keep: Vec<&str> = plan.children.iter().filter(|c| c.kind == Kind::Secret).map(|c| c.name.as_str()).collect();
    let api = crate::cluster::dynamic_api(&ctx.client, Kind::Secret, Some(&wanted.namespace));
    let selector = format!("{LABEL_INSTANCE_ID}={},{}=config", wanted.id, names::LABEL_PURPOSE);
    let list = api
        .list_metadata(&ListParams::default().labels(&selector))
        .await
        .map_err(Error::kube("list configurations"))?;
    for old in list.items.iter().map(ResourceExt::name_any).filter(|n| !keep.contains(&n.as_str())) {
        ctx.remove(Kind::Secret, Some(&wanted.namespace), &old).await?;
    }
    ctx.memory.pruned(&wanted.id, in_use);
    Ok(())
}
