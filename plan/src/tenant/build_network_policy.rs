//! Which peers may connect to a tenant's pods, and where these pods may connect to. No I/O.

use serde_json::{Value, json};
use tenantry_api::crm_instance::Environment;
use tenantry_api::database_server::DatabaseServer;
use tenantry_core::id::Id;
use tenantry_core::{address, names};

use super::TenantWanted;
use crate::Settings;
use crate::child::{Child, Kind};

/// Address of a database server, for the policies of tenants.
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
        /// Addresses as CIDR. An empty list means any address.
        cidrs: Vec<String>,
        /// Port.
        port: u16,
    },
}

impl DatabaseAddress {
    /// The servers that can have a database of a tenant: all but those dedicated to another tenant.
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

/// The policy for all pods, which denies everything that it does not list, and the policy that leads outside.
///
/// Policies add up: one policy cannot take away what another allows. So only pods labelled as production may reach the
/// world and the tenant's other pods; other pods have a policy of their own (`instance/build_network_policy.rs`). Pods
/// that were made before this label existed reach nothing outside until they are recreated. Adding the label recreates
/// the pods of every Deployment.
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
        // The operator connects for the verification. Pods of the tenant connect to each other (web to worker), as far
        // as the egress rules allow it.
        json!({ "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": settings.system_namespace } } }),
        json!({ "podSelector": {} }),
    ];
    from.extend(
        site.ingress_namespaces
            .iter()
            .map(|ns| json!({ "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": ns } } })),
    );
    from.extend(site.ingress_cidrs.iter().map(|cidr| json!({ "ipBlock": { "cidr": cidr } })));

    let mut egress = vec![names_egress(settings)];
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
                let closed: Vec<&str> =
                    address::NEVER.into_iter().chain(site.closed_cidrs.iter().map(String::as_str)).collect();
                [address::WORLD, address::WORLD6, UNIQUE_LOCAL].into_iter().filter_map(|c| block(c, &closed)).collect()
            } else {
                cidrs.iter().map(|cidr| json!({ "ipBlock": { "cidr": cidr } })).collect()
            };
            // An empty list of peers would open every address.
            let to = if to.is_empty() { vec![nobody()] } else { to };
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

/// The private addresses of IPv6, in which a database server without `cidrs` may be.
const UNIQUE_LOCAL: &str = "fc00::/7";

/// DNS queries go to the cluster's own DNS and nowhere else. A pod that may query any server could send any data to
/// anybody.
fn names_egress(settings: &Settings) -> Value {
    let mut to = vec![json!({
        "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": "kube-system" } },
        "podSelector": { "matchLabels": { "k8s-app": "kube-dns" } },
    })];
    to.extend(settings.site.dns_cidrs.iter().map(|cidr| json!({ "ipBlock": { "cidr": cidr } })));
    json!({ "to": to, "ports": [{ "port": 53, "protocol": "UDP" }, { "port": 53, "protocol": "TCP" }] })
}

/// A range without its closed parts. None means that nothing of the range is left.
fn block(cidr: &str, closed: &[&str]) -> Option<Value> {
    let except = address::except(cidr, closed.iter().copied())?;
    Some(match except.is_empty() {
        true => json!({ "ipBlock": { "cidr": cidr } }),
        false => json!({ "ipBlock": { "cidr": cidr, "except": except } }),
    })
}

/// A peer that matches nothing: no pod of the namespace has this label.
fn nobody() -> Value {
    json!({ "podSelector": { "matchLabels": { names::LABEL_PURPOSE: "nobody" } } })
}

/// Egress to mail and web servers outside, for production only, because a CRM needs it to write to customers. The
/// cluster's own addresses stay closed.
fn outside(wanted: &TenantWanted, settings: &Settings) -> Child {
    let site = &settings.site;
    let own: Vec<&str> = site.closed_cidrs.iter().map(String::as_str).collect();
    let world = || {
        let of = |closed: &[&'static str]| -> Vec<&str> { closed.iter().copied().chain(own.iter().copied()).collect() };
        let v4 = block(address::WORLD, &of(&[address::PRIVATE.as_slice(), &address::NOWHERE].concat()));
        let v6 = site.outside_ipv6.then(|| block(address::WORLD6, &of(&address::NOWHERE6))).flatten();
        v4.into_iter().chain(v6)
    };
    // Inside addresses that the Site opens, such as a customer's own mail server. They are for production only, because
    // such a server would pass on a copy's mail like any other mail.
    let internal = site.internal_cidrs.iter().filter_map(|cidr| block(cidr, &own));
    let mut egress = vec![json!({ "to": [{ "podSelector": {} }] })];
    for to in [world().collect::<Vec<_>>(), internal.collect()] {
        if !to.is_empty() {
            egress.push(json!({ "to": to }));
        }
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

    /// The egress rules for all pods and for production pods, with these fields added to the Site.
    fn egress(more: Value, databases: &[DatabaseAddress]) -> [Value; 2] {
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
        let wanted =
            TenantWanted { id, name: "acme".into(), namespace: "tenant-abcdefghij".into(), limits, suspended: false };
        let settings = Settings::of_site(&serde_json::from_value(site).unwrap());
        build_network_policies(&wanted, &settings, databases).map(|policy| policy.object["spec"]["egress"].clone())
    }

    /// Whether the ranges of the egress rules include an address on a port.
    fn leads_to(egress: &Value, address: &str, port: u16) -> bool {
        let address = address.parse().unwrap();
        let holds = |cidr: &Value| address::Cidr::parse(cidr.as_str().unwrap()).unwrap().holds(address);
        egress.as_array().unwrap().iter().any(|rule| {
            let ports = rule.get("ports").and_then(Value::as_array);
            ports.is_none_or(|all| all.iter().any(|p| p["port"] == port))
                && rule["to"].as_array().unwrap().iter().any(|peer| {
                    let Some(block) = peer.get("ipBlock") else { return false };
                    let except = block.get("except").and_then(Value::as_array);
                    holds(&block["cidr"]) && !except.is_some_and(|all| all.iter().any(holds))
                })
        })
    }

    #[test]
    fn inside_addresses_are_closed_but_for_those_that_the_site_opens_to_production_alone() {
        let ([all_shut, shut], [all_open, open]) =
            (egress(json!({}), &[]), egress(json!({ "internalCidrs": ["10.20.0.25/32"] }), &[]));
        let added = json!({ "to": [{ "ipBlock": { "cidr": "10.20.0.25/32" } }] });
        assert!(!shut.as_array().unwrap().contains(&added) && open.as_array().unwrap().contains(&added));
        assert_eq!(open.as_array().unwrap().len(), shut.as_array().unwrap().len() + 1);
        // The rule for all pods, copies included, opens nothing more.
        assert_eq!(all_open, all_shut);
    }

    /// Addresses of neighbours and nodes, and addresses on which clouds hand out credentials.
    const INSIDE: [&str; 16] = [
        "10.244.0.9",
        "172.16.0.1",
        "192.168.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "198.18.0.1",
        "127.0.0.1",
        "0.0.0.0",
        "fd00:ec2::254",
        "fe80::1",
        "fec0::1",
        "::ffff:10.0.0.1",
        "64:ff9b::a9fe:a9fe",
    ];

    #[test]
    fn nobody_reaches_neighbours_and_what_clouds_answer_on_and_names_are_asked_of_the_cluster_alone() {
        let ipv6 = json!({ "outsideIpv6": true, "closedCidrs": ["2a00:1::/32", "203.0.113.0/24", "fd00::/8"] });
        for more in [json!({}), ipv6.clone()] {
            let [all, outside] = egress(more, &[]);
            for address in INSIDE.into_iter().chain(["2002:a00:1::1", "2001::1", "2a00:1::1"]) {
                for port in [53, 80, 443, 5432] {
                    assert!(!leads_to(&outside, address, port) && !leads_to(&all, address, port), "{address} {port}");
                }
            }
            assert!(leads_to(&outside, "8.8.8.8", 443) && !leads_to(&all, "8.8.8.8", 53), "{all}");
        }
        let [_, shut] = egress(json!({}), &[]);
        let [_, open] = egress(ipv6, &[]);
        assert!(!leads_to(&shut, "2a01:4f8::1", 443) && leads_to(&open, "2a01:4f8::1", 443));
        assert!(leads_to(&shut, "203.0.113.1", 443) && !leads_to(&open, "203.0.113.1", 443));
        let [cached, _] = egress(json!({ "dnsCidrs": ["169.254.20.10/32"] }), &[]);
        assert!(leads_to(&cached, "169.254.20.10", 53) && !leads_to(&cached, "169.254.20.10", 80));
    }

    #[test]
    fn what_the_site_closes_is_closed_inside_of_what_it_opens_too() {
        let [_, both] = egress(json!({ "internalCidrs": ["10.0.0.0/8"], "closedCidrs": ["10.244.0.0/16"] }), &[]);
        assert!(leads_to(&both, "10.20.0.25", 25) && !leads_to(&both, "10.244.0.9", 25), "{both}");
        let [_, none] = egress(json!({ "internalCidrs": ["10.244.1.0/24"], "closedCidrs": ["10.244.0.0/16"] }), &[]);
        assert!(!leads_to(&none, "10.244.1.9", 25), "{none}");
    }

    #[test]
    fn a_database_server_without_addresses_opens_its_port_but_not_to_the_node_and_not_to_what_is_closed() {
        let anywhere = [DatabaseAddress::External { cidrs: Vec::new(), port: 5432 }];
        let [all, _] = egress(json!({ "closedCidrs": ["10.244.0.0/16"] }), &anywhere);
        for (address, open) in [
            ("10.20.0.5", true),
            ("192.0.2.7", true),
            ("fd00::5", true),
            ("2a01::5", true),
            ("10.244.0.9", false),
            ("169.254.169.254", false),
            ("168.63.129.16", false),
            ("127.0.0.1", false),
            ("fe80::1", false),
            ("::1", false),
        ] {
            assert_eq!(leads_to(&all, address, 5432), open, "{address}");
            assert!(!leads_to(&all, address, 5433), "{address}");
        }
        let [shut, _] = egress(json!({ "closedCidrs": ["0.0.0.0/0", "::/0"] }), &anywhere);
        assert!(!leads_to(&shut, "10.20.0.5", 5432));
        // A rule without peers would allow every address.
        assert!(shut.as_array().unwrap().iter().all(|rule| !rule["to"].as_array().unwrap().is_empty()), "{shut}");
    }

    #[test]
    fn the_chart_closes_the_same_ranges_to_the_operators_checks() {
        let chart = include_str!("../../../charts/tenantry/templates/_helpers.tpl");
        let list = |ranges: &[&str]| ranges.join(", ");
        let closed = [address::PRIVATE.as_slice(), &address::NOWHERE].concat();
        assert!(chart.contains(&list(&closed)), "{}", list(&closed));
        let closed: Vec<String> = address::NOWHERE6.iter().map(|c| format!("{c:?}")).collect();
        assert!(chart.contains(&closed.join(", ")), "{closed:?}");
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
