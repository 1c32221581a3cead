//! The Blueprint controller: reports whether a blueprint can be used. Does I/O (Kubernetes).

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tenantry_api::blueprint::Blueprint;
use tenantry_api::condition::{ConditionType, Said, set};

use crate::context::Ctx;
use crate::error::Result;
use crate::status::write;

/// Reconciles a blueprint.
///
/// # Errors
/// [`crate::error::Error::Kube`] while the status is written.
pub async fn reconcile(blueprint: Arc<Blueprint>, ctx: &Ctx, now: Timestamp) -> Result<Option<Duration>> {
    let problems = tenantry_plan::blueprint::problems(&blueprint.spec);
    let said = if problems.is_empty() {
        Said::yes(ConditionType::Valid, "Checked", "all templates and steps are sound")
    } else {
        Said::no(ConditionType::Valid, "Problems", problems.join("; "))
    };
    let generation = blueprint.metadata.generation;
    let mut status = blueprint.status.clone().unwrap_or_default();
    status.observed_generation = generation;
    set(&mut status.conditions, said, generation, now);
    write(ctx, &*blueprint, status).await?;
    Ok(None)
}
