//! The Blueprint controller: says whether a blueprint can be used. Does I/O (Kubernetes).

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use tenantry_api::blueprint::Blueprint;
use tenantry_api::condition::{Said, set};
use tenantry_core::names;

use crate::context::Ctx;
use crate::error::{Error, Result};

/// Reconciles a blueprint.
///
/// # Errors
/// [`Error::Kube`] while the status is written.
pub async fn reconcile(blueprint: Arc<Blueprint>, ctx: &Ctx, now: Timestamp) -> Result<Option<Duration>> {
    let problems = tenantry_plan::blueprint::problems(&blueprint.spec);
    let said = if problems.is_empty() {
        Said::yes("Valid", "Checked", "all templates and steps are sound")
    } else {
        Said::no("Valid", "Problems", problems.join("; "))
    };
    let generation = blueprint.metadata.generation;
    let mut status = blueprint.status.clone().unwrap_or_default();
    status.observed_generation = generation;
    set(&mut status.conditions, said, generation, now);
    if blueprint.status.as_ref() == Some(&status) {
        return Ok(None);
    }
    let api: Api<Blueprint> = Api::all(ctx.client.clone());
    let object = json!({
        "apiVersion": "tenantry.dev/v1alpha1",
        "kind": "Blueprint",
        "metadata": { "name": blueprint.name_any(), "uid": blueprint.metadata.uid },
        "status": status,
    });
    let params = PatchParams::apply(names::MANAGED_BY).force();
    match api.patch_status(&blueprint.name_any(), &params, &Patch::Apply(&object)).await {
        Ok(_) => Ok(None),
        Err(kube::Error::Api(s)) if s.code == 404 => Ok(None),
        Err(e) => Err(Error::kube("write the blueprint's status")(e)),
    }
}
