//! The parts that all pods of a product have in common: security, resources, probes. No I/O.

use serde_json::{Value, json};
use tenantry_api::blueprint::{PodSecurity, Probe};
use tenantry_api::plan::Resources;
use tenantry_api::site::PodSecurityLevel;

use crate::PlanError;
use crate::config::render;
use crate::resources::{Source, fitted};

/// Seconds for which a pod that is about to end still answers. Services and ingress controllers learn of its end only
/// while it is being stopped, and until all of them know, they send it requests. These seconds count against the pod's
/// grace period.
pub const DRAIN_SECONDS: u32 = 5;

/// Default limit on a container's use of its node's disk (its log, its scratch folders). It ends a container that
/// writes without end before the node's disk is full and other pods are ended too.
pub const DISK_LIMIT: &str = "4Gi";
/// The same limit in bytes.
pub const DISK_LIMIT_BYTES: u64 = 4 << 30;
/// Default request for the node's disk.
pub const DISK_REQUEST: &str = "50Mi";

/// `lifecycle` of a container that still answers for a moment after it was told to end. The kubelet does the waiting,
/// because images need not contain a program that waits.
#[must_use]
pub fn drain() -> Value {
    json!({ "preStop": { "sleep": { "seconds": DRAIN_SECONDS } } })
}

/// `securityContext` of a pod.
#[must_use]
pub fn pod_security(security: &PodSecurity) -> Value {
    let mut context = json!({ "seccompProfile": { "type": "RuntimeDefault" } });
    if security.level == PodSecurityLevel::Restricted {
        context["runAsNonRoot"] = true.into();
    }
    if let Some(user) = security.run_as_user {
        context["runAsUser"] = user.into();
    }
    if let Some(group) = security.run_as_group {
        context["runAsGroup"] = group.into();
        context["fsGroup"] = group.into();
        context["fsGroupChangePolicy"] = "OnRootMismatch".into();
    }
    context
}

/// `securityContext` of a container.
#[must_use]
pub fn container_security(security: &PodSecurity) -> Value {
    let mut context = json!({ "readOnlyRootFilesystem": security.read_only_root_filesystem });
    if security.level == PodSecurityLevel::Restricted {
        context["allowPrivilegeEscalation"] = false.into();
        context["capabilities"] = json!({ "drop": ["ALL"] });
    }
    context
}

/// `securityContext` of the agent's own containers: always restricted.
#[must_use]
pub fn agent_security() -> Value {
    json!({ "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] }, "readOnlyRootFilesystem": true })
}

/// `resources` of a container. The plan's values take precedence over the process's own values, and those over modest
/// defaults.
#[must_use]
pub fn resources(plan: Option<&Resources>, own: Option<&Resources>) -> Value {
    let pick = |get: fn(&Resources) -> &Option<String>, default: &str| -> (Source, String) {
        let of = |source: Source, all: Option<&Resources>| all.and_then(|r| get(r).clone()).map(|text| (source, text));
        of(Source::Plan, plan).or_else(|| of(Source::Own, own)).unwrap_or_else(|| (Source::Default, default.into()))
    };
    let (memory_request, memory_limit) =
        fitted(pick(|r| &r.memory_request, "128Mi"), pick(|r| &r.memory_limit, "512Mi"));
    let mut requests = json!({ "memory": memory_request });
    let mut limits = json!({ "memory": memory_limit });
    let (request, limit) = (pick(|r| &r.cpu_request, "20m"), pick(|r| &r.cpu_limit, ""));
    // A CPU limit delays the start of a product by seconds, so there is none unless plan or process asks for one.
    if limit.1.is_empty() {
        requests["cpu"] = request.1.into();
    } else {
        let (request, limit) = fitted(request, limit);
        requests["cpu"] = request.into();
        limits["cpu"] = limit.into();
    }
    json!({ "requests": requests, "limits": limits })
}

/// A probe of a container that listens on the port named `http`.
///
/// # Errors
/// [`PlanError::Template`] when a path or command cannot be rendered.
pub fn probe(blueprint: &str, place: &str, probe: &Probe, context: &Value) -> Result<Value, PlanError> {
    let mut made = json!({
        "periodSeconds": probe.period_seconds,
        "failureThreshold": probe.failures,
        "timeoutSeconds": probe.timeout_seconds,
    });
    if let Some(http) = &probe.http {
        let path = render(blueprint, &format!("{place}.http.path"), &http.path, context)?;
        made["httpGet"] = json!({ "path": path, "port": "http" });
    } else if let Some(command) = &probe.command {
        made["exec"] = json!({ "command": words(blueprint, &format!("{place}.command"), command, context)? });
    } else {
        made["tcpSocket"] = json!({ "port": "http" });
    }
    Ok(made)
}

/// Renders the words of a command line. `context` contains no secrets.
///
/// # Errors
/// [`PlanError::Template`] when a word cannot be rendered.
pub fn words(blueprint: &str, place: &str, words: &[String], context: &Value) -> Result<Vec<String>, PlanError> {
    words.iter().enumerate().map(|(i, w)| render(blueprint, &format!("{place}[{i}]"), w, context)).collect()
}
