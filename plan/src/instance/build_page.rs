//! The page that answers while an instance is suspended or under maintenance. No I/O.

use serde_json::json;
use tenantry_core::names::{self, LABEL_INSTANCE_ID, LABEL_PROCESS, LABEL_SERVES};

use super::Marks;
use crate::child::{Child, Kind};
use crate::{Settings, pod, pull};

/// Process name of the page.
pub const PAGE: &str = "page";

/// What the page says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageText {
    /// Why the CRM is not available.
    pub reason: String,
    /// Whom people should ask.
    pub contact: String,
}

/// Seconds after which Kubernetes gives up on a page that does not start. A suspension does not depend on the page.
const PATIENCE_SECONDS: u32 = 120;

impl PageText {
    /// The text for a suspension.
    #[must_use]
    pub fn of_suspension(reason: Option<&str>, settings: &Settings) -> Self {
        let contact = settings.site.contact.clone().unwrap_or_default();
        Self { reason: reason.unwrap_or_default().to_owned(), contact }
    }
}

/// The page's Deployment: one small pod of the agent. It needs nothing from the instance's release.
#[must_use]
pub fn build_page(marks: &Marks, settings: &Settings, text: &PageText) -> Child {
    let labels = marks.labels.clone().and(LABEL_PROCESS, PAGE).and(LABEL_SERVES, "page");
    let mut rest = json!({ "spec": {
        "replicas": 1,
        "revisionHistoryLimit": 1,
        "progressDeadlineSeconds": PATIENCE_SECONDS,
        "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": 0, "maxSurge": 1 } },
        "selector": { "matchLabels": { LABEL_INSTANCE_ID: marks.id.as_str(), LABEL_PROCESS: PAGE } },
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
                // The application takes over while the page's pod ends.
                "lifecycle": pod::drain(),
                "securityContext": pod::agent_security(),
                "resources": { "requests": { "cpu": "5m", "memory": "8Mi" }, "limits": { "memory": "32Mi" } },
            }],
        }},
    }});
    pull::allow(&mut rest["spec"]["template"]["spec"], settings);
    Child::new(Kind::Deployment, Some(&marks.namespace), &names::process(&marks.id, PAGE), &labels, rest)
}
