//! The Ingress of an instance. No I/O.

use serde_json::json;
use tenantry_core::names;

use super::Wanted;
use super::build_service::PORT;
use crate::Settings;
use crate::child::{Child, Kind};

/// The Ingress. Its class, TLS and annotations come from the Site.
#[must_use]
pub(super) fn build_ingress(wanted: &Wanted, settings: &Settings) -> Child {
    let site = &settings.site.ingress;
    let name = names::service(&wanted.id);
    let mut spec = json!({ "rules": [{
        "host": wanted.host,
        "http": { "paths": [{
            "path": "/",
            "pathType": "Prefix",
            "backend": { "service": { "name": name, "port": { "number": PORT } } },
        }]},
    }]});
    if let Some(class) = &site.class_name {
        spec["ingressClassName"] = class.clone().into();
    }
    if site.tls {
        spec["tls"] = json!([{ "hosts": [wanted.host], "secretName": format!("{name}-tls") }]);
    }
    let mut rest = json!({ "spec": spec });
    if !site.annotations.is_empty() {
        rest["metadata"] = json!({ "annotations": site.annotations });
    }
    Child::new(Kind::Ingress, Some(&wanted.namespace), &name, &wanted.labels(), rest)
}
