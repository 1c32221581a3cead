//! Who may talk to a tenant's pods and to whom they may talk. No I/O.

use serde_json::{Value, json};
use tenantry_api::crm_instance::Environment;
use tenantry_api::database_server::DatabaseServer;
use tenantry_core::id::Id;
use tenantry_core::{address, names};

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

impl DatabaseAddress {
    /// The servers on which a database of a tenant can be: all but those that are set aside for another one.
    #[must_use]
    pub fn reachable(servers: &[DatabaseServer], tenant: &Id) -> Vec<Self> {
        let open = |s: &&DatabaseServer| s.spec.dedicated_to.as_deref().is_none_or(|owner| owner == tenant.as_str());
        servers.iter().filter(open).map(Self::of).collect()
    }

    fn of(server: &DatabaseServer) -> Self {
        let port = server.spec.external.as_ref().and_then(|e| e.port).unwrap_or_else(|| server.spec.engine.port());
        match &server.spec.external {
            Some(external) => Self::External { cidrs: external.cidrs.clone(), port },
            None => Self::Managed { server: server.metadata.name.clone().unwrap_or_default(), port },
        }
    }
}

/// The policy for all pods, which denies everything but what is written here, and the one that leads outside.
///
/// Policies add up: what one allows, no other can take away. So only pods that say of themselves that they are
/// production are led to the world and to other pods of the tenant; others bring a policy of their own
/// (`instance/build_network_policy.rs`). Pods made before they carried that label reach nothing outside until they
/// are made anew, which the label itself does to every Deployment.
#[must_use]
pub(super) fn build_network_policies(
    wanted: &TenantWanted,
    settings: &Settings,
    databases: &[DatabaseAddress],
) -> [Child; 2] {
    [for_all(wanted, settings, databases), outside(wanted, settings)]
}

fn for_all(wanted: &TenantWanted, settings: &Settings, databases: &[DatabaseAddress]) -> Child {
    let site = &settings.site;
    let mut from = vec![
        // The operator verifies; pods of the tenant talk to each other (web to worker), as far as the rules for
        // the way out let them.
        json!({ "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": settings.system_namespace } } }),
        json!({ "podSelector": {} }),
    ];
    from.extend(
        site.ingress_namespaces
            .iter()
            .map(|ns| json!({ "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": ns } } })),
    );
    from.extend(site.ingress_cidrs.iter().map(|cidr| json!({ "ipBlock": { "cidr": cidr } })));

    let mut egress = vec![json!({
        "to": [{ "namespaceSelector": {}, "podSelector": { "matchLabels": { "k8s-app": "kube-dns" } } },
               { "ipBlock": { "cidr": "0.0.0.0/0" } }],
        "ports": [{ "port": 53, "protocol": "UDP" }, { "port": 53, "protocol": "TCP" }],
    })];
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
    let rest = json!({ "spec": {
        "podSelector": {},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{ "from": from }],
        "egress": egress,
    }});
    Child::new(Kind::NetworkPolicy, Some(&wanted.namespace), "tenantry", &wanted.labels(), rest)
}

/// Mail and the web outside, for production alone: what a CRM needs to write to customers. The cluster's own
/// addresses stay closed.
fn outside(wanted: &TenantWanted, settings: &Settings) -> Child {
    let mut egress = vec![
        json!({ "to": [{ "podSelector": {} }] }),
        json!({ "to": [{ "ipBlock": { "cidr": "0.0.0.0/0", "except": address::PRIVATE } }] }),
    ];
    // What the Site opens inside: a customer's own mail server, which would send a copy's mail on like any other.
    let internal = &settings.site.internal_cidrs;
    if !internal.is_empty() {
        let to: Vec<Value> = internal.iter().map(|cidr| json!({ "ipBlock": { "cidr": cidr } })).collect();
        egress.push(json!({ "to": to }));
    }
    let rest = json!({ "spec": {
        "podSelector": { "matchLabels": { names::LABEL_ENVIRONMENT: Environment::Production.word() } },
        "policyTypes": ["Egress"],
        "egress": egress,
    }});
    Child::new(Kind::NetworkPolicy, Some(&wanted.namespace), "tenantry-outside", &wanted.labels(), rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(name: &str, spec: Value) -> DatabaseServer {
        let object = json!({ "apiVersion": "tenantry.dev/v1alpha1", "kind": "DatabaseServer",
            "metadata": { "name": name }, "spec": spec });
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn inside_addresses_are_closed_but_for_those_that_the_site_opens_to_production_alone() {
        let egress = |more: Value| {
            let mut spec = json!({ "id": "site-1" });
            spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let site = json!({ "apiVersion": "tenantry.dev/v1alpha1", "kind": "Site",
                "metadata": { "name": "site" }, "spec": spec });
            let limits = tenantry_core::ledger::Limits {
                plan: "p".into(),
                seats: None,
                storage_bytes: 1,
                bandwidth_bytes: None,
                records: None,
            };
            let id = Id::parse("abcdefghij").unwrap();
            let wanted = TenantWanted {
                id,
                name: "acme".into(),
                namespace: "tenant-abcdefghij".into(),
                limits,
                suspended: false,
            };
            let settings = Settings::of_site(&serde_json::from_value(site).unwrap());
            build_network_policies(&wanted, &settings, &[]).map(|policy| policy.object["spec"]["egress"].clone())
        };
        let ([all_shut, shut], [all_open, open]) =
            (egress(json!({})), egress(json!({ "internalCidrs": ["10.20.0.25/32"] })));
        let added = json!({ "to": [{ "ipBlock": { "cidr": "10.20.0.25/32" } }] });
        assert!(!shut.as_array().unwrap().contains(&added) && open.as_array().unwrap().contains(&added));
        assert_eq!(open.as_array().unwrap().len(), shut.as_array().unwrap().len() + 1);
        // The rule that holds for copies as well opens nothing.
        assert_eq!(all_open, all_shut);
    }

    #[test]
    fn a_tenant_reaches_shared_servers_and_its_own_but_nobody_elses() {
        let managed = json!({ "image": "pg:15", "storage": "10G" });
        let external = json!({ "host": "db.example", "port": 5433, "secretName": "s", "cidrs": ["192.0.2.7/32"] });
        let servers = [
            server("shared", json!({ "engine": "postgresql", "managed": managed })),
            server("own", json!({ "engine": "mariadb", "managed": managed, "dedicatedTo": "abcdefghij" })),
            server("other", json!({ "engine": "postgresql", "external": external, "dedicatedTo": "bbbbbbbbbb" })),
        ];
        let names = |tenant: &str| DatabaseAddress::reachable(&servers, &Id::parse(tenant).unwrap());
        let of = |server: &str, port| DatabaseAddress::Managed { server: server.into(), port };
        assert_eq!(names("abcdefghij"), [of("shared", 5432), of("own", 3306)]);
        let cidrs = vec!["192.0.2.7/32".to_owned()];
        assert_eq!(names("bbbbbbbbbb"), [of("shared", 5432), DatabaseAddress::External { cidrs, port: 5433 }]);
    }
}
