//! Stops what there is of an instance whose tenant is suspended, from the live objects alone: whatever is wrong with its
//! spec, its release, its Secrets or its database server keeps no CRM serving. Does I/O (Kubernetes).

use std::time::Duration;

use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt;
use kube::api::{Api, ListParams, Patch};
use serde_json::{Value, json};
use tenantry_api::tenant::Tenant;
use tenantry_core::names::{self, LABEL_INSTANCE_ID, LABEL_SERVES};
use tenantry_plan::instance::{Marks, PAGE, PageText, Serving, build_page};
use tenantry_plan::{Kind, Settings};

use super::observe::{deployments_of, is_ready, page_is_waited_for};
use super::pass::Pass;
use super::reach::{self, Whose};
use crate::cluster::{Applied, dynamic_api, patch_params};
use crate::context::Ctx;
use crate::error::{Error, Result};
use crate::halt::Halt;

/// How often an instance that is being stopped is looked at; the watches of its processes are quicker.
const STOPPING: Duration = Duration::from_secs(5);

/// After a halt, stops an instance of a suspended tenant, from its live objects. The cause of the halt is reported as
/// it is, and an error of the stopping is reported with it.
pub async fn after(pass: &mut Pass, ctx: &Ctx, halt: Halt) -> Halt {
    // `STILL_ANSWERS` means that everything is done and that the instance was asked a moment ago.
    let is_due = !pass.stopped && halt.reason != reach::STILL_ANSWERS;
    let Some(tenant) = pass.tenant.as_ref().filter(|t| t.spec.suspended && is_due) else { return halt };
    match Box::pin(run(ctx, pass, tenant)).await {
        Ok(stopped) => {
            pass.stopped = stopped;
            let sooner = |again: Option<Duration>| again.map_or(STOPPING, |again| again.min(STOPPING));
            Halt { again: if stopped { halt.again } else { Some(sooner(halt.again)) }, ..halt }
        }
        Err(e) => {
            let message = format!("{}; its tenant is suspended, and stopping it failed: {e}", halt.message);
            Halt { message, again: Some(STOPPING), ..halt }
        }
    }
}

/// Goes on with stopping, in the order of any suspension: the page, then the Service, then the processes and schedules.
/// Returns whether nothing of the instance runs or answers any more. Until then the watches of the changed objects
/// bring the instance back here.
///
/// # Errors
/// [`Error::Kube`].
async fn run(ctx: &Ctx, pass: &Pass, tenant: &Tenant) -> Result<bool> {
    // Without these marks nothing was ever made from the instance.
    let Some(marks) = Marks::of(&pass.instance, tenant) else { return Ok(true) };
    let page = settings(ctx).await?;
    let (namespace, name) = (Some(marks.namespace.as_str()), names::service(&marks.id));
    let api: Api<Service> = Api::namespaced(ctx.client.clone(), &marks.namespace);
    let service = api.get_opt(&name).await.map_err(Error::kube("get the Service"))?;
    let deployments = deployments_of(ctx, &marks.namespace, &marks.id).await?;
    if let Some(service) = service {
        let selector = service.spec.and_then(|s| s.selector).unwrap_or_default();
        let switched = selector.get(LABEL_SERVES).map(String::as_str) == Some(Serving::Page.word());
        if let Some(settings) = &page {
            let text = PageText::of_suspension(tenant.spec.suspended_reason.as_deref(), settings);
            let written = ctx.apply(&build_page(&marks, settings, &text)).await? == Applied::Written;
            if !switched && (written || page_is_waited_for(deployments.get(PAGE))) {
                return Ok(false);
            }
        }
        if !switched {
            let page = json!({ "spec": { "selector": { LABEL_SERVES: Serving::Page.word() } } });
            patch(ctx, Kind::Service, namespace, &name, &page).await?;
        }
    }
    let mut stopped = true;
    for deployment in deployments.iter().filter(|(process, _)| *process != PAGE).map(|(_, d)| d) {
        if deployment.spec.as_ref().and_then(|s| s.replicas).unwrap_or(1) != 0 {
            patch(ctx, Kind::Deployment, namespace, &deployment.name_any(), &json!({ "spec": { "replicas": 0 } }))
                .await?;
            stopped = false;
        }
        stopped &= is_ready(deployment, 0);
    }
    let api: Api<CronJob> = Api::namespaced(ctx.client.clone(), &marks.namespace);
    let params = ListParams::default().labels(&format!("{LABEL_INSTANCE_ID}={}", marks.id));
    for schedule in api.list(&params).await.map_err(Error::kube("list schedules"))?.items {
        if schedule.spec.as_ref().and_then(|s| s.suspend) != Some(true) {
            patch(ctx, Kind::CronJob, namespace, &schedule.name_any(), &json!({ "spec": { "suspend": true } })).await?;
        }
    }
    if let Some(settings) = page.filter(|_| stopped && !pass.is_said_to_be_stopped(tenant)) {
        let host = &pass.instance.spec.host;
        let whose = Whose { id: &marks.id, namespace: &marks.namespace, host, path: "/" };
        stopped = reach::is_hidden(ctx, &whose, &settings).await;
    }
    Ok(stopped)
}

/// The settings that the page is made with. None means that there is no Site, and then no page is waited for.
async fn settings(ctx: &Ctx) -> Result<Option<Settings>> {
    match ctx.settings().await {
        Ok(settings) => Ok(Some(settings)),
        Err(Error::Blocked(_)) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Changes one field of a child, and forgets its earlier state. A child that was deleted meanwhile is no error.
async fn patch(ctx: &Ctx, kind: Kind, namespace: Option<&str>, name: &str, change: &Value) -> Result<()> {
    let api = dynamic_api(&ctx.client, kind, namespace);
    ctx.memory.children.forget(kind, namespace, name);
    match api.patch(name, &patch_params(), &Patch::Merge(change)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(e) => Err(Error::kube(format!("stop {} {name}", kind.api().kind))(e)),
    }
}
