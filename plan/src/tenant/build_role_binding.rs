//! The operator's access to a tenant's Secrets, in the tenant's namespace only. No I/O.

use serde_json::json;

use super::TenantWanted;
use crate::Settings;
use crate::child::{Child, Kind};

/// Name of the ClusterRole that the chart installs and that the operator may bind.
pub const SECRETS_ROLE: &str = "tenantry-tenant-secrets";

/// The binding.
#[must_use]
pub(super) fn build_role_binding(wanted: &TenantWanted, settings: &Settings) -> Child {
    let rest = json!({
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": SECRETS_ROLE },
        "subjects": [{
            "kind": "ServiceAccount",
            "name": settings.service_account,
            "namespace": settings.system_namespace,
        }],
    });
    Child::new(Kind::RoleBinding, Some(&wanted.namespace), SECRETS_ROLE, &wanted.labels(), rest)
}
