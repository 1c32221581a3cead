//! Why a managed server's pod does not start; deletes the pod when an older spec made it. Does I/O (Kubernetes).

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams, Preconditions};
use tenantry_core::class::ErrorClass;
use tenantry_core::names::{LABEL_DATABASE_SERVER, LABEL_PURPOSE};
use tenantry_plan::server::object_name;

use crate::cluster::trouble;
use crate::context::Ctx;
use crate::error::{Error, Result};
use crate::halt::Halt;

/// Label of a StatefulSet's pods that holds their revision.
const REVISION: &str = "controller-revision-hash";

/// What to report about a managed server that does not answer: what keeps its pod from running, if anything does. A pod
/// of an older revision is deleted on the way, because nobody else does that: a StatefulSet waits until the pod is
/// ready.
pub async fn explain(ctx: &Ctx, server: &str, halt: Halt) -> Halt {
    match look(ctx, server).await {
        Ok(Found::Trouble(reason, why)) => {
            Halt::fail(halt.condition, &reason, format!("{}; {why}", halt.message), ErrorClass::Blocked)
        }
        Ok(Found::NoPod(text)) => Halt { message: format!("{}; {text}", halt.message), ..halt },
        Ok(Found::Nothing) => halt,
        Err(error) => Halt::at(halt.condition)(error),
    }
}

/// What was found about the pod.
enum Found {
    /// Nothing that would keep it from running.
    Nothing,
    /// There is no pod.
    NoPod(String),
    /// Reason and message.
    Trouble(String, String),
}

async fn look(ctx: &Ctx, server: &str) -> Result<Found> {
    let namespace = ctx.system_namespace.as_str();
    let name = object_name(server);
    let sets: Api<StatefulSet> = Api::namespaced(ctx.client.clone(), namespace);
    let set = sets.get_opt(&name).await.map_err(Error::kube("get the StatefulSet"))?;
    let Some(set) = set else { return Ok(Found::Nothing) };
    let pods: Api<Pod> = Api::namespaced(ctx.client.clone(), namespace);
    let selector = format!("{LABEL_DATABASE_SERVER}={server},{LABEL_PURPOSE}=database-server");
    let found =
        pods.list(&ListParams::default().labels(&selector)).await.map_err(Error::kube("list the server's pods"))?;
    if let Some(pod) = found.items.iter().find(|pod| is_left_behind(&set, pod)) {
        // Delete exactly this version of the pod: a pod that has become ready meanwhile stays.
        let (uid, resource_version) = (pod.metadata.uid.clone(), pod.metadata.resource_version.clone());
        let params = DeleteParams::default().preconditions(Preconditions { uid, resource_version });
        match pods.delete(&pod.name_any(), &params).await {
            Ok(_) => tracing::info!(
                pod = pod.name_any(),
                "ended: it never became ready, and the server's spec is another now"
            ),
            // The pod is gone already, or has changed: the next look sees its new state.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
            Err(e) => return Err(Error::kube("delete the server's pod of an older revision")(e)),
        }
        return Ok(Found::Nothing);
    }
    if found.items.is_empty() {
        let text =
            format!("there is no pod {name}-0; why it is not made: kubectl -n {namespace} describe statefulset {name}");
        return Ok(Found::NoPod(text));
    }
    Ok(trouble(&found.items).map_or(Found::Nothing, |t| Found::Trouble(t.reason, t.message)))
}

/// Whether a pod has an older revision than its StatefulSet wants, and is not ready. The StatefulSet must have seen its
/// newest spec, and the pod must not be in deletion already.
fn is_left_behind(set: &StatefulSet, pod: &Pod) -> bool {
    let Some(status) = &set.status else { return false };
    let seen = status.observed_generation.is_some() && status.observed_generation == set.metadata.generation;
    let wanted = status.update_revision.as_deref().filter(|revision| !revision.is_empty());
    let own = pod.labels().get(REVISION).map(String::as_str);
    seen && wanted.is_some()
        && own.is_some()
        && own != wanted
        && !is_ready(pod)
        && pod.metadata.deletion_timestamp.is_none()
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|s| s.conditions.as_ref());
    conditions.into_iter().flatten().any(|c| c.type_ == "Ready" && c.status == "True")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set(observed: i64, revision: &str) -> StatefulSet {
        serde_json::from_value(json!({ "metadata": { "generation": 2 }, "spec": {},
            "status": { "replicas": 1, "observedGeneration": observed, "updateRevision": revision } }))
        .unwrap()
    }

    fn pod(revision: &str, ready: &str, going: bool) -> Pod {
        let going = going.then_some("2026-01-01T00:00:00Z");
        serde_json::from_value(json!({
            "metadata": { "labels": { REVISION: revision }, "deletionTimestamp": going },
            "status": { "conditions": [{ "type": "Ready", "status": ready }] },
        }))
        .unwrap()
    }

    #[test]
    fn only_a_pod_of_an_older_revision_that_is_not_ready_is_left_behind() {
        assert!(is_left_behind(&set(2, "b"), &pod("a", "False", false)));
        assert!(!is_left_behind(&set(2, "b"), &pod("a", "True", false)), "it serves");
        assert!(!is_left_behind(&set(2, "b"), &pod("b", "False", false)), "it is as it should be");
        assert!(!is_left_behind(&set(2, "b"), &pod("a", "False", true)), "it is going");
        assert!(!is_left_behind(&set(1, "b"), &pod("a", "False", false)), "the newest spec was not looked at yet");
        assert!(!is_left_behind(&set(2, ""), &pod("a", "False", false)));
        assert!(!is_left_behind(&StatefulSet::default(), &pod("a", "False", false)));
    }
}
