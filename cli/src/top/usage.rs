//! What pods use and ask for, added up by owner. No I/O.

use std::collections::HashMap;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::ResourceExt;
use kube::core::DynamicObject;
use serde::Serialize;
use tenantry_core::quantity;

/// Billionths of a processor in one processor.
const NANO: u64 = 1_000_000_000;
/// Most containers of a pod that are added up; the API server allows no more than a few hundred.
const CONTAINERS: usize = 1_000;

/// Processor time and memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Amount {
    /// Billionths of a processor.
    pub cpu_nanocores: u64,
    /// Bytes.
    pub memory_bytes: u64,
}

impl Amount {
    fn add(&mut self, other: Self) {
        self.cpu_nanocores = self.cpu_nanocores.saturating_add(other.cpu_nanocores);
        self.memory_bytes = self.memory_bytes.saturating_add(other.memory_bytes);
    }

    /// Processors for people: `0.250`, never 0 for more than nothing.
    pub fn cpu(self) -> String {
        let thousandths = self.cpu_nanocores.div_ceil(NANO / 1_000);
        format!("{}.{:03}", thousandths / 1_000, thousandths % 1_000)
    }

    /// Memory for people.
    pub fn memory(self) -> String {
        quantity::human(self.memory_bytes)
    }
}

/// What all pods of one owner use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sum {
    /// Pods that run or are about to.
    pub pods: u32,
    /// What the pods use, as measured.
    pub used: Amount,
    /// What the pods ask for.
    pub requested: Amount,
    /// What the pods are limited to; containers without a limit count as nothing.
    pub limit: Amount,
}

/// Sums by owner, and the owner of each pod, so that measurements find their owner.
#[derive(Debug, Default)]
pub struct Sums {
    sums: HashMap<String, Sum>,
    owners: HashMap<(String, String), String>,
}

impl Sums {
    /// Adds a pod to the owner that its label names. A pod that has ended uses nothing.
    pub fn pod(&mut self, label: &str, pod: &Pod) {
        let Some(owner) = pod.labels().get(label) else { return };
        let phase = pod.status.as_ref().and_then(|s| s.phase.as_deref());
        if matches!(phase, Some("Succeeded" | "Failed")) {
            return;
        }
        let sum = self.sums.entry(owner.clone()).or_default();
        sum.pods += 1;
        let containers = pod.spec.as_ref().map(|s| s.containers.as_slice()).unwrap_or_default();
        for resources in containers.iter().take(CONTAINERS).filter_map(|c| c.resources.as_ref()) {
            let amount = |map: &Option<std::collections::BTreeMap<String, Quantity>>| Amount {
                cpu_nanocores: map.as_ref().and_then(|m| cpu(&m.get("cpu")?.0)).unwrap_or(0),
                memory_bytes: map.as_ref().and_then(|m| memory(&m.get("memory")?.0)).unwrap_or(0),
            };
            sum.requested.add(amount(&resources.requests));
            sum.limit.add(amount(&resources.limits));
        }
        self.owners.insert((pod.namespace().unwrap_or_default(), pod.name_any()), owner.clone());
    }

    /// Adds a measurement to the owner of its pod; measurements of other pods are left out.
    pub fn measured(&mut self, metrics: &DynamicObject) {
        let key = (metrics.namespace().unwrap_or_default(), metrics.name_any());
        let Some(sum) = self.owners.get(&key).and_then(|owner| self.sums.get_mut(owner)) else { return };
        let containers = metrics.data.get("containers").and_then(|c| c.as_array());
        for usage in containers.into_iter().flatten().take(CONTAINERS).filter_map(|c| c.get("usage")) {
            let text = |key: &str| usage.get(key).and_then(|v| v.as_str());
            sum.used.add(Amount {
                cpu_nanocores: text("cpu").and_then(cpu).unwrap_or(0),
                memory_bytes: text("memory").and_then(memory).unwrap_or(0),
            });
        }
    }

    /// The sum of an owner.
    pub fn of(&self, owner: &str) -> Sum {
        self.sums.get(owner).copied().unwrap_or_default()
    }
}

/// Billionths of a processor: `250m`, `2`, `0.5`, `1200u`, `31415926n`.
fn cpu(text: &str) -> Option<u64> {
    let split = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, suffix) = text.split_at(split);
    let factor = match suffix {
        "" => NANO,
        "m" => 1_000_000,
        "u" => 1_000,
        "n" => 1,
        "k" => return cpu(number)?.checked_mul(1_000),
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if number.is_empty() || whole.len() > 12 || fraction.len() > 9 || fraction.contains('.') {
        return None;
    }
    let digits: u128 = format!("{whole}{fraction}").parse().ok()?;
    let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    u64::try_from((digits * u128::from(factor)).div_ceil(scale)).ok()
}

/// Bytes; thousandths of bytes, which some sources write, are rounded up.
fn memory(text: &str) -> Option<u64> {
    match text.strip_suffix('m') {
        Some(thousandths) => thousandths.parse::<u64>().ok().map(|n| n.div_ceil(1_000)),
        None => quantity::bytes(text).ok(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tenantry_core::names::LABEL_TENANT_ID;

    use super::*;

    fn pod(name: &str, tenant: &str, phase: &str) -> Pod {
        let resources = json!({ "requests": { "cpu": "250m", "memory": "64Mi" }, "limits": { "memory": "128Mi" } });
        let container = json!({ "name": "web", "resources": resources });
        serde_json::from_value(json!({
            "metadata": { "name": name, "namespace": "tenant-x", "labels": { LABEL_TENANT_ID: tenant } },
            "spec": { "containers": [container, { "name": "bare" }] },
            "status": { "phase": phase },
        }))
        .unwrap()
    }

    fn metrics(name: &str, containers: &Value) -> DynamicObject {
        serde_json::from_value(json!({
            "apiVersion": "metrics.k8s.io/v1beta1", "kind": "PodMetrics",
            "metadata": { "name": name, "namespace": "tenant-x" }, "containers": containers,
        }))
        .unwrap()
    }

    #[test]
    fn pods_are_added_up_by_owner_and_those_that_ended_ask_for_nothing() {
        let mut sums = Sums::default();
        for (name, tenant, phase) in
            [("a", "t1", "Running"), ("b", "t1", "Pending"), ("c", "t1", "Succeeded"), ("d", "t2", "Running")]
        {
            sums.pod(LABEL_TENANT_ID, &pod(name, tenant, phase));
        }
        let sum = sums.of("t1");
        assert_eq!(sum.pods, 2);
        assert_eq!(sum.requested, Amount { cpu_nanocores: 500_000_000, memory_bytes: 2 * 64 * 1024 * 1024 });
        assert_eq!(sum.limit.memory_bytes, 2 * 128 * 1024 * 1024);
        assert_eq!((sums.of("t2").pods, sums.of("nobody").pods), (1, 0));
    }

    #[test]
    fn a_measurement_counts_for_the_owner_of_its_pod_and_others_are_left_out() {
        let mut sums = Sums::default();
        sums.pod(LABEL_TENANT_ID, &pod("a", "t1", "Running"));
        let two = json!([{ "usage": { "cpu": "1500000n", "memory": "2Mi" } }, { "usage": { "cpu": "1m", "memory": "1048576" } }]);
        sums.measured(&metrics("a", &two));
        sums.measured(&metrics("stranger", &two));
        assert_eq!(sums.of("t1").used, Amount { cpu_nanocores: 2_500_000, memory_bytes: 3 * 1024 * 1024 });
    }

    #[test]
    fn quantities_of_processors_are_read_and_nonsense_is_none() {
        for (text, nano) in
            [("2", 2 * NANO), ("250m", NANO / 4), ("0.5", NANO / 2), ("7u", 7_000), ("31n", 31), ("1k", 1_000 * NANO)]
        {
            assert_eq!(cpu(text), Some(nano), "{text}");
        }
        for text in ["", "m", "-1", "1.2.3", "1x", "99999999999999999999"] {
            assert_eq!(cpu(text), None, "{text:?}");
        }
        assert_eq!((memory("1500m"), memory("1Ki"), memory("x")), (Some(2), Some(1024), None));
    }

    #[test]
    fn little_is_shown_as_little_and_never_as_nothing() {
        let amount = Amount { cpu_nanocores: 31, memory_bytes: 0 };
        assert_eq!(amount.cpu(), "0.001");
        assert_eq!(Amount { cpu_nanocores: 2_250_000_000, ..amount }.cpu(), "2.250");
        assert_eq!(Amount::default().cpu(), "0.000");
    }
}
