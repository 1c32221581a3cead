//! DatabaseServer: a server that holds tenants' databases, managed by the operator or external. No I/O.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};
use tenantry_core::address::CIDR_PATTERN;

use crate::plan::Resources;
use crate::scheduling::Scheduling;

pub use tenantry_core::engine::Engine;

/// A PostgreSQL or MariaDB server that holds tenants' databases.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "tenantry.dev",
    version = "v1alpha1",
    kind = "DatabaseServer",
    plural = "databaseservers",
    shortname = "dbs",
    category = "tenantry",
    status = "DatabaseServerStatus",
    derive = "PartialEq",
    doc = "A PostgreSQL or MariaDB server that holds tenants' databases, managed by the operator or external.",
    printcolumn = r#"{"name":"Phase","type":"string","jsonPath":".status.phase"}"#,
    printcolumn = r#"{"name":"Engine","type":"string","jsonPath":".spec.engine"}"#,
    printcolumn = r#"{"name":"Version","type":"string","jsonPath":".status.version"}"#,
    printcolumn = r#"{"name":"Databases","type":"integer","jsonPath":".status.databases"}"#,
    printcolumn = r#"{"name":"Max","type":"integer","jsonPath":".spec.maxDatabases"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name":"Message","type":"string","jsonPath":".status.conditions[?(@.type=='Ready')].message","priority":1}"#,
    validation = Rule::new("size(self.metadata.name) <= 40").message("metadata.name is too long: at most 40 characters fit into the names made from it"),
    validation = Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')").message("metadata.name must be lower-case letters, digits and hyphens, beginning with a letter"),
    validation = Rule::new("!has(oldSelf.status) || !has(oldSelf.status.version) || !has(self.spec.external) || !has(oldSelf.spec.external) || (self.spec.external.host == oldSelf.spec.external.host && has(self.spec.external.port) == has(oldSelf.spec.external.port) && (!has(self.spec.external.port) || self.spec.external.port == oldSelf.spec.external.port))").message("external.host and external.port cannot change once the server has answered: the Secrets of the instances on it hold the old address. Keep the host name and let DNS lead it to the new place, or add another DatabaseServer"),
    validation = Rule::new("!has(self.spec.dedicatedTo) || has(oldSelf.spec.dedicatedTo) || !has(oldSelf.status) || !has(oldSelf.status.databases) || oldSelf.status.databases == 0").message("spec.dedicatedTo cannot be set while databases are on the server: other tenants would lose the way to theirs; add another DatabaseServer"),
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("self.engine == oldSelf.engine").message("spec.engine cannot change: the databases on it would be lost; add another DatabaseServer"))]
#[x_kube(validation = Rule::new("has(self.managed) != has(self.external)").message("say either managed (the operator runs the server) or external (it exists already), not both and not neither"))]
#[x_kube(validation = Rule::new("has(self.managed) == has(oldSelf.managed)").message("a managed server cannot become external or the other way round; add another DatabaseServer"))]
#[x_kube(validation = Rule::new("!has(self.dedicatedTo) || !has(oldSelf.dedicatedTo) || self.dedicatedTo == oldSelf.dedicatedTo").message("spec.dedicatedTo cannot go to another tenant while databases are on the server"))]
pub struct DatabaseServerSpec {
    /// PostgreSQL or MariaDB.
    pub engine: Engine,
    /// The operator runs the server as a StatefulSet in its own namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed: Option<Managed>,
    /// The server exists already; its address and an administrator's password are in a Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<External>,
    /// Most databases of tenants; not limited when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_databases: Option<u32>,
    /// Id of the tenant that the server is set aside for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 10, max = 10))]
    pub dedicated_to: Option<String>,
    /// Whether new databases may be placed here.
    #[serde(default = "yes")]
    pub accepting: bool,
    /// Most connections that one tenant's role may hold.
    #[serde(default = "connections")]
    #[schemars(range(min = 1, max = 10_000))]
    pub connections_per_tenant: u32,
    /// Image with the client programs of an external server (pg_dump, pg_restore or mariadb-dump, mariadb), of its
    /// version or newer, for jobs that copy databases. A managed server's own image has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 500))]
    pub client_image: Option<String>,
}

fn yes() -> bool {
    true
}

fn connections() -> u32 {
    50
}

/// A server that the operator runs.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("quantity(self.storage).compareTo(quantity(oldSelf.storage)) >= 0").message("managed.storage cannot shrink: volumes only grow"))]
#[x_kube(validation = Rule::new("has(self.storageClass) == has(oldSelf.storageClass) && (!has(self.storageClass) || self.storageClass == oldSelf.storageClass)").message("managed.storageClass cannot change on a volume that exists"))]
pub struct Managed {
    /// Image of the server.
    #[schemars(length(min = 1, max = 500))]
    pub image: String,
    /// Size of its volume.
    #[schemars(length(min = 1, max = 20), regex(pattern = r"^[0-9]+(\.[0-9]{1,9})?(k|M|G|T|Ki|Mi|Gi|Ti)?$"))]
    pub storage: String,
    /// Storage class; the site's or the cluster's default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub storage_class: Option<String>,
    /// Requests and limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// On which nodes its pod may run; on any when absent. A change starts the server anew, for a node that its
    /// volume can follow to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduling: Option<Scheduling>,
    /// Priority class of its pod. One above that of the CRMs keeps the server when a node runs short: without it none
    /// of them works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub priority_class_name: Option<String>,
    /// Arguments added to the server's command line, for example `-c`, `max_connections=500`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(max = 200)))]
    pub args: Vec<String>,
}

/// A server that exists already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct External {
    /// Host name or IPv4 address, as seen from the operator and from the tenants' pods. A server with an IPv6 address
    /// needs a name: files of some products want brackets around an address, others do not take them.
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[^:]+$"))]
    pub host: String,
    /// Port; the engine's own when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<u16>,
    /// Secret in the operator's namespace with the keys `username`, `password` and, for TLS, `ca.crt`.
    #[schemars(length(min = 1, max = 253))]
    pub secret_name: String,
    /// Whether connections must be encrypted.
    #[serde(default)]
    pub tls: bool,
    /// Addresses of the server for NetworkPolicies, as CIDR; every address when absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), inner(length(max = 43), regex(pattern = CIDR_PATTERN)))]
    pub cidrs: Vec<String>,
}

/// Phases of a database server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum DatabaseServerPhase {
    /// Being set up.
    #[default]
    Pending,
    /// Answers and takes databases.
    Ready,
    /// Does not answer.
    Unreachable,
    /// Something in the spec cannot be.
    Invalid,
}

/// A template of a release on a database server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TemplateStatus {
    /// Name of the blueprint.
    pub blueprint: String,
    /// Hash of the release.
    pub release_hash: String,
    /// `template` when it is complete; else how far its build is.
    pub state: String,
    /// Since when.
    pub since: String,
}

/// Observed state of a database server.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseServerStatus {
    /// Generation that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Phase.
    #[serde(default)]
    pub phase: DatabaseServerPhase,
    /// Version as the server says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Major version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_major: Option<u32>,
    /// Databases of tenants on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub databases: Option<u32>,
    /// Templates on it, from which databases of tenants are copied; at most 100. One that no Blueprint offers and no
    /// instance runs with is dropped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub templates: Vec<TemplateStatus>,
    /// Host for the tenants' pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Port for the tenants' pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Databases to which no living instance and no archive leads, some of them. They are kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub orphans: Vec<OrphanedDatabase>,
    /// `Ready`, `Reachable`, `VolumeReady`, `NoOrphans`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// A database to which nothing leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrphanedDatabase {
    /// Its name.
    #[schemars(length(max = 63))]
    pub name: String,
    /// Id of the instance that it was made for.
    #[schemars(length(max = 10))]
    pub instance: String,
    /// Id of the tenant.
    #[schemars(length(max = 10))]
    pub tenant: String,
}
