//! Steps of a blueprint: commands and SQL that install, personalise, migrate or neutralise. No I/O.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One step. Exactly one of `command` and `sql` is set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Step {
    /// Name, shown in progress and errors.
    #[schemars(length(max = 100))]
    pub name: String,
    /// Program and arguments, each a template. They may not use secrets: a command line can be seen by
    /// others. Secrets reach a command through `env`, `stdin` or a file of the blueprint.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(max = 10_000)))]
    pub command: Vec<String>,
    /// One SQL statement or several, a template. Runs as the instance's own role, never as an
    /// administrator. Values belong into the filter `sql_quote`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100_000))]
    pub sql: Option<String>,
    /// Environment added for this command; values are templates and may use secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(transform = crate::bounds::map(100, 100, Some(10_000)))]
    pub env: BTreeMap<String, String>,
    /// Text given to the command's standard input, a template that may use secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100_000))]
    pub stdin: Option<String>,
    /// Folder in which the command runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 300))]
    pub working_dir: Option<String>,
    /// Seconds after which the step is killed and counts as failed.
    #[serde(default = "default_step_timeout")]
    #[schemars(range(min = 1, max = 86_400))]
    pub timeout_seconds: u32,
    /// A regular expression: output that matches means failure, whatever the exit code
    /// (vTiger prints exceptions and exits 0).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 300))]
    pub fail_on_output: Option<String>,
}

fn default_step_timeout() -> u32 {
    600
}

/// A step whose templates are rendered: what the agent reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RenderedStep {
    /// Name of the step.
    pub name: String,
    /// Program and arguments.
    pub command: Vec<String>,
    /// Environment added for the command.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Standard input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin: Option<String>,
    /// Folder in which the command runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<String>,
    /// Seconds after which the command is killed.
    pub timeout_seconds: u32,
    /// Output that means failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fail_on_output: Option<String>,
}

/// The file that a job's pod receives: `steps.json`, mounted from a Secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct JobFile {
    /// Time limit for the whole run, in seconds.
    pub timeout_seconds: u32,
    /// Steps, in order.
    pub steps: Vec<RenderedStep>,
    /// Texts that are replaced by `***` in all output.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redact: Vec<String>,
}
