//! What is done to the data of an instance: installed, migrated, neutralised. No I/O.

use serde::{Deserialize, Serialize};
use tenantry_core::steps::Step;

/// Steps with a deadline for all of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StepList {
    /// Seconds for all steps together.
    #[serde(default = "steps_timeout")]
    #[schemars(range(min = 1, max = 86_400))]
    pub timeout_seconds: u32,
    /// Steps in order: SQL (run by the operator as the instance's own role, which needs no pod and takes
    /// milliseconds), then commands (run by a job in the product's image). An install is all of one kind.
    #[schemars(length(min = 1, max = 30))]
    pub steps: Vec<Step>,
}

fn steps_timeout() -> u32 {
    900
}

/// How an older database becomes one of this release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Migration {
    /// The product migrates by itself when it starts: the upgrade runs it once, watched, with one pod.
    #[serde(default)]
    pub auto_migrates_on_start: bool,
    /// SQL before the steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100_000))]
    pub before_sql: Option<String>,
    /// Steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<StepList>,
    /// Assertions in SQL: each gives one row with one true value when the migration really happened.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(max = 2000)))]
    pub verify_sql: Vec<String>,
    /// Tables whose row counts are compared before and after.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(max = 100)))]
    pub count_tables: Vec<String>,
}

/// Makes a copy unable to write to customers. The steps may run more than once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Neutralisation {
    /// Seconds for all steps together.
    #[serde(default = "steps_timeout")]
    #[schemars(range(min = 1, max = 86_400))]
    pub timeout_seconds: u32,
    /// Steps in order: SQL, then commands, as elsewhere.
    #[schemars(length(min = 1, max = 30))]
    pub steps: Vec<Step>,
    /// Assertions in SQL: each gives one row with one true value when nothing of the copy can write to customers.
    /// They are asked after the steps, and nothing of the copy starts while one of them does not hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(min = 1, max = 2000)))]
    pub verify_sql: Vec<String>,
}

impl Neutralisation {
    /// Its steps, as they are run everywhere.
    #[must_use]
    pub fn list(&self) -> StepList {
        StepList { timeout_seconds: self.timeout_seconds, steps: self.steps.clone() }
    }
}
