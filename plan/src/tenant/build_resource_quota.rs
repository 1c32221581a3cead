//! Upper limits for a tenant's namespace, with headroom for jobs and scratch volumes. No I/O.

use serde_json::json;

use super::TenantWanted;
use crate::child::{Child, Kind};

/// Number of pods of all instances, including jobs.
const PODS: u32 = 60;
/// Factor between volume space and the contract's storage: room for production, a staging copy, and scratch for a
/// restore.
const STORAGE_FACTOR: u64 = 4;
/// Minimum volume space, which even the smallest plan gets, in bytes.
const STORAGE_LEAST: u64 = 10_000_000_000;

/// The quota. It protects the cluster; the contract's own limits are measured and enforced elsewhere.
#[must_use]
pub(super) fn build_resource_quota(wanted: &TenantWanted) -> Child {
    let storage = wanted.limits.storage_bytes.saturating_mul(STORAGE_FACTOR).max(STORAGE_LEAST);
    let rest = json!({ "spec": { "hard": {
        "pods": PODS.to_string(),
        "requests.storage": storage.to_string(),
        "persistentvolumeclaims": "40",
        "services.loadbalancers": "0",
        "services.nodeports": "0",
    }}});
    Child::new(Kind::ResourceQuota, Some(&wanted.namespace), "tenantry", &wanted.labels(), rest)
}
