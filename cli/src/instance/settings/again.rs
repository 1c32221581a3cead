//! `tenantry instance settings check --again`: asks the operator to check now, and waits for the result. Does I/O;
//! deciding what is waited for is pure.

use std::ops::ControlFlow;

use kube::ResourceExt;
use kube::api::Patch;
use serde_json::json;
use tenantry_api::condition::find;
use tenantry_api::crm_instance::CrmInstance;
use tenantry_api::integration::IntegrationStatus;
use tenantry_core::names;
use tenantry_core::request::Request;

use crate::args::WaitArgs;
use crate::cluster::patch;
use crate::error::{Problem, api};
use crate::output::text::some;
use crate::progress::Progress;
use crate::progress::steps::said;
use crate::session::Session;
use crate::target::address_of;
use crate::wait::{Until, follow};

/// Names of integrations in one line of progress.
const NAMED: usize = 4;

/// The state of a request for a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// Everything was checked after the request.
    Whole,
    /// The check is still to come, and what it waits for.
    Waits(String),
    /// The check will never come, and why.
    Never(String),
}

/// Asks for a check of each instance; with `wait`, waits until all checks are done. Returns the instances as they are
/// then, and the first problem: one instance that does not answer must not hide the others.
pub async fn run(
    session: &Session,
    instances: Vec<CrmInstance>,
    wait: WaitArgs,
) -> Result<(Vec<CrmInstance>, Option<Problem>), Problem> {
    let until = Until::after(wait.timeout);
    let request = Request::at(session.now());
    let mut all: Vec<CrmInstance> = Vec::with_capacity(instances.len());
    for instance in instances {
        if !has_integrations(&instance) {
            all.push(instance);
            continue;
        }
        let stored = ask(session, &instance, &request).await.map_err(|problem| {
            let before: Vec<String> = all.iter().filter(|i| has_integrations(i)).map(address_of).collect();
            if before.is_empty() { problem } else { problem.safe(format!("asked already: {}", before.join(", "))) }
        })?;
        all.push(stored);
    }
    let mut trouble = None;
    if wait.wait {
        let mut progress = Progress::new(&session.out);
        for instance in all.iter_mut().filter(|i| has_integrations(i)) {
            let problem = heard_of(session, instance, &request, until, &mut progress).await?;
            trouble = trouble.or(problem);
        }
        progress.end();
    }
    Ok((all, trouble))
}

/// Whether the operator knows of anything to check.
pub fn has_integrations(instance: &CrmInstance) -> bool {
    instance.status.as_ref().is_some_and(|s| !s.integrations.is_empty())
}

async fn ask(session: &Session, instance: &CrmInstance, request: &Request) -> Result<CrmInstance, Problem> {
    let api = session.cluster.instances(&instance.namespace().unwrap_or_default());
    let body = json!({ "metadata": { "annotations": { names::ANNOTATION_CHECK: request.as_str() } } });
    let stored = api.patch(&instance.name_any(), &patch(false), &Patch::Merge(&body)).await;
    stored.map_err(|e| api::problem(&format!("ask for a check of {}", address_of(instance)), &e))
}

/// Waits for the result of a check; `instance` becomes what was seen last.
async fn heard_of(
    session: &Session,
    instance: &mut CrmInstance,
    request: &Request,
    until: Until,
    progress: &mut Progress,
) -> Result<Option<Problem>, Problem> {
    let (address, name, begun) = (address_of(instance), instance.name_any(), tokio::time::Instant::now());
    let look = format!("instance settings check {address}");
    session.leave.goes_on("the operator checks all the same", "what it found", &look);
    let api = session.cluster.instances(&instance.namespace().unwrap_or_default());
    let end = follow(api, &name, until, |seen| {
        let Some(seen) = seen else { return ControlFlow::Break(Some("it was deleted meanwhile".to_owned())) };
        seen.clone_into(instance);
        match heard(seen, request) {
            Heard::Whole => ControlFlow::Break(None),
            Heard::Never(why) => ControlFlow::Break(Some(why)),
            Heard::Waits(what) => {
                progress.now(&address, &what);
                ControlFlow::Continue(())
            }
        }
    });
    match end.await? {
        Some(None) => {
            progress.done(&address, &found(instance), begun.elapsed());
            Ok(None)
        }
        Some(Some(why)) => {
            progress.failed(&address, "cannot be checked", begun.elapsed());
            let problem = Problem::failed(format!("{address} cannot be checked")).safe("what runs goes on as it was");
            Ok(Some(problem.why(why).next("look", format!("instance show {address}"))))
        }
        None => {
            progress.failed(&address, "not checked in time", begun.elapsed());
            let problem = Problem::timed_out(format!("{address} is not checked yet; the operator goes on"));
            Ok(Some(problem.next("what it found", look).next("is it running?", "doctor")))
        }
    }
}

/// The state of a request. When somebody asked later, a check for the later request counts for this one as well, and
/// the operator may never have seen this one.
pub fn heard(instance: &CrmInstance, request: &Request) -> Heard {
    if instance.metadata.deletion_timestamp.is_some() {
        return Heard::Never("it is being archived".into());
    }
    let status = instance.status.clone().unwrap_or_default();
    let latest = instance.annotations().get(names::ANNOTATION_CHECK);
    let met = |i: &&IntegrationStatus| {
        i.checked_for.as_ref().is_some_and(|met| met == request.as_str() || Some(met) == latest)
    };
    let open: Vec<String> = status.integrations.iter().filter(|i| !met(i)).map(|i| i.name.clone()).collect();
    if open.is_empty() {
        return Heard::Whole;
    }
    let judged = status.observed_generation >= instance.metadata.generation;
    if let Some(invalid) = find(&status.conditions, "SpecValid").filter(|c| judged && c.status == "False") {
        return Heard::Never(said(invalid));
    }
    // What the instance needs to start is reported before the integrations that it talks to.
    let halted = find(&status.conditions, "Ready").filter(|c| c.status == "False" && c.reason != "Suspended");
    Heard::Waits(halted.map_or_else(|| some(&open, NAMED), said))
}

/// `mail answers, sms refused`.
fn found(instance: &CrmInstance) -> String {
    let all = instance.status.iter().flat_map(|s| &s.integrations);
    let all: Vec<String> = all.map(|i| format!("{} {}", i.name, i.state.word())).collect();
    some(&all, NAMED)
}
