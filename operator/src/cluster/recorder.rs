//! Kubernetes events for people: warnings and milestones. Does I/O; a lost event is not an error.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType};

use crate::context::Ctx;

/// Publishes an event about an object.
pub async fn notice(ctx: &Ctx, about: &ObjectReference, warning: bool, reason: &str, message: &str) {
    let Some(recorder) = &ctx.recorder else { return };
    let event = Event {
        type_: if warning { EventType::Warning } else { EventType::Normal },
        reason: reason.to_owned(),
        note: Some(message.chars().take(1000).collect()),
        action: reason.to_owned(),
        secondary: None,
    };
    if let Err(error) = recorder.publish(&event, about).await {
        tracing::debug!(%error, "event not published");
    }
}
