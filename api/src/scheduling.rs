//! Scheduling: on which nodes pods may run. No I/O.

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};
use tenantry_core::bounds;

/// On which nodes the pods may run, and whether they prefer different ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Scheduling {
    /// Labels that a node must have, all of them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    // The longest name of a label: a prefix of 253, a slash, and 63.
    #[schemars(transform = bounds::map(20, 317, Some(63)))]
    pub node_selector: BTreeMap<String, String>,
    /// Taints of nodes that do not keep the pods away.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub tolerations: Vec<Toleration>,
    /// Whether several pods of one process prefer different nodes. One node takes them all when there is no other.
    #[serde(default = "yes")]
    pub spread: bool,
}

fn yes() -> bool {
    true
}

impl Default for Scheduling {
    fn default() -> Self {
        Self { node_selector: BTreeMap::new(), tolerations: Vec::new(), spread: true }
    }
}

/// A taint that does not keep the pods away; without `effect` whatever its effect.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("!has(self.value) || !has(self.operator) || self.operator == 'Equal'").message("a toleration with operator Exists has no value"))]
#[x_kube(validation = Rule::new("has(self.key) || (has(self.operator) && self.operator == 'Exists')").message("a toleration without a key needs operator Exists: it bears every taint"))]
#[x_kube(validation = Rule::new("!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')").message("tolerationSeconds needs effect NoExecute"))]
pub struct Toleration {
    /// Name of the taint; every taint when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 317),
        regex(pattern = r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$")
    )]
    pub key: Option<String>,
    /// `Equal` (the value is the same; the default) or `Exists` (whatever the value).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<TolerationOperator>,
    /// Value of the taint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63), regex(pattern = r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$"))]
    pub value: Option<String>,
    /// Effect of the taint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<TaintEffect>,
    /// Seconds that a pod stays after the taint came; for ever when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 31_536_000))]
    pub toleration_seconds: Option<i64>,
}

/// How the value of a taint is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum TolerationOperator {
    /// It is the same.
    Equal,
    /// Whatever it is.
    Exists,
}

/// What a taint does to pods that do not bear it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum TaintEffect {
    /// No new ones come.
    NoSchedule,
    /// New ones come only when there is no other node.
    PreferNoSchedule,
    /// No new ones come, and those that are there go.
    NoExecute,
}
