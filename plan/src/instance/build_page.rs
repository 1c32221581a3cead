//! The page behind which an instance is suspended or maintained. No I/O.

use serde_json::json;
use tenantry_core::names::{self, LABEL_INSTANCE_ID, LABEL_PROCESS, LABEL_SERVES};

use super::Wanted;
use crate::child::{Child, Kind};
use crate::{Settings, pod};

/// Name of the page among the processes.
pub const PAGE: &str = "page";

/// What the page says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageText {
    /// Why the CRM is not there.
    pub reason: String,
    /// Whom to ask.
    pub contact: String,
}

/// The page's Deployment: one small pod of the agent.
#[must_use]
pub(super) fn build_page(wanted: &Wanted, settings: &Settings, text: &PageText) -> Child {
    let labels = wanted.labels().and(LABEL_PROCESS, PAGE).and(LABEL_SERVES, "page");
    let rest = json!({ "spec": {
        "replicas": 1,
        "revisionHistoryLimit": 1,
        "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": 0, "maxSurge": 1 } },
        "selector": { "matchLabels": { LABEL_INSTANCE_ID: wanted.id.as_str(), LABEL_PROCESS: PAGE } },
        "template": { "metadata": { "labels": labels.to_map() }, "spec": {
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "securityContext": { "runAsNonRoot": true, "runAsUser": 10001, "seccompProfile": { "type": "RuntimeDefault" } },
            "terminationGracePeriodSeconds": 5 + pod::DRAIN_SECONDS,
            "containers": [{
                "name": PAGE,
                "image": settings.agent_image,
                "imagePullPolicy": "IfNotPresent",
                "args": ["page", "--listen", "[::]:8080"],
                "env": [
                    { "name": "TENANTRY_PAGE_KIND", "value": "suspended" },
                    { "name": "TENANTRY_PAGE_REASON", "value": text.reason },
                    { "name": "TENANTRY_PAGE_CONTACT", "value": text.contact },
                ],
                "ports": [{ "name": "http", "containerPort": 8080, "protocol": "TCP" }],
                "readinessProbe": { "httpGet": { "path": "/healthz", "port": "http" }, "periodSeconds": 5 },
                "startupProbe": { "httpGet": { "path": "/healthz", "port": "http" }, "periodSeconds": 1, "failureThreshold": 60 },
                // The application takes over while the page ends.
                "lifecycle": pod::drain(),
                "securityContext": pod::agent_security(),
                "resources": { "requests": { "cpu": "5m", "memory": "8Mi" }, "limits": { "memory": "32Mi" } },
            }],
        }},
    }});
    Child::new(Kind::Deployment, Some(&wanted.namespace), &names::process(&wanted.id, PAGE), &labels, rest)
}
