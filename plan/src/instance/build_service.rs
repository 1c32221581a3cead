//! The Service of an instance: its selector decides between application and page. No I/O.

use serde_json::json;
use tenantry_core::names::{self, LABEL_INSTANCE_ID, LABEL_SERVES};

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
