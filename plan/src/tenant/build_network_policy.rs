//! Who may talk to a tenant's pods and to whom they may talk. No I/O.

use serde_json::{Value, json};
use tenantry_core::names;

use super::TenantWanted;
use crate::Settings;
use crate::child::{Child, Kind};

/// Where databases are, for the policies of tenants.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum DatabaseAddress {
    /// A managed server in the operator's namespace, by name.
    Managed {
        /// Name of the DatabaseServer.
        server: String,
        /// Port.
        port: u16,
    },
    /// An external server.
    External {
        /// Addresses as CIDR; none: every address.
        cidrs: Vec<String>,
        /// Port.
        port: u16,
    },
}

/// One policy for all pods: everything is denied but what is written here.
#[must_use]
pub(super) fn build_network_policy(wanted: &TenantWanted, settings: &Settings, databases: &[DatabaseAddress]) -> Child {
    let site = &settings.site;
    let mut from = vec![
        // The operator verifies; pods of the tenant talk to each other (web to worker).
        json!({ "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": settings.system_namespace } } }),
        json!({ "podSelector": {} }),
    ];
    from.extend(
        site.ingress_namespaces
            .iter()
            .map(|ns| json!({ "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": ns } } })),
    );
    from.extend(site.ingress_cidrs.iter().map(|cidr| json!({ "ipBlock": { "cidr": cidr } })));

    let mut egress = vec![
        json!({
            "to": [{ "namespaceSelector": {}, "podSelector": { "matchLabels": { "k8s-app": "kube-dns" } } },
                   { "ipBlock": { "cidr": "0.0.0.0/0" } }],
            "ports": [{ "port": 53, "protocol": "UDP" }, { "port": 53, "protocol": "TCP" }],
        }),
        json!({ "to": [{ "podSelector": {} }] }),
    ];
    let mut databases = databases.to_vec();
    databases.sort();
    egress.extend(databases.iter().map(|db| match db {
        DatabaseAddress::Managed { server, port } => json!({
            "to": [{
                "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": settings.system_namespace } },
                "podSelector": { "matchLabels": { names::LABEL_DATABASE_SERVER: server } },
            }],
            "ports": [{ "port": port, "protocol": "TCP" }],
        }),
        DatabaseAddress::External { cidrs, port } => {
            let to: Vec<Value> = if cidrs.is_empty() {
                vec![json!({ "ipBlock": { "cidr": "0.0.0.0/0" } })]
            } else {
                cidrs.iter().map(|cidr| json!({ "ipBlock": { "cidr": cidr } })).collect()
            };
            json!({ "to": to, "ports": [{ "port": port, "protocol": "TCP" }] })
        }
    }));
    // Mail and the web outside: what a CRM needs to write to customers. The cluster's own addresses stay closed.
    egress.push(json!({
        "to": [{ "ipBlock": { "cidr": "0.0.0.0/0",
                 "except": ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"] } }],
    }));
    let rest = json!({ "spec": {
        "podSelector": {},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{ "from": from }],
        "egress": egress,
    }});
    Child::new(Kind::NetworkPolicy, Some(&wanted.namespace), "tenantry", &wanted.labels(), rest)
}
