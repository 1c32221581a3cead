//! What a blueprint needs, and what runs of it. No I/O.

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};
use tenantry_core::bounds;

use crate::database_server::Engine;
use crate::plan::Resources;
use crate::site::PodSecurityLevel;

/// What the product needs of a database server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DatabaseNeeds {
    /// Engines on which it runs; the first is preferred.
    #[schemars(length(min = 1, max = Engine::ALL.len()))]
    pub engines: Vec<EngineNeed>,
    /// Extensions (PostgreSQL) that the administrator makes before the install.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), inner(length(max = 63), regex(pattern = "^[a-z][a-z0-9_-]*$")))]
    pub extensions: Vec<String>,
    /// Character set (MariaDB), for example utf8mb3; utf8mb4 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 30), regex(pattern = "^[a-z0-9_]+$"))]
    pub charset: Option<String>,
}

/// An engine with its lowest major version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EngineNeed {
    /// The engine.
    pub engine: Engine,
    /// Lowest major version.
    #[serde(default)]
    #[schemars(range(max = 1_000))]
    pub min_version: u32,
}

/// The first administrator of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AdminAccount {
    /// Name to log in with.
    #[schemars(length(min = 1, max = 100))]
    pub login: String,
    /// Length of the generated password in characters.
    #[serde(default = "password_length")]
    #[schemars(range(min = 12, max = 64))]
    pub password_length: u8,
}

impl Default for AdminAccount {
    fn default() -> Self {
        Self { login: "admin".into(), password_length: password_length() }
    }
}

fn password_length() -> u8 {
    20
}

/// A setting that an instance may give; templates use it as `settings.NAME`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Setting {
    /// What it does, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 500))]
    pub description: Option<String>,
    /// Value when the instance gives none; a setting without one must be given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1000))]
    pub default: Option<String>,
    /// Regular expression that the whole value must match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 300))]
    pub pattern: Option<String>,
    /// Whether its value is a secret, such as a password: it stays out of logs and may not stand in a command line.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub secret: bool,
}

/// A key of the application, generated once for each instance; templates use it as `secrets.NAME`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GeneratedSecret {
    /// Name.
    #[schemars(length(min = 1, max = 40), regex(pattern = "^[a-z][a-z0-9_]*$"))]
    pub name: String,
    /// Length in characters (letters and digits, 5.9 bits each).
    #[serde(default = "secret_length")]
    #[schemars(range(min = 12, max = 128))]
    pub length: u8,
}

fn secret_length() -> u8 {
    40
}

/// A volume that the processes share, or that one of them has for itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Volume {
    /// Name.
    #[schemars(length(min = 1, max = 20), regex(pattern = "^[a-z]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Where the processes find it.
    #[schemars(length(min = 2, max = 300), regex(pattern = "^/[^:]*$"))]
    pub mount_path: String,
    /// Its size in percent of the plan's storage.
    #[schemars(range(min = 1, max = 100))]
    pub percent_of_storage: u8,
    /// Whether backups hold it.
    #[serde(default = "yes")]
    pub backup: bool,
    /// Paths inside that backups leave out (caches).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(max = 300)))]
    pub exclude: Vec<String>,
}

fn yes() -> bool {
    true
}

/// A file rendered for each instance and mounted read-only from a Secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConfigFile {
    /// Where the processes find it.
    #[schemars(length(min = 2, max = 300), regex(pattern = "^/[^:]*[^/:]$"))]
    pub path: String,
    /// Content, a template that may use secrets.
    #[schemars(length(max = 200_000))]
    pub content: String,
}

/// How a Deployment exchanges its pods.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Strategy {
    /// The old pod ends before the new one starts: for writers of a volume.
    #[default]
    Recreate,
    /// The new pod serves before the old one ends.
    Rolling,
}

/// How many pods of a process may run.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("self.default <= self.max").message("replicas.default is above replicas.max"))]
pub struct Replicas {
    /// Without a wish of the instance. 0 is a process that is kept ready but does not run.
    #[schemars(range(min = 0, max = 50))]
    pub default: u32,
    /// Most that the product can bear.
    #[schemars(range(min = 0, max = 50))]
    pub max: u32,
}

impl Default for Replicas {
    fn default() -> Self {
        Self { default: 1, max: 1 }
    }
}

/// A process that runs all the time.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("!has(self.serves) || !self.serves || has(self.port)").message("a process that serves needs a port"))]
#[x_kube(validation = Rule::new("self.name != 'page'").message("the name page is taken by the page behind which an instance is suspended"))]
#[x_kube(validation = Rule::new("!has(self.image) || !has(self.serves) || !self.serves").message("a companion (a process with an image of its own) cannot serve"))]
pub struct Process {
    /// Name.
    #[schemars(length(min = 1, max = 20), regex(pattern = "^[a-z]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Image of a companion, by digest in production: a process that runs another program than the product's,
    /// such as Redis. It gets no more than its own environment and the volumes that it names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 500))]
    pub image: Option<String>,
    /// Program and arguments, templates without secrets; the image's own when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(max = 2000)))]
    pub command: Vec<String>,
    /// Environment added to the blueprint's; values are templates.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(transform = bounds::map(100, 100, Some(10_000)))]
    pub env: BTreeMap<String, String>,
    /// Names of the blueprint's volumes that it sees; when absent all, and none for a companion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 10), inner(length(max = 20)))]
    pub volumes: Option<Vec<String>>,
    /// Port it listens on. Unless it serves, others reach it at `processes.NAME.host` and `processes.NAME.port`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<u16>,
    /// Whether the Service and the Ingress lead here.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub serves: bool,
    /// Whether it starts only after the verification passed (workers that would act on customers).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub after_verify: bool,
    /// How many.
    #[serde(default)]
    pub replicas: Replicas,
    /// How pods are exchanged.
    #[serde(default)]
    pub strategy: Strategy,
    /// When it can serve; a TCP check of the port when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readiness: Option<Probe>,
    /// When it must be started anew; never when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub liveness: Option<Probe>,
    /// Seconds it may take to start before it counts as failed.
    #[serde(default = "start_timeout")]
    #[schemars(range(min = 5, max = 3600))]
    pub start_timeout_seconds: u32,
    /// Seconds it is given to end.
    #[serde(default = "stop_timeout")]
    #[schemars(range(min = 1, max = 600))]
    pub stop_timeout_seconds: u32,
    /// Requests and limits where the plan says none; the plan says nothing of companions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// How its pods run, in place of the blueprint's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_security: Option<PodSecurity>,
}

fn start_timeout() -> u32 {
    120
}

fn stop_timeout() -> u32 {
    20
}

/// A probe. Exactly one of `http`, `tcp` and `command` is set.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("[has(self.http), has(self.tcp) && self.tcp, has(self.command)].filter(x, x).size() == 1").message("a probe has exactly one of http, tcp: true and command"))]
pub struct Probe {
    /// Asked over HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<ProbeHttp>,
    /// The port takes connections.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tcp: bool,
    /// A command in the container that exits with 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 20), inner(length(max = 2000)))]
    pub command: Option<Vec<String>>,
    /// Seconds between two probes.
    #[serde(default = "probe_period")]
    #[schemars(range(min = 1, max = 300))]
    pub period_seconds: u32,
    /// Failures in a row that count.
    #[serde(default = "probe_failures")]
    #[schemars(range(min = 1, max = 100))]
    pub failures: u32,
    /// Seconds until one probe counts as failed.
    #[serde(default = "probe_timeout")]
    #[schemars(range(min = 1, max = 60))]
    pub timeout_seconds: u32,
}

fn probe_period() -> u32 {
    5
}

fn probe_failures() -> u32 {
    3
}

fn probe_timeout() -> u32 {
    5
}

/// A request that answers 2xx or 3xx when all is well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProbeHttp {
    /// Path and query, a template without secrets.
    #[schemars(length(min = 1, max = 500))]
    pub path: String,
}

/// A command that runs by the clock, never two at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Schedule {
    /// Name.
    #[schemars(length(min = 1, max = 20), regex(pattern = "^[a-z]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Five fields of cron, in the tenant's time zone. `H` in the minute or the hour stands for a time of each
    /// instance's own, and `H/15` for one of every 15, so that not all start at once.
    #[schemars(length(min = 9, max = 100))]
    pub cron: String,
    /// Program and arguments, templates without secrets.
    #[schemars(length(min = 1, max = 50), inner(length(max = 2000)))]
    pub command: Vec<String>,
    /// Environment added to the blueprint's; values are templates and may use secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(transform = bounds::map(100, 100, Some(10_000)))]
    pub env: BTreeMap<String, String>,
    /// Folder in which the command runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 300))]
    pub working_dir: Option<String>,
    /// Seconds after which a run is ended.
    #[serde(default = "schedule_timeout")]
    #[schemars(range(min = 1, max = 86_400))]
    pub timeout_seconds: u32,
    /// Output that means failure, whatever the exit code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 300))]
    pub fail_on_output: Option<String>,
}

fn schedule_timeout() -> u32 {
    900
}

/// How the pods run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PodSecurity {
    /// The strictest Pod Security level under which the image runs.
    #[serde(default)]
    pub level: PodSecurityLevel,
    /// User id; the image's own when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 2_000_000_000))]
    pub run_as_user: Option<i64>,
    /// Group id, also of the volumes' files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 2_000_000_000))]
    pub run_as_group: Option<i64>,
    /// Whether the root file system is read-only.
    #[serde(default = "yes")]
    pub read_only_root_filesystem: bool,
    /// Paths that are writable and forgotten when a pod ends.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), inner(length(max = 300)))]
    pub writable_paths: Vec<String>,
}

impl Default for PodSecurity {
    fn default() -> Self {
        Self {
            level: PodSecurityLevel::default(),
            run_as_user: None,
            run_as_group: None,
            read_only_root_filesystem: true,
            writable_paths: Vec::new(),
        }
    }
}
