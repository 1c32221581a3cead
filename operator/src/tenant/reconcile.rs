//! One reconcile of a Tenant, from start to end. Does I/O (Kubernetes).

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;
use tenantry_api::tenant::Tenant;

use super::{archive, live, status};
use crate::context::Ctx;
use crate::error::Result;
use crate::life;

/// How often a tenant that waits for its instances is looked at.
const WAITING: Duration = Duration::from_secs(60);

/// Reconciles a tenant. Returns when to look again. None means when something changes.
///
/// # Errors
/// [`crate::error::Error::Kube`] while the status is written.
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
        // The client that created this object is about to delete it, and the deletion archives it.
        return Ok(None);
    }
    let mut pass = live::Pass { tenant, wanted: None, suspension: None, keeps_credentials: false };
    match live::run(&mut pass, ctx, now).await {
        Ok(()) => {
            let waits = status::write_well(&pass, ctx, now).await?;
            // Instances wake their tenant when they report something; this pause is the fallback. No event reports that
            // the last pod which fetches its image with credentials that are to be removed has been replaced.
            Ok((waits || pass.keeps_credentials).then_some(WAITING))
        }
        Err(halt) => status::write_halted(&pass.tenant, ctx, halt, false, now).await,
    }
}
