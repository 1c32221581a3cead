//! Defaults for containers without requests and limits of their own. No I/O.

use serde_json::json;

use super::TenantWanted;
use crate::child::{Child, Kind};

/// The limit range.
#[must_use]
pub(super) fn build_limit_range(wanted: &TenantWanted) -> Child {
    let rest = json!({ "spec": { "limits": [{
        "type": "Container",
        "defaultRequest": { "cpu": "20m", "memory": "64Mi" },
        "default": { "memory": "512Mi" },
    }]}});
    Child::new(Kind::LimitRange, Some(&wanted.namespace), "tenantry", &wanted.labels(), rest)
}
