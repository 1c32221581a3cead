//! The most that a tenant's namespace may use, with headroom for jobs and scratch volumes. No I/O.

use serde_json::json;

use super::TenantWanted;
use crate::child::{Child, Kind};

/// Pods of all instances, jobs included.
const PODS: u32 = 60;
/// Volume space against the contract's storage: production, a staging copy, and scratch for a restore.
const STORAGE_FACTOR: u64 = 4;
/// Space that even the smallest plan gets, in bytes.
const STORAGE_LEAST: u64 = 10_000_000_000;

/// The quota. It guards the cluster; the contract's own limits are measured and enforced elsewhere.
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
