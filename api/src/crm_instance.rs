//! CrmInstance: one running CRM of a tenant. No I/O.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};
use tenantry_core::{bounds, host};

use crate::integration::{IntegrationStatus, SettingSource};
use crate::scheduling::Scheduling;

tenantry_core::listed! {
    /// What an instance is for. Only production counts as billed seats; the others never write to customers.
    #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
    #[serde(rename_all = "lowercase")]
    pub enum Environment {
        /// The CRM that people work in.
        #[default]
        Production,
        /// A copy to try things on.
        Staging,
        /// A copy on which an upgrade is tried.
        Rehearsal,
    }
}

impl Environment {
    /// The word in specs and events.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Production => "production",
            Self::Staging => "staging",
            Self::Rehearsal => "rehearsal",
        }
    }
}

/// One running CRM of a tenant.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "tenantry.dev",
    version = "v1alpha1",
    kind = "CrmInstance",
    plural = "crminstances",
    shortname = "crm",
    category = "tenantry",
    namespaced,
    status = "CrmInstanceStatus",
    derive = "PartialEq",
    doc = "One running CRM of a tenant. Deleting it archives; data stays until it is purged.",
    printcolumn = r#"{"name":"Phase","type":"string","jsonPath":".status.phase"}"#,
    printcolumn = r#"{"name":"Product","type":"string","jsonPath":".spec.blueprint"}"#,
    printcolumn = r#"{"name":"Release","type":"string","jsonPath":".status.release"}"#,
    printcolumn = r#"{"name":"Environment","type":"string","jsonPath":".spec.environment"}"#,
    printcolumn = r#"{"name":"URL","type":"string","jsonPath":".status.url"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name":"Tenant","type":"string","jsonPath":".spec.tenant","priority":1}"#,
    printcolumn = r#"{"name":"Server","type":"string","jsonPath":".status.database.server","priority":1}"#,
    printcolumn = r#"{"name":"Message","type":"string","jsonPath":".status.conditions[?(@.type=='Ready')].message","priority":1}"#,
    validation = Rule::new("size(self.metadata.name) <= 30").message("metadata.name is too long: at most 30 characters fit into the labels made from it"),
    validation = Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')").message("metadata.name must be lower-case letters, digits and hyphens, beginning with a letter"),
    validation = Rule::new("!has(self.spec.from) || self.spec.from.instance != self.metadata.name").message("spec.from names this instance itself: name the one to copy"),
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("!has(oldSelf.id) || (has(self.id) && self.id == oldSelf.id)").message("spec.id is minted once and cannot change: databases, volumes and billing derive from it"))]
#[x_kube(validation = Rule::new("self.tenant == oldSelf.tenant").message("spec.tenant cannot change: an instance stays with its tenant"))]
#[x_kube(validation = Rule::new("self.blueprint == oldSelf.blueprint").message("spec.blueprint cannot change: another product is another instance"))]
#[x_kube(validation = Rule::new("!has(oldSelf.release) || (has(self.release) && self.release == oldSelf.release)").message("spec.release cannot be edited: a new release needs an upgrade, which backs up and can roll back"))]
#[x_kube(validation = Rule::new("self.environment == oldSelf.environment").message("spec.environment cannot change: make a new instance"))]
#[x_kube(validation = Rule::new("!has(oldSelf.databaseServer) || (has(self.databaseServer) && self.databaseServer == oldSelf.databaseServer)").message("spec.databaseServer cannot change: the data would stay behind"))]
#[x_kube(validation = Rule::new("!has(oldSelf.adopt) || (has(self.adopt) && self.adopt == oldSelf.adopt)").message("spec.adopt says which archive this instance came from and cannot change"))]
#[x_kube(validation = Rule::new("!has(self.adopt) || has(self.id)").message("an instance adopted from an archive needs the archive's id as spec.id; use `tenantry instance adopt`"))]
#[x_kube(validation = Rule::new("!has(self.settings) || !has(self.settingsFrom) || self.settings.all(s, !(s in self.settingsFrom))").message("a setting stands in settings or in settingsFrom, not in both"))]
#[x_kube(validation = Rule::new("!has(self.databaseServer) || self.databaseServer.size() > 0").message("spec.databaseServer must not be empty"))]
#[x_kube(validation = Rule::new("has(self.from) == has(oldSelf.from) && (!has(self.from) || self.from == oldSelf.from)").message("spec.from says what this instance was copied from and cannot change: make a new copy"))]
#[x_kube(validation = Rule::new("!has(self.from) || (has(self.environment) && self.environment != 'production')").message("a copy of an instance is for staging or rehearsal: set spec.environment"))]
#[x_kube(validation = Rule::new("!has(self.from) || !has(self.adopt)").message("an instance comes from another one or from an archive, not from both: leave spec.from away"))]
#[x_kube(validation = Rule::new("!has(self.expires) || (has(self.environment) && self.environment != 'production')").message("spec.expires is for staging and rehearsal: a production instance does not end by itself"))]
pub struct CrmInstanceSpec {
    /// Immutable id; the operator mints one when it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 10, max = 10), regex(pattern = "^[a-z][a-z0-9]{9}$"))]
    pub id: Option<String>,
    /// Name of the Tenant, whose namespace this must be.
    #[schemars(length(min = 1, max = 40))]
    pub tenant: String,
    /// Name of the Blueprint.
    #[schemars(length(min = 1, max = 63))]
    pub blueprint: String,
    /// Version of the release; the newest of the stable channel when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 40))]
    pub release: Option<String>,
    /// Production, staging or rehearsal.
    #[serde(default)]
    pub environment: Environment,
    /// Host under which it answers, a name such as crm.acme.example. No two instances can have one.
    #[schemars(length(min = 1, max = 200), transform = bounds::rules(host::RULES))]
    pub host: String,
    /// E-mail address of the administrator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 3, max = 254), regex(pattern = r"^[^@\s]+@[^@\s]+$"))]
    pub admin_email: Option<String>,
    /// Settings that the blueprint offers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(transform = bounds::map(50, bounds::NAME, Some(1_000)))]
    pub settings: BTreeMap<String, String>,
    /// Settings whose values lie in Secrets of the instance's namespace, by name. Treated as secret everywhere.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(transform = bounds::map(50, bounds::NAME, None))]
    pub settings_from: BTreeMap<String, SettingSource>,
    /// How many pods of a process run, by the process's name, up to what the blueprint bears; the blueprint's own
    /// number where absent. A change starts nothing anew.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(transform = replicas)]
    pub replicas: BTreeMap<String, u32>,
    /// On which nodes its pods may run; on any when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduling: Option<Scheduling>,
    /// Name of a DatabaseServer; the least loaded that fits when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub database_server: Option<String>,
    /// Name of the Archive that this instance takes over with its data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub adopt: Option<String>,
    /// The instance whose database and files this one begins with, neutralised before anything starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<CopySource>,
    /// When it ends by itself, RFC 3339: it is archived then, as when it is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 20, max = 40),
        regex(
            pattern = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})$"
        )
    )]
    pub expires: Option<String>,
}

/// The instance that a copy is made of. It is only read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CopySource {
    /// Name of an instance of the same tenant.
    #[schemars(length(min = 1, max = 30))]
    pub instance: String,
}

/// Bounds of the pods of each process: those of the blueprint's own field.
fn replicas(schema: &mut schemars::Schema) {
    bounds::map(10, 20, None)(schema);
    if let Some(serde_json::Value::Object(number)) = schema.get_mut("additionalProperties") {
        number.insert("minimum".into(), 1.into());
        number.insert("maximum".into(), 50.into());
    }
}

/// Phases of an instance.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum InstancePhase {
    /// Not looked at yet, or waiting for something that a condition names.
    #[default]
    Pending,
    /// Its database is being made: the first install of a release on a server takes minutes.
    Installing,
    /// Its processes are starting.
    Starting,
    /// It answers and is being tried.
    Verifying,
    /// Verified and serving.
    Ready,
    /// It was verified, but does not answer now.
    Degraded,
    /// Stopped behind the page.
    Suspended,
    /// Being archived.
    Archiving,
    /// A step failed for good; the conditions say which and what to do.
    Failed,
    /// Something in the spec cannot be.
    Invalid,
}

/// Where the current data lies.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseStatus {
    /// Name of the DatabaseServer.
    pub server: String,
    /// Name of the database.
    pub name: String,
}

/// Observed state of an instance.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CrmInstanceStatus {
    /// Generation that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Phase.
    #[serde(default)]
    pub phase: InstancePhase,
    /// Generation of the data in use: database, volumes and Secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_generation: Option<u32>,
    /// Database in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<DatabaseStatus>,
    /// Version of the pinned release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// Hash of the pinned release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release_hash: Option<String>,
    /// Where people find it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// When it was verified for the first time, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installed_at: Option<String>,
    /// Since when its processes are exchanged because of a change that is not its own, RFC 3339; absent otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchanging_since: Option<String>,
    /// Print of the host and of the Site's ingress for which `Reachable` was found out: another one is another way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reachable_for: Option<String>,
    /// Generation of the Tenant that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_generation: Option<i64>,
    /// What is known of the integrations that the blueprint offers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub integrations: Vec<IntegrationStatus>,
    /// `Ready`, `SpecValid`, `HostClaimed`, `DatabaseReady`, `Installed`, `ProcessesReady`, `Verified`, `Archived`;
    /// of a copy also `Copied` and `Neutralised`. `Reachable`, `Stopped` and `SettingsApplied` only tell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}
