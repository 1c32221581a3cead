//! Volumes that one node at a time can mount: a copy of files makes room for its original. Does I/O. Nothing
//! runs on the nodes here; pods are only bound to them.

use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use tenantry_core::names;

use crate::copies::{Copy, original};
use crate::jobs::over;
use crate::scenarios::{condition, run};
use crate::world::{World, apply};

/// More looks than a copy needs until its files are copied.
const LOOKS: u32 = 60;

/// The job that copies the files, once there is one that has not ended.
async fn files_job(copy: &mut Copy) -> Job {
    for _ in 0..LOOKS {
        copy.look().await.unwrap_or_else(|e| panic!("{e}"));
        let is_it = |job: &Job| {
            let purpose = job.labels().get(names::LABEL_PURPOSE);
            let going = job.metadata.deletion_timestamp.is_some();
            purpose.is_some_and(|p| p.starts_with("copy-files")) && !over(job) && !going
        };
        if let Some(job) = copy.api::<Job>().list(&copy.mine()).await.unwrap().items.into_iter().find(is_it) {
            return job;
        }
        copy.play().await.unwrap_or_else(|e| panic!("{e}"));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("no job copies files: {:?}", copy.object().await.unwrap().map(|o| o.status));
}

fn of_job(job: &Job) -> ListParams {
    ListParams::default().labels(&format!("batch.kubernetes.io/job-name={}", job.name_any()))
}

/// Says that the job's pod runs on a node.
async fn bind(pods: &Api<Pod>, job: &Job, node: &str) {
    for looks in 0.. {
        if let Some(pod) = pods.list(&of_job(job)).await.unwrap().items.first() {
            let name = pod.name_any();
            let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name},
                "target": {"apiVersion": "v1", "kind": "Node", "name": node}});
            let _: Value = pods.create_subresource("binding", &name, &PostParams::default(), &binding).await.unwrap();
            return;
        }
        assert!(looks < 300, "the job has no pod");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A pod of the original that a node was found for, and that waits there for its volumes.
fn waiting(original: &str, node: &str) -> Pod {
    let labels = json!({names::LABEL_INSTANCE_ID: original, names::LABEL_PROCESS: "web"});
    let pod = json!({
        "metadata": {"name": format!("{original}-waits"), "labels": labels},
        "spec": {
            "nodeName": node,
            "automountServiceAccountToken": false,
            "securityContext": {"runAsNonRoot": true, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "web",
                "image": "tenantry.local/product:1.0",
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                "resources": {"requests": {"cpu": "1m", "memory": "1Mi"}, "limits": {"memory": "1Mi"}},
            }],
        },
    });
    serde_json::from_value(pod).unwrap()
}

/// A node on which nothing is placed by itself. Pods on nodes that nobody knows would be taken away in a while.
async fn node(base: &Client, name: &str) -> String {
    let name = World::get().name(name);
    let object =
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": {"unschedulable": true}});
    apply(base, object).await;
    name
}

#[test]
fn a_copy_of_files_on_another_node_gives_way_to_its_original_and_begins_again_beside_it() {
    run(false, |base| async move {
        let (here, there) = (node(&base, "here").await, node(&base, "there").await);
        let life = original(&base, true).await.unwrap_or_else(|e| panic!("{e}"));
        let id = life.instance_id.clone().unwrap();
        let mut copy = Copy::of(&life, "copy", &json!({})).await.unwrap();
        let first = files_job(&mut copy).await;
        let pods: Api<Pod> = copy.api();
        bind(&pods, &first, &here).await;
        // On the same node they wait for nobody.
        let waits = pods.create(&PostParams::default(), &waiting(&id, &here)).await.unwrap();
        copy.look().await.unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(files_job(&mut copy).await.metadata.uid, first.metadata.uid);
        let at_once = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
        pods.delete(&waits.name_any(), &at_once).await.unwrap();

        pods.create(&PostParams::default(), &waiting(&id, &there)).await.unwrap();
        copy.look().await.unwrap_or_else(|e| panic!("{e}"));
        let (status, reason, message) = condition(&life, "copy", "Copied").await;
        assert_eq!((status.as_str(), reason.as_str()), ("False", "OriginalFirst"), "{message}");
        // Nothing new begins while the pod of before may still write; there is no node that would end it.
        copy.look().await.unwrap_or_else(|e| panic!("{e}"));
        let (_, reason, message) = condition(&life, "copy", "Copied").await;
        assert_eq!(reason, "StoppingJobs", "{message}");
        for pod in pods.list(&of_job(&first)).await.unwrap().items {
            pods.delete(&pod.name_any(), &at_once).await.unwrap();
        }
        let again = files_job(&mut copy).await;
        assert_ne!(again.metadata.uid, first.metadata.uid);
        let spec = serde_json::to_value(&again.spec).unwrap();
        let beside = "/template/spec/affinity/podAffinity/requiredDuringSchedulingIgnoredDuringExecution/0/labelSelector/matchLabels";
        assert_eq!(spec.pointer(beside).unwrap()[names::LABEL_INSTANCE_ID], id.as_str());

        pods.delete(&waits.name_any(), &at_once).await.unwrap();
        copy.until_ready().await.unwrap_or_else(|e| panic!("{e}"));
        copy.check(&life).await.unwrap_or_else(|e| panic!("{e}"));
        let nodes: Api<Node> = Api::all(base.clone());
        for name in [&here, &there] {
            nodes.delete(name, &DeleteParams::default()).await.unwrap();
        }
    });
}
