//! Blueprint: how one CRM product is run. Data only: adding a product needs no change in code. No I/O.

mod integrations;
mod parts;
mod process;
mod release;
mod seats;
mod steps;

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};
use tenantry_core::bounds;
use tenantry_core::verify::Verify;

pub use integrations::{CheckType, Integration, IntegrationCheck, IntegrationKind};
pub use parts::{
    AdminAccount, ConfigFile, DatabaseNeeds, EngineNeed, GeneratedSecret, PodSecurity, Probe, ProbeHttp, Process,
    Replicas, Schedule, Setting, Strategy, Volume,
};
pub use release::{Channel, Effective, Release, UnknownRelease};
pub use seats::{ReadOnlyMode, SeatTable, Seats};
pub use steps::{Migration, Neutralisation, StepList};

/// How one CRM product is run: processes, database, volumes, install, migrate, verify, seats, releases.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "tenantry.dev",
    version = "v1alpha1",
    kind = "Blueprint",
    plural = "blueprints",
    shortname = "bp",
    category = "tenantry",
    status = "BlueprintStatus",
    derive = "PartialEq",
    doc = "How one CRM product is run. Instances keep the release they were made with, whatever changes here.",
    printcolumn = r#"{"name":"Title","type":"string","jsonPath":".spec.title"}"#,
    printcolumn = r#"{"name":"Verified","type":"boolean","jsonPath":".spec.verified"}"#,
    printcolumn = r#"{"name":"Valid","type":"string","jsonPath":".status.conditions[?(@.type=='Valid')].status"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name":"Message","type":"string","jsonPath":".status.conditions[?(@.type=='Valid')].message","priority":1}"#,
    validation = Rule::new("size(self.metadata.name) <= 40").message("metadata.name is too long: at most 40 characters fit into the labels made from it"),
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("oldSelf.releases.all(o, self.releases.exists(n, n.version == o.version))").message("a release cannot be taken away, instances may run it"))]
#[x_kube(validation = Rule::new("!has(self.schedules) || self.schedules.all(s, self.processes.all(p, p.name != s.name))").message("a schedule has the name of a process: names must differ"))]
#[x_kube(validation = Rule::new("self.processes.filter(p, has(p.serves) && p.serves).size() <= 1").message("only one process can serve (serves: true)"))]
#[x_kube(validation = Rule::new("!has(self.integrations) || self.integrations.all(i, !has(i.settings) || i.settings.all(s, has(self.settings) && s in self.settings))").message("an integration names a setting that the blueprint does not have"))]
#[x_kube(validation = Rule::new("!has(self.install) || has(self.database)").message("install fills a database: say which with `database`, or leave install away"))]
pub struct BlueprintSpec {
    /// Name for people.
    #[schemars(length(min = 1, max = 100))]
    pub title: String,
    /// What it is, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2000))]
    pub description: Option<String>,
    /// Where it comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 300))]
    pub homepage: Option<String>,
    /// Whether this blueprint has really been run end to end.
    #[serde(default)]
    pub verified: bool,
    /// The database; a product without one leaves it away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<DatabaseNeeds>,
    /// The first administrator.
    #[serde(default)]
    pub admin: AdminAccount,
    /// Settings that an instance may give, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(transform = bounds::map(50, bounds::NAME, None))]
    pub settings: BTreeMap<String, Setting>,
    /// What a customer brings (mail server, SMS, call centre, marketing), mapped by settings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub integrations: Vec<Integration>,
    /// Keys of the application, generated for each instance and kept with its data.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub secrets: Vec<GeneratedSecret>,
    /// Volumes that the processes share.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub volumes: Vec<Volume>,
    /// Files rendered for each instance and mounted read-only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 30))]
    pub files: Vec<ConfigFile>,
    /// Environment of every process, job and schedule; values are templates.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(transform = bounds::map(100, 100, Some(10_000)))]
    pub env: BTreeMap<String, String>,
    /// Versions that can be installed.
    #[schemars(length(min = 1, max = 30), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["version"]))]
    pub releases: Vec<Release>,
    /// Fills an empty database, once for each release on each server: the result becomes a template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub install: Option<StepList>,
    /// Makes a copy of the template one instance's own: password, name, URL. Must be repeatable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub personalise: Option<StepList>,
    /// Processes that run all the time.
    #[schemars(length(min = 1, max = 10))]
    pub processes: Vec<Process>,
    /// Commands that run by the clock, never two at once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub schedules: Vec<Schedule>,
    /// How to know that it works: a log-in and a record written and read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<Verify>,
    /// How active users are counted and new ones refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seats: Option<Seats>,
    /// How the product behaves when its storage is full.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_only: Option<ReadOnlyMode>,
    /// How an older database becomes one of this release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migrate: Option<Migration>,
    /// Makes a copy unable to write to customers, before its first process starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub neutralise: Option<Neutralisation>,
    /// How its pods run.
    #[serde(default)]
    pub pod_security: PodSecurity,
}

/// Observed state of a blueprint.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BlueprintStatus {
    /// Generation that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Valid`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition>,
}
