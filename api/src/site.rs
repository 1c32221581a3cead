//! Site: one cluster and its settings, a singleton. No I/O.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};
use tenantry_core::address::{CIDR_PATTERN, Ranges};
use tenantry_core::{bounds, zone};

/// Name of most objects of Kubernetes, and of a namespace.
const NAME_PATTERN: &str = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$";
const NAMESPACE_PATTERN: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";

/// What kind of place a site is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SiteKind {
    /// Shared hosting of a vendor.
    #[default]
    Cloud,
    /// A customer's own server.
    Customer,
}

/// Pod Security levels, strictest first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PodSecurityLevel {
    /// Non-root, no capabilities, seccomp.
    #[default]
    Restricted,
    /// Known escalations are forbidden; images that start as root may run.
    Baseline,
    /// Nothing is forbidden.
    Privileged,
}

impl PodSecurityLevel {
    /// The label value of Kubernetes.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Restricted => "restricted",
            Self::Baseline => "baseline",
            Self::Privileged => "privileged",
        }
    }
}

/// One cluster and its settings.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "tenantry.dev",
    version = "v1alpha1",
    kind = "Site",
    plural = "sites",
    category = "tenantry",
    status = "SiteStatus",
    derive = "PartialEq",
    doc = "One cluster and its settings. There is exactly one, named `site`.",
    printcolumn = r#"{"name":"Id","type":"string","jsonPath":".spec.id"}"#,
    printcolumn = r#"{"name":"Kind","type":"string","jsonPath":".spec.kind"}"#,
    printcolumn = r#"{"name":"Time zone","type":"string","jsonPath":".spec.timeZone"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#,
    validation = Rule::new("self.metadata.name == 'site'").message("a cluster has one Site, and its name is `site`"),
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("self.id == oldSelf.id").message("spec.id is the source of every billing event of this site and cannot change"))]
#[x_kube(validation = Rule::new("!has(self.outsideIpv6) || !self.outsideIpv6 || (has(self.closedCidrs) && self.closedCidrs.exists(c, c.contains(':')))").message("spec.outsideIpv6 opens public IPv6 addresses, which nodes and pods of a cluster often have: name at least one IPv6 range of the cluster in spec.closedCidrs"))]
#[x_kube(validation = Rule::new("!has(self.imagePullSecrets) || !self.imagePullSecrets.exists(n, n == 'tenantry-image-pull')").message("spec.imagePullSecrets: tenantry-image-pull is the copy that Tenantry makes; give your own Secret another name"))]
pub struct SiteSpec {
    /// Immutable id, the `source` of its events.
    #[schemars(length(min = 3, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub id: String,
    /// Shared hosting or a customer's server.
    #[serde(default)]
    pub kind: SiteKind,
    /// How the world reaches the CRMs.
    #[serde(default)]
    pub ingress: IngressSettings,
    /// Time zone of the site (a name of the IANA list), for example Asia/Ho_Chi_Minh.
    #[serde(default = "utc")]
    #[schemars(length(min = 1, max = 64), transform = bounds::rules(zone::RULES))]
    pub time_zone: String,
    /// The loosest Pod Security level that a blueprint may ask for.
    #[serde(default)]
    pub pod_security: PodSecurityLevel,
    /// Storage class of volumes; the cluster's default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = NAME_PATTERN))]
    pub storage_class: Option<String>,
    /// Days that data is kept after deletion before a person may be reminded to purge it.
    #[serde(default = "retention")]
    #[schemars(range(min = 1, max = 36500))]
    pub retention_days: u32,
    /// Most CRMs whose processes are exchanged at once because of a change that concerns all, such as one of this
    /// Site's registry, ingress or time zone; the next follows when one is ready again.
    #[serde(default = "at_once")]
    #[schemars(range(min = 1, max = 1000))]
    pub restarts_at_once: u32,
    /// Registry that replaces the first part of image names, for a mirror or an air gap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub image_registry: Option<String>,
    /// Secrets in the operator's namespace (of type kubernetes.io/dockerconfigjson) with credentials of registries. What
    /// they say of registries is copied, as one Secret, into the namespace of each tenant, and all pods of CRMs, jobs
    /// and database servers fetch their images with it. A change of a Secret arrives within about a minute and restarts
    /// nothing; the first name that is added, and the last that is removed, exchange what runs in turns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10), inner(length(min = 1, max = 253), regex(pattern = NAME_PATTERN)))]
    pub image_pull_secrets: Vec<String>,
    /// Image that brings the agent's binary into job pods and serves the page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 500))]
    pub agent_image: Option<String>,
    /// Namespaces from which NetworkPolicies let requests in (the ingress controller's).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), inner(length(min = 1, max = 63), regex(pattern = NAMESPACE_PATTERN)))]
    pub ingress_namespaces: Vec<String>,
    /// Addresses from which NetworkPolicies let requests in (an ingress outside the cluster), as CIDR.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), inner(length(max = 43), regex(pattern = CIDR_PATTERN)))]
    pub ingress_cidrs: Vec<String>,
    /// Addresses inside (as CIDR) that tenants may reach as well, such as a mail server in the customer's own network;
    /// private addresses are closed to them otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), inner(length(max = 43), regex(pattern = CIDR_PATTERN)))]
    pub internal_cidrs: Vec<String>,
    /// Addresses (as CIDR) that stay closed to tenants whatever else opens them, such as public addresses of the
    /// cluster's own nodes and pods. A database server whose `cidrs` lie in them is reached all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(max = 43), regex(pattern = CIDR_PATTERN)))]
    pub closed_cidrs: Vec<String>,
    /// Addresses (as CIDR) on which the cluster's DNS answers beside the pods labelled `k8s-app: kube-dns` in
    /// kube-system: a cache on each node, for example 169.254.20.10/32. Tenants ask no other DNS.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), inner(length(max = 43), regex(pattern = CIDR_PATTERN)))]
    pub dns_cidrs: Vec<String>,
    /// Whether tenants may reach IPv6 addresses outside. Nodes and pods with IPv6 often have public addresses: name
    /// their ranges in `closedCidrs`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub outside_ipv6: bool,
    /// Whom a suspended tenant's page names as contact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 200))]
    pub contact: Option<String>,
}

impl SiteSpec {
    /// What is wrong when it names nobody whose requests network rules let in, and what to do.
    #[must_use]
    pub fn lets_nobody_in(&self) -> Option<String> {
        let nobody = self.ingress_namespaces.is_empty() && self.ingress_cidrs.is_empty();
        nobody.then(|| {
            "spec.ingressNamespaces and spec.ingressCidrs are empty: where the cluster enforces NetworkPolicies, nobody reaches a CRM. Name the namespace of your ingress controller: kubectl patch site site --type merge -p '{\"spec\":{\"ingressNamespaces\":[\"NAMESPACE\"]}}', and site.ingressNamespaces in the chart's values"
                .to_owned()
        })
    }

    /// What it says of the addresses that tenants reach.
    #[must_use]
    pub fn ranges(&self) -> Ranges {
        Ranges { internal: self.internal_cidrs.clone(), closed: self.closed_cidrs.clone(), ipv6: self.outside_ipv6 }
    }
}

fn utc() -> String {
    "UTC".into()
}

fn at_once() -> u32 {
    5
}

fn retention() -> u32 {
    90
}

/// How the world reaches the CRMs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IngressSettings {
    /// IngressClass; the cluster's default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = NAME_PATTERN))]
    pub class_name: Option<String>,
    /// Annotations of every Ingress, for example of a certificate issuer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(transform = bounds::map(50, 317, Some(10_000)))]
    pub annotations: BTreeMap<String, String>,
    /// Whether TLS ends at the ingress, so that URLs begin with https.
    #[serde(default)]
    pub tls: bool,
    /// Port in URLs when it is not the standard one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<u16>,
}

/// Observed state of a Site.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SiteStatus {
    /// Generation that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Versions of the Secrets with credentials of registries that are copied to tenants, with their names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_pull_secrets: Option<String>,
    /// `Ready`, `IngressAdmitted`, `ImagePullSecretsReady`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}
