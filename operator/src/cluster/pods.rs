//! What keeps a pod from running, in words. No I/O.

use k8s_openapi::api::core::v1::Pod;

/// What keeps a pod from running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// One CamelCase word.
    pub reason: String,
    /// What happened and what to do.
    pub message: String,
}

/// The first trouble among pods, worst first: image, crash, no node.
#[must_use]
pub fn trouble(pods: &[Pod]) -> Option<Trouble> {
    pods.iter().find_map(image).or_else(|| pods.iter().find_map(crash)).or_else(|| pods.iter().find_map(unscheduled))
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

fn crash(pod: &Pod) -> Option<Trouble> {
    statuses(pod).find_map(|c| {
        let waiting = c.state.as_ref()?.waiting.as_ref()?;
        let reason = waiting.reason.as_deref()?;
        if !matches!(
            reason,
            "CrashLoopBackOff" | "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError"
        ) {
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
