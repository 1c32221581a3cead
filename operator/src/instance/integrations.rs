//! Integrations of an instance: checked beside the reconcile, told in the status. Does I/O (network) through checks.

use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use tenantry_api::crm_instance::CrmInstance;
use tenantry_api::integration::{IntegrationState, IntegrationStatus};
use tenantry_core::names;
use tenantry_core::request::Request;
use tenantry_plan::integrations::{Aim, Work, work};

use super::inputs::Inputs;
use super::pass::Pass;
use super::referenced;
use crate::context::Ctx;
use crate::integration::{self, Begun, Found, Question};

/// Longest message, in characters.
const MESSAGE_MAX: usize = 300;

/// Finds out what is known of the integrations and starts the checks that are due. Never halts a pass: a mail server
/// that is away is no reason for a CRM not to be Ready.
pub async fn look(ctx: &Ctx, pass: &mut Pass, inputs: &Inputs<'_>) {
    let Inputs { wanted, settings, now, .. } = *inputs;
    let uid = pass.instance.metadata.uid.clone().unwrap_or_default();
    if wanted.release.spec.integrations.is_empty() {
        ctx.memory.checks.forget(&uid);
        pass.integrations = Some(Vec::new());
        return;
    }
    let values = inputs.values();
    let all = work(wanted, &settings.site.ranges(), &values);
    let checked: Vec<&str> =
        all.iter().filter(|(_, w)| matches!(w, Work::Check(_))).map(|(name, _)| name.as_str()).collect();
    ctx.memory.checks.keep_only(&uid, &checked);
    let request = pass.instance.annotations().get(names::ANNOTATION_CHECK).and_then(|text| Request::parse(text));
    let mut told = Vec::with_capacity(all.len());
    for (name, work) in all {
        let (found, met) = match work {
            // Where there is nothing to check, a request for a check is met at once.
            Work::Not(why) => (Found::new(IntegrationState::NotChecked, why), request.clone()),
            Work::Check(aim) => known(ctx, &pass.instance, &name, aim, request.clone(), now).await,
        };
        told.push(status(&pass.instance, name, found, met, now));
    }
    pass.integrations = Some(told);
}

/// What is known of an integration, and the request that was met last. Starts a check when there was none yet, when the
/// last one was long ago, or when a person requests one.
async fn known(
    ctx: &Ctx,
    instance: &CrmInstance,
    name: &str,
    aim: Aim,
    request: Option<Request>,
    now: Timestamp,
) -> (Found, Option<Request>) {
    let uid = instance.metadata.uid.clone().unwrap_or_default();
    let question = Question { key: aim.key(), request };
    let begun = ctx.memory.checks.begin(&uid, name, &question, now);
    if begun != Begun::No {
        match ctx.wake.clone() {
            // No later pass would come for the answer, so this pass waits for it.
            None => {
                let found = integration::run(&ctx.gate, &aim).await;
                ctx.memory.checks.end(&uid, name, &question, found, now);
            }
            Some(wake) => {
                let (ctx, name, question, uid) = (ctx.clone(), name.to_owned(), question.clone(), uid.clone());
                let reference = ObjectRef::from_obj(instance);
                tokio::spawn(async move {
                    // The semaphore is never closed.
                    let _place = ctx.memory.checks.places.clone().acquire_owned().await;
                    let found = integration::run(&ctx.gate, &aim).await;
                    if ctx.memory.checks.end(&uid, &name, &question, found, Timestamp::now()) {
                        // A closed channel means that the process is ending.
                        let _ = wake.send(reference);
                    }
                });
            }
        }
    }
    let before = || {
        let status = instance.status.as_ref()?.integrations.iter().find(|s| s.name == name)?;
        // The finding of an earlier process stands until this process has asked.
        let asked = status.state != IntegrationState::NotChecked && begun != Begun::Anew;
        asked.then(|| Found::new(status.state, status.message.clone()))
    };
    ctx.memory.checks.tell(&uid, name, &question.key).unwrap_or_else(|| {
        let asked = || Found::new(IntegrationState::NotChecked, "it is being asked");
        (before().unwrap_or_else(asked), None)
    })
}

/// The status of an integration, with the last request that was met. The time of the last finding stays unless this
/// finding is another one.
fn status(
    instance: &CrmInstance,
    name: String,
    found: Found,
    met: Option<Request>,
    now: Timestamp,
) -> IntegrationStatus {
    let message: String = found.message.chars().take(MESSAGE_MAX).collect();
    let old = instance.status.iter().flat_map(|s| &s.integrations).find(|s| s.name == name);
    let same = old.filter(|o| o.state == found.state && o.message == message);
    let since = same.and_then(|o| o.since.clone()).or_else(|| Some(now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()));
    let checked_for = met.map(|m| m.to_string()).or_else(|| old.and_then(|o| o.checked_for.clone()));
    IntegrationStatus { name, state: found.state, message, since, checked_for }
}

/// When to look again at an instance that is as it should be, although nothing reports a change: for its next check,
/// and for Secrets that are not watched.
#[must_use]
pub fn again(ctx: &Ctx, instance: &CrmInstance, now: Timestamp) -> Option<Duration> {
    let check = ctx.memory.checks.next(&instance.uid().unwrap_or_default(), now);
    // Without any pause, the pass would come at the same time as the check itself.
    let check = check.map(|due| due.max(Duration::from_secs(1)));
    let secrets = (!instance.spec.settings_from.is_empty()).then_some(referenced::EVERY);
    check.into_iter().chain(secrets).min()
}
