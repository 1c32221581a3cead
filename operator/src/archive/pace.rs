//! What a purge waits for while the cluster removes objects at its own pace: when to look again, and whether a
//! namespace is gone. Does I/O (Kubernetes).

use std::time::Duration;

use tenantry_api::archive::Archive;
use tenantry_api::condition::ConditionType;
use tenantry_core::class::ErrorClass;
use tenantry_plan::Kind;

use crate::cluster::dynamic_api;
use crate::context::Ctx;
use crate::error::Error;

/// The condition of a purge.
pub(super) const CONDITION: ConditionType = ConditionType::Purged;

/// When to look again at objects that the cluster removes at its own pace.
pub(super) fn again(archive: &Archive, ctx: &Ctx) -> Duration {
    let passes = ctx.memory.retries.failed(archive.metadata.uid.as_deref().unwrap_or_default());
    Duration::from_secs(ErrorClass::Transient.backoff_seconds(passes))
}

/// Whether a namespace exists.
pub(super) async fn has_namespace(ctx: &Ctx, name: &str) -> crate::error::Result<bool> {
    let found = dynamic_api(&ctx.client, Kind::Namespace, None).get_opt(name).await;
    Ok(found.map_err(Error::kube("get the namespace"))?.is_some())
}
