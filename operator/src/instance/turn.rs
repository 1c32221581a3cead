//! Whether an instance may exchange its processes now, when something that is not its own changed. Does I/O: reads
//! once in the life of a process which instances were being exchanged before.
//!
//! A change of the instance itself is a person's wish for this instance, and never waits. A change that concerns all
//! instances (the Site, another version of this program) is let through in turns. A turn is written into the status
//! before the first process is touched, and given back when all processes run again.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Api, ListParams};
use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};
use tenantry_api::condition::{ConditionType, ROAD_OF_A_COPY};
use tenantry_api::crm_instance::CrmInstance;
use tenantry_core::id::Id;
use tenantry_core::names::LABEL_PROCESS;
use tenantry_plan::child::is_applied;
use tenantry_plan::instance::{Desired, PAGE, Seen};
use tenantry_plan::{Child, Kind};

use super::inputs::Inputs;
use super::observe::{Deployments, deployments_of, is_ready};
use super::pass::Pass;
use super::volumes::VOLUME_LOST;
use crate::context::Ctx;
use crate::error::{Error, Result};
use crate::halt::{Halt, OrHalt};

/// What `ProcessesReady` says of an instance that waits.
pub const WAITS: &str = "a change that is not its own (of the Site, or another version of the operator) waits for its turn: at most spec.restartsAtOnce of the Site are exchanged at once";

/// Number of instances that one request reads.
const AT_ONCE: u32 = 500;

/// What may be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Everything that is planned.
    Free,
    /// Only what leaves the processes as they are.
    Waits,
}

/// Finds out whether the processes may be exchanged now; takes a turn where one is needed.
///
/// # Errors
/// [`Halt`] at `ProcessesReady` when the turn that was just taken must be written into the status first.
pub async fn look(
    ctx: &Ctx,
    pass: &mut Pass,
    inputs: &Inputs<'_>,
    plan: &Desired,
    seen: &Seen,
    found: &Deployments,
) -> std::result::Result<Turn, Halt> {
    let uid = pass.instance.uid().unwrap_or_default();
    let has_turn = pass.instance.status.as_ref().is_some_and(|s| s.exchanging_since.is_some());
    if has_turn {
        ctx.turns.keep(&uid);
        return Ok(Turn::Free);
    }
    if is_own(pass, inputs, seen) || !exchanges(ctx, plan, found).halt(ConditionType::ProcessesReady)? {
        call(ctx, &uid);
        return Ok(Turn::Free);
    }
    // Without caches (in tests) several operators work beside each other, each with its own queue of turns.
    if ctx.caches.is_some() && !ctx.turns.are_known() {
        known(ctx).await.halt(ConditionType::ProcessesReady)?;
    }
    let most = usize::try_from(inputs.settings.site.restarts_at_once).unwrap_or(usize::MAX);
    if !ctx.turns.take((uid, ObjectRef::from_obj(&pass.instance)), most) {
        return Ok(Turn::Waits);
    }
    pass.exchanging = Some(Some(inputs.now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()));
    let text = "its processes are exchanged now, as a change that is not its own wants";
    Err(Halt::wait(ConditionType::ProcessesReady, "Exchanging", text, Duration::from_millis(200)))
}

/// Ends the turn: everything runs as planned. The turn is taken out of the status at the end of this pass.
pub fn over(ctx: &Ctx, pass: &mut Pass) {
    if pass.instance.status.as_ref().is_some_and(|s| s.exchanging_since.is_some()) {
        pass.exchanging = Some(None);
        call(ctx, &pass.instance.uid().unwrap_or_default());
    }
}

/// Gives back a turn that is written in the status, when the instance is held up before its processes and all of these
/// run. Nobody would use the turn, and the instances behind it would not move on. The instance gets another turn when
/// it comes that far. The next instance is called ([`call`]) only when the status says that the turn is given back,
/// because otherwise two would be exchanged at once.
///
/// # Errors
/// [`Error::Kube`].
pub async fn give_back(ctx: &Ctx, pass: &mut Pass, halt: &Halt) -> Result<()> {
    let Some(id) = pass.instance.spec.id.as_deref().and_then(|id| Id::parse(id).ok()) else { return Ok(()) };
    let place = |kind: ConditionType| ROAD_OF_A_COPY.iter().position(|step| *step == kind);
    // Volumes are looked for before processes are touched, and a lost volume is reported at the condition of the
    // processes.
    let is_before = place(halt.condition) < place(ConditionType::ProcessesReady) || halt.reason == VOLUME_LOST;
    if !is_before {
        return Ok(());
    }
    let namespace = pass.instance.namespace().unwrap_or_default();
    let processes = deployments_of(ctx, &namespace, &id).await?;
    let rests = |d: &Deployment| is_ready(d, d.spec.as_ref().and_then(|s| s.replicas).unwrap_or(1));
    if processes.iter().all(|(process, d)| *process == PAGE || rests(d)) {
        pass.exchanging = Some(None);
    }
    Ok(())
}

/// Notes that an instance needs no turn, and wakes the instances whose turn it is then.
pub fn call(ctx: &Ctx, uid: &str) {
    for (uid, reference) in ctx.turns.leave(uid) {
        ctx.memory.unsettle(&uid);
        if let Some(wake) = &ctx.wake {
            // A closed channel means that the process is ending.
            let _ = wake.send(reference);
        }
    }
}

/// Notes which instances were being exchanged when this process began.
///
/// # Errors
/// [`Error::Kube`].
pub async fn known(ctx: &Ctx) -> Result<()> {
    let api: Api<CrmInstance> = Api::all(ctx.client.clone());
    let (mut have, mut params) = (Vec::new(), ListParams::default().limit(AT_ONCE));
    loop {
        let page = api.list(&params).await.map_err(Error::kube("list instances"))?;
        let under_way = |i: &&CrmInstance| i.status.as_ref().is_some_and(|s| s.exchanging_since.is_some());
        have.extend(page.items.iter().filter(under_way).filter_map(|i| i.meta().uid.clone()));
        match page.metadata.continue_.filter(|c| !c.is_empty()) {
            Some(next) => params = params.continue_token(&next),
            None => break,
        }
    }
    ctx.turns.known(have);
    Ok(())
}

/// Whether the change is the instance's own, or nobody works in the instance now: then going on interrupts nothing.
fn is_own(pass: &Pass, inputs: &Inputs<'_>, seen: &Seen) -> bool {
    // The generation that counts is the one at the condition of the processes: the status counts a generation as seen
    // even if the pass halted at another step.
    let conditions = pass.instance.status.iter().flat_map(|s| &s.conditions);
    let mut seen_before =
        conditions.filter(|c| c.type_ == ConditionType::ProcessesReady.word()).map(|c| c.observed_generation);
    seen_before.next() != Some(pass.instance.metadata.generation)
        || !seen.verified
        || !seen.app_ready
        || inputs.wanted.suspended.is_some()
}

/// Whether the plan exchanges pods that run.
fn exchanges(ctx: &Ctx, plan: &Desired, found: &Deployments) -> Result<bool> {
    for child in plan.children.iter().filter(|c| c.kind == Kind::Deployment && !ctx.memory.children.knows(c)) {
        let process = child.object.pointer("/metadata/labels").and_then(|l| l.get(LABEL_PROCESS));
        let live = process.and_then(|p| p.as_str()).and_then(|p| found.get(p));
        if let Some(live) = live.filter(|d| runs(d))
            && !is_same(child, live)?
        {
            return Ok(true);
        }
    }
    Ok(false)
}

fn runs(deployment: &Deployment) -> bool {
    deployment.status.as_ref().and_then(|s| s.replicas).unwrap_or(0) > 0
}

/// Whether an apply would leave the pods as they are; their number does not matter here.
fn is_same(child: &Child, live: &Deployment) -> Result<bool> {
    let mut child = child.clone();
    let replicas = live.spec.as_ref().and_then(|s| s.replicas).unwrap_or(1);
    if let Some(number) = child.object.pointer_mut("/spec/replicas") {
        *number = replicas.into();
    }
    Ok(is_applied(&child, &serde_json::to_value(live)?))
}

/// Whether a child stays as it is while its instance waits. A child that does not exist at all is made.
#[must_use]
pub fn stays(ctx: &Ctx, child: &Child) -> bool {
    child.kind.stays_while_waiting() && !ctx.memory.children.is_unseen(child)
}
