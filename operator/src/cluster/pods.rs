//! What keeps a pod from running, in words. No I/O.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;

/// What keeps a pod from running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// One CamelCase word.
    pub reason: String,
    /// What happened and what to do.
    pub message: String,
}

/// The first trouble among pods, worst first: image, container, crash, no node.
#[must_use]
pub fn trouble(pods: &[Pod]) -> Option<Trouble> {
    [image, unstarted, crash, unscheduled].into_iter().find_map(|kind| pods.iter().find_map(kind))
}

/// What keeps a Deployment from creating the pods that it should have: a quota, for example.
#[must_use]
pub fn refused(deployment: &Deployment) -> Option<Trouble> {
    let conditions = deployment.status.as_ref()?.conditions.as_ref()?;
    let c = conditions.iter().find(|c| c.type_ == "ReplicaFailure" && c.status == "True")?;
    let name = deployment.metadata.name.as_deref().unwrap_or_default();
    let why = c.message.as_deref().or(c.reason.as_deref()).unwrap_or("unknown reason");
    Some(Trouble { reason: "PodsRefused".into(), message: format!("no more pods of {name} are made: {why}") })
}

fn statuses(pod: &Pod) -> impl Iterator<Item = &k8s_openapi::api::core::v1::ContainerStatus> {
    let status = pod.status.as_ref();
    let init = status.and_then(|s| s.init_container_statuses.as_ref());
    let main = status.and_then(|s| s.container_statuses.as_ref());
    init.into_iter().chain(main).flatten()
}

fn image(pod: &Pod) -> Option<Trouble> {
    statuses(pod).find_map(|c| {
        let waiting = c.state.as_ref()?.waiting.as_ref()?;
        let reason = waiting.reason.as_deref()?;
        matches!(reason, "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull").then(|| {
            Trouble {
                reason: "ImageCannotBePulled".into(),
                message: format!(
                    "image {} cannot be pulled: {}; it starts by itself once the image can be pulled",
                    c.image,
                    waiting.message.as_deref().unwrap_or(reason)
                ),
            }
        })
    })
}

/// A container that was never started: it has no log to look at.
fn unstarted(pod: &Pod) -> Option<Trouble> {
    statuses(pod).find_map(|c| {
        let waiting = c.state.as_ref()?.waiting.as_ref()?;
        let reason = waiting.reason.as_deref()?;
        if !matches!(reason, "CreateContainerConfigError" | "CreateContainerError") {
            return None;
        }
        let why = waiting.message.as_deref().unwrap_or(reason);
        let remedy = if why.contains("runAsNonRoot") || why.contains("non-numeric user") {
            "; say in the blueprint's podSecurity with which runAsUser the image runs"
        } else {
            ""
        };
        Some(Trouble {
            reason: "ContainerCannotStart".into(),
            message: format!("container {} cannot be started: {why}{remedy}", c.name),
        })
    })
}

fn crash(pod: &Pod) -> Option<Trouble> {
    statuses(pod).find_map(|c| {
        let waiting = c.state.as_ref()?.waiting.as_ref()?;
        let reason = waiting.reason.as_deref()?;
        if !matches!(reason, "CrashLoopBackOff" | "RunContainerError") {
            return None;
        }
        let last = c.last_state.as_ref().and_then(|s| s.terminated.as_ref());
        let why = last
            .map(|t| match t.message.as_deref().or(t.reason.as_deref()) {
                Some(text) => format!("exit {}: {text}", t.exit_code),
                None => format!("exit {}", t.exit_code),
            })
            .or_else(|| waiting.message.clone())
            .unwrap_or_default();
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        let ns = pod.metadata.namespace.as_deref().unwrap_or_default();
        Some(Trouble {
            reason: "ProcessCrashes".into(),
            message: format!(
                "container {} does not run ({reason}; {why}); its log: kubectl -n {ns} logs {name} --previous",
                c.name
            ),
        })
    })
}

fn unscheduled(pod: &Pod) -> Option<Trouble> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let c = conditions.iter().find(|c| c.type_ == "PodScheduled" && c.status == "False")?;
    Some(Trouble {
        reason: "NoNode".into(),
        message: format!("no node takes the pod: {}", c.message.as_deref().unwrap_or("unknown reason")),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_container_that_was_never_begun_has_no_log_and_a_user_is_asked_for() {
        let pod = |reason: &str, message: &str| -> Pod {
            serde_json::from_value(json!({
                "metadata": { "name": "p", "namespace": "n" },
                "status": { "containerStatuses": [{ "name": "web", "image": "i", "imageID": "", "ready": false,
                    "restartCount": 0, "state": { "waiting": { "reason": reason, "message": message } } }] },
            }))
            .unwrap()
        };
        let root = "container has runAsNonRoot and image will run as root";
        let told = trouble(&[pod("CreateContainerConfigError", root)]).unwrap();
        assert_eq!(told.reason, "ContainerCannotStart");
        assert!(told.message.contains(root) && told.message.contains("runAsUser"), "{}", told.message);
        let told = trouble(&[pod("CreateContainerError", "no such device")]).unwrap();
        assert!(!told.message.contains("log") && !told.message.contains("runAsUser"), "{}", told.message);
        assert_eq!(trouble(&[pod("CrashLoopBackOff", "")]).unwrap().reason, "ProcessCrashes");
        assert_eq!(trouble(&[pod("ContainerCreating", "")]), None);
    }

    #[test]
    fn a_quota_that_keeps_pods_away_is_told() {
        let deployment = |status: &str| -> Deployment {
            serde_json::from_value(json!({
                "metadata": { "name": "kkkkkkkkkk-web" },
                "status": { "conditions": [{ "type": "ReplicaFailure", "status": status, "reason": "FailedCreate",
                    "message": "pods \"kkkkkkkkkk-web-1\" is forbidden: exceeded quota: tenantry" }] },
            }))
            .unwrap()
        };
        assert_eq!(refused(&deployment("False")), None);
        assert_eq!(refused(&Deployment::default()), None);
        let told = refused(&deployment("True")).unwrap();
        assert_eq!(told.reason, "PodsRefused");
        assert!(told.message.contains("exceeded quota: tenantry") && told.message.contains("kkkkkkkkkk-web"));
    }
}
