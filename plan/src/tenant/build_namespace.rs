//! A tenant's namespace with its Pod Security level. No I/O.

use serde_json::json;

use super::TenantWanted;
use crate::Settings;
use crate::child::{Child, Kind};

/// The namespace. Its level is the loosest that the Site allows; within it each blueprint runs as strictly as it can.
#[must_use]
pub(super) fn build_namespace(wanted: &TenantWanted, settings: &Settings) -> Child {
    let level = settings.site.pod_security.label();
    let rest = json!({ "metadata": { "labels": {
        "pod-security.kubernetes.io/enforce": level,
        "pod-security.kubernetes.io/warn": level,
    }}});
    Child::new(Kind::Namespace, None, &wanted.namespace, &wanted.labels(), rest)
}
