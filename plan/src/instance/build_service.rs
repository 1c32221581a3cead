//! Services: the instance's own, whose selector decides between application and page, and those between pods. No I/O.

use serde_json::json;
use tenantry_api::blueprint::Process;
use tenantry_core::names::{self, LABEL_INSTANCE_ID, LABEL_PROCESS, LABEL_SERVES};

use super::{Serving, Wanted};
use crate::child::{Child, Kind};

/// Port of every instance's Service.
pub(super) const PORT: u16 = 80;

/// The Service.
#[must_use]
pub fn build_service(wanted: &Wanted, serving: Serving) -> Child {
    let rest = json!({ "spec": {
        "type": "ClusterIP",
        "selector": { LABEL_INSTANCE_ID: wanted.id.as_str(), LABEL_SERVES: serving.word() },
        "ports": [{ "name": "http", "port": PORT, "targetPort": "http", "protocol": "TCP" }],
    }});
    Child::new(Kind::Service, Some(&wanted.namespace), &names::service(&wanted.id), &wanted.labels(), rest)
}

/// The address of a process that does not serve, for the other pods of its instance.
#[must_use]
pub(super) fn build_inner_service(wanted: &Wanted, process: &Process, port: u16) -> Child {
    let rest = json!({ "spec": {
        "type": "ClusterIP",
        "selector": { LABEL_INSTANCE_ID: wanted.id.as_str(), LABEL_PROCESS: process.name },
        "ports": [{ "name": "http", "port": port, "targetPort": "http", "protocol": "TCP" }],
    }});
    let name = names::process(&wanted.id, &process.name);
    let labels = wanted.labels().and(LABEL_PROCESS, &process.name);
    Child::new(Kind::Service, Some(&wanted.namespace), &name, &labels, rest)
}
