//! One reconcile of a Tenant: the straight road. Does I/O (Kubernetes).

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;
use tenantry_api::tenant::Tenant;

use super::{archive, live, status};
use crate::context::Ctx;
use crate::error::Result;
use crate::life;

/// How often a tenant is looked at that waits for its instances.
const WAITING: Duration = Duration::from_secs(60);

/// Reconciles a tenant. Returns when to look again; none: when something changes.
///
/// # Errors
/// What stopped it, after the status was written.
pub async fn reconcile(tenant: Arc<Tenant>, ctx: &Ctx, now: Timestamp) -> Result<Option<Duration>> {
    if ctx.memory.is_stale(&tenant.metadata) {
        return Ok(None);
    }
    let tenant = (*tenant).clone();
    if tenant.metadata.deletion_timestamp.is_some() {
        if !tenant.finalizers().iter().any(|f| f == tenantry_core::names::FINALIZER) {
            return Ok(None);
        }
        let halted = archive::run(&tenant, ctx, now).await.err();
        return match halted {
            None => Ok(None),
            Some(halt) => status::write_halted(&tenant, ctx, halt, true, now).await,
        };
    }
    if life::adopt::is_orphan(tenant.annotations(), tenant.spec.id.as_deref()) {
        // Whoever made it is about to delete it, which archives.
        return Ok(None);
    }
    let mut pass = live::Pass { tenant, wanted: None, suspension: None, keeps_credentials: false };
    match live::run(&mut pass, ctx, now).await {
        Ok(()) => {
            let waits = status::write_well(&pass, ctx, now).await?;
            // Instances wake their tenant when they report something; this is the net below. Nothing tells that the last
            // pod is exchanged which fetches its image with credentials that are to go.
            Ok((waits || pass.keeps_credentials).then_some(WAITING))
        }
        Err(halt) => status::write_halted(&pass.tenant, ctx, halt, false, now).await,
    }
}
