//! Defaults for containers without requests and limits of their own. No I/O.

use serde_json::json;

use super::TenantWanted;
use crate::child::{Child, Kind};
use crate::pod;

/// The limit range. It applies to new pods only, so adding a default restarts nothing.
#[must_use]
pub(super) fn build_limit_range(wanted: &TenantWanted) -> Child {
    let rest = json!({ "spec": { "limits": [{
        "type": "Container",
        "defaultRequest": { "cpu": "20m", "memory": "64Mi", "ephemeral-storage": pod::DISK_REQUEST },
        "default": { "memory": "512Mi", "ephemeral-storage": pod::DISK_LIMIT },
    }]}});
    Child::new(Kind::LimitRange, Some(&wanted.namespace), "tenantry", &wanted.labels(), rest)
}
