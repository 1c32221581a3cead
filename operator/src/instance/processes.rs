//! Processes of an instance: applied, watched until they are ready, switched between application and page. Does I/O.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use tenantry_api::condition::ConditionType;
use tenantry_core::class::ErrorClass;
use tenantry_core::names::{self, LABEL_INSTANCE_ID, LABEL_PROCESS};
use tenantry_plan::Kind;
use tenantry_plan::instance::{Desired, PAGE, Seen, Wanted, desired, serving};

use super::inputs::Inputs;
use super::observe::{Deployments, Found, deployments, is_ready, observe, page_is_waited_for, serving_ready};
use super::pass::Pass;
use super::turn::{self, Turn};
use crate::cluster::{Applied, keep, refused, trouble};
use crate::context::Ctx;
use crate::error::Error;
use crate::halt::{Halt, OrHalt};

/// The condition of an instance's processes.
pub const CONDITION: ConditionType = ConditionType::ProcessesReady;

/// Processes that run.
#[derive(Debug)]
pub struct Running {
    /// Message of the condition.
    pub message: String,
    /// Whether some processes start only after the verification.
    pub waits_for_verification: bool,
    /// Whether a change waits for its turn: people reach the instance as before.
    pub waits_for_turn: bool,
    /// What was seen of the processes before they were planned.
    pub seen: Seen,
}

/// Brings the processes to their desired state and waits until they are ready.
///
/// # Errors
/// [`Halt`] at `ProcessesReady`.
#[tracing::instrument(target = "tenantry::trace", level = "debug", name = "processes", skip_all)]
pub async fn ensure(ctx: &Ctx, pass: &mut Pass, inputs: &Inputs<'_>) -> Result<Running, Halt> {
    let wanted = inputs.wanted;
    let released = pass.released(wanted.generation);
    // Two rounds at most: the second one works with what the first one made ready (page up, then switch).
    for _ in 0..2 {
        let Found { seen, deployments: found, new } = observe(ctx, pass, inputs, released).await?;
        let plan = plan(inputs, &seen)?;
        let turn = turn::look(ctx, pass, inputs, &plan, &seen, &found).await?;
        let changed = apply(ctx, wanted, &plan, turn).await?;
        let bound = seen.volumes.values().filter_map(|claim| claim.volume.clone()).collect();
        keep(ctx, bound).await.halt(CONDITION)?;
        let found = if changed && !new { deployments(ctx, wanted).await.halt(CONDITION)? } else { found };
        let now = ready(wanted, &plan, &found, new);
        let next = serving(wanted.suspended.is_some(), Some(plan.decision.serving), now.app, now.page);
        if next != plan.decision {
            continue;
        }
        if now.all {
            let mut said = vec![now.message];
            if turn == Turn::Waits {
                said.push(turn::WAITS.into());
            } else {
                prune(ctx, wanted, &plan, pass).await.halt(CONDITION)?;
                turn::over(ctx, pass);
            }
            let message = said.into_iter().chain(plan.too_small).collect::<Vec<_>>().join("; ");
            let waits_for_turn = turn == Turn::Waits;
            return Ok(Running { message, waits_for_verification: !released && waits(wanted), waits_for_turn, seen });
        }
        return Err(if new { starting(now.message) } else { waiting(ctx, wanted, &found, now.message).await });
    }
    Err(Halt::wait(CONDITION, "Switching", "switching between application and page", Duration::from_secs(2)))
}

/// Starts the processes and schedules that waited for the verification, planned from what was seen before the
/// verification.
///
/// # Errors
/// [`Halt`] at `ProcessesReady`.
pub async fn start_the_rest(ctx: &Ctx, before: &Seen, inputs: &Inputs<'_>) -> Result<(), Halt> {
    let seen = Seen { verified: true, ..before.clone() };
    apply(ctx, inputs.wanted, &plan(inputs, &seen)?, Turn::Free).await?;
    Ok(())
}

fn waits(wanted: &Wanted) -> bool {
    let spec = &wanted.release.spec;
    !spec.schedules.is_empty() || spec.processes.iter().any(|p| p.after_verify)
}

#[tracing::instrument(target = "tenantry::trace", level = "debug", name = "plan", skip_all)]
fn plan(inputs: &Inputs<'_>, seen: &Seen) -> Result<Desired, Halt> {
    let Inputs { wanted, settings, limits, resources, database, keys, now: _ } = inputs;
    desired(wanted, settings, limits, *resources, *database, keys, seen).halt(CONDITION)
}

/// Returns whether a process was changed.
#[tracing::instrument(target = "tenantry::trace", level = "debug", name = "apply", skip_all)]
async fn apply(ctx: &Ctx, wanted: &Wanted, plan: &Desired, turn: Turn) -> Result<bool, Halt> {
    let mut changed = false;
    for child in plan.children.iter().filter(|c| turn == Turn::Free || !turn::stays(ctx, c)) {
        let applied = ctx.apply(child).await.halt(CONDITION)?;
        changed |= child.kind == Kind::Deployment && applied == Applied::Written;
    }
    for (kind, name) in &plan.prunes {
        ctx.remove(*kind, Some(&wanted.namespace), name).await.halt(CONDITION)?;
        changed = true;
    }
    Ok(changed)
}

struct Now {
    app: bool,
    page: bool,
    all: bool,
    message: String,
}

/// Whether the planned processes run, among the Deployments that were found. `new` means that there were none before.
fn ready(wanted: &Wanted, plan: &Desired, found: &Deployments, new: bool) -> Now {
    let spec = &wanted.release.spec;
    let nothing_runs = spec.processes.iter().all(|p| wanted.pods(p) == 0);
    if nothing_runs && wanted.suspended.is_none() {
        return Now { app: true, page: false, all: true, message: "no process is meant to run".into() };
    }
    let mut not_ready = Vec::new();
    let mut running = 0;
    for child in plan.children.iter().filter(|c| c.kind == Kind::Deployment) {
        let process =
            child.object.pointer("/metadata/labels").and_then(|l| l.get(LABEL_PROCESS)).and_then(|v| v.as_str());
        let replicas = child.object.pointer("/spec/replicas").and_then(serde_json::Value::as_i64).unwrap_or(1);
        let process = process.unwrap_or_default();
        let replicas = i32::try_from(replicas).unwrap_or(i32::MAX);
        if !found.get(process).map_or(new && replicas == 0, |d| is_ready(d, replicas)) {
            not_ready.push(process.to_owned());
        } else if replicas > 0 {
            running += 1;
        }
    }
    let all = not_ready.is_empty();
    let message = if all { format!("{running} processes run") } else { format!("starting: {}", not_ready.join(", ")) };
    Now { app: serving_ready(wanted, found), page: !page_is_waited_for(found.get(PAGE)), all, message }
}

fn starting(message: String) -> Halt {
    Halt::wait(CONDITION, "Starting", message, Duration::from_secs(15))
}

/// The halt that says what keeps the pods from running, or a normal wait.
async fn waiting(ctx: &Ctx, wanted: &Wanted, found: &Deployments, message: String) -> Halt {
    let api: Api<Pod> = Api::namespaced(ctx.client.clone(), &wanted.namespace);
    let params = ListParams::default().labels(&format!("{LABEL_INSTANCE_ID}={}", wanted.id));
    let pods = match api.list(&params).await {
        Ok(list) => list.items,
        Err(e) => return Halt::at(CONDITION)(Error::kube("list pods")(e)),
    };
    match trouble(&pods).or_else(|| found.values().find_map(refused)) {
        Some(t) => Halt::fail(CONDITION, &t.reason, t.message, ErrorClass::Blocked),
        None => starting(message),
    }
}

/// Removes configurations and hosts that nothing uses any more, once the new ones run. This process looks once for each
/// configuration and host. A new instance has no old ones.
async fn prune(ctx: &Ctx, wanted: &Wanted, plan: &Desired, pass: &Pass) -> crate::error::Result<()> {
    let in_use = format!("{} {:?}", wanted.host, plan.config);
    if pass.instance.status.is_none() && !pass.had_data_before() {
        // This is the instance's first pass: nothing existed before.
        ctx.memory.pruned(&wanted.id, in_use);
        return Ok(());
    }
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
