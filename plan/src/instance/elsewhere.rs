//! Whether somebody else's Ingress serves a host that an instance wants. No I/O.

use k8s_openapi::api::networking::v1::Ingress;

/// Annotation that held the class of an Ingress before there was a field for it.
const OLD_CLASS: &str = "kubernetes.io/ingress.class";

/// Whether requests for the host may go to the backend of this Ingress: it has the same host, serves all of it and not
/// only some paths, and the controller of our Ingress may serve it too. An Ingress of another class is served by
/// another controller.
#[must_use]
pub fn serves(ingress: &Ingress, host: &str, class: Option<&str>) -> bool {
    let annotations = ingress.metadata.annotations.as_ref();
    let spec = ingress.spec.as_ref();
    let theirs = spec.and_then(|s| s.ingress_class_name.as_ref()).or_else(|| annotations?.get(OLD_CLASS));
    if matches!((theirs, class), (Some(theirs), Some(ours)) if theirs != ours) {
        return false;
    }
    let rules = spec.and_then(|s| s.rules.as_ref()).into_iter().flatten();
    rules.filter(|r| r.host.as_deref().is_some_and(|h| h.eq_ignore_ascii_case(host))).any(|rule| match &rule.http {
        Some(http) => http.paths.iter().any(|p| matches!(p.path.as_deref(), None | Some("" | "/" | "/*"))),
        // A rule without paths sends every request to the default backend.
        None => true,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ingress(class: Option<&str>, host: &str, paths: &[Option<&str>]) -> Ingress {
        let backend = json!({ "service": { "name": "shop", "port": { "number": 80 } } });
        let paths: Vec<_> =
            paths.iter().map(|p| json!({ "path": p, "pathType": "Prefix", "backend": backend })).collect();
        serde_json::from_value(json!({
            "metadata": { "name": "shop", "namespace": "web" },
            "spec": { "ingressClassName": class, "rules": [{ "host": host, "http": { "paths": paths } }] },
        }))
        .unwrap()
    }

    #[test]
    fn the_whole_host_served_by_the_same_controller_is_taken() {
        let host = "crm.acme.vn";
        let taken = |i: &Ingress| serves(i, host, Some("nginx"));
        assert!(taken(&ingress(Some("nginx"), host, &[Some("/")])));
        assert!(taken(&ingress(None, "CRM.acme.vn", &[Some("/api"), None])), "the default class may be ours");
        assert!(serves(&ingress(Some("nginx"), host, &[Some("/")]), host, None), "ours may be the default class");
        assert!(!taken(&ingress(Some("traefik"), host, &[Some("/")])), "another controller");
        assert!(!taken(&ingress(Some("nginx"), "shop.acme.vn", &[Some("/")])));
        assert!(!taken(&ingress(Some("nginx"), "*.acme.vn", &[Some("/")])), "an exact host goes before");
        assert!(!taken(&ingress(Some("nginx"), host, &[Some("/.well-known/acme-challenge/x")])), "a part of it");
        let mut bare = ingress(None, host, &[]);
        bare.spec.as_mut().unwrap().rules.as_mut().unwrap()[0].http = None;
        assert!(taken(&bare));
        bare.metadata.annotations = Some([(OLD_CLASS.to_owned(), "traefik".to_owned())].into());
        assert!(!taken(&bare));
    }
}
