//! A database server that does not start: its reason is told, its pod is replaced when the spec is mended, and it is
//! asked less and less. Does I/O.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use tenantry_api::condition::find;
use tenantry_api::database_server::DatabaseServer;

use crate::scenarios::run;
use crate::volumes::Managed;
use crate::world::{Operator, SYSTEM, World, apply};

/// What the controllers of the cluster may take.
const PATIENCE: Duration = Duration::from_secs(90);

/// The server's pod, once it is another than `not` and the other player of this test has said that it runs.
async fn pod(server: &Managed, not: Option<&Pod>) -> Pod {
    let (start, pods) = (Instant::now(), Api::<Pod>::namespaced(server.base.clone(), SYSTEM));
    loop {
        let found = pods.get_opt(&format!("dbs-{}-0", server.name)).await.unwrap();
        if let Some(pod) = found
            && pod.uid() != not.and_then(ResourceExt::uid)
            && pod.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Running")
        {
            return pod;
        }
        assert!(start.elapsed() < PATIENCE, "there is no pod of {}", server.name);
        // Looks bring the newest StatefulSet about, and end what stands in the way.
        server.look().await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[test]
fn a_pod_that_cannot_start_is_told_and_replaced_once_its_spec_is_mended() {
    run(true, |base| async move {
        let server = Managed::of(&base, "standard", false).await;
        let broken = pod(&server, None).await;
        let pods: Api<Pod> = Api::namespaced(base.clone(), SYSTEM);
        let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let status = json!({"status": {
            "conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": now}],
            "containerStatuses": [{"name": "postgresql", "image": "no.where/postgresql:15", "imageID": "", "ready": false,
                "restartCount": 0, "state": {"waiting": {"reason": "ErrImagePull", "message": "no such host"}}}]}});
        pods.patch_status(&broken.name_any(), &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
        for _ in 0..2 {
            let status = server.look().await;
            let said = find(&status.conditions, "Reachable").unwrap();
            assert_eq!((said.status.as_str(), said.reason.as_str()), ("False", "ImageCannotBePulled"), "{said:?}");
            assert!(
                said.message.contains("no.where/postgresql:15") && said.message.contains("no such host"),
                "{said:?}"
            );
        }
        // It is of the newest spec: nobody ends it.
        assert_eq!(pods.get(&broken.name_any()).await.unwrap().uid(), broken.uid());
        let patch = json!({"spec": {"managed": {"image": "tenantry.local/postgresql:15.1"}}});
        server.servers().patch(&server.name, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
        let mended = pod(&server, Some(&broken)).await;
        assert_eq!(mended.spec.unwrap().containers[0].image.as_deref(), Some("tenantry.local/postgresql:15.1"));
        let status = server.look().await;
        let said = find(&status.conditions, "Reachable").unwrap();
        assert_ne!(said.reason, "ImageCannotBePulled", "{said:?}");
        server.end().await;
    });
}

#[test]
fn a_server_that_never_starts_is_asked_less_and_less() {
    run(true, |base| async move {
        let (name, operator) = (World::get().name("never"), Operator::new(&base));
        apply(&base, json!({"apiVersion": "tenantry.dev/v1alpha1", "kind": "DatabaseServer", "metadata": {"name": name},
            "spec": {"engine": "postgresql", "accepting": false, "external": {"host": "127.0.0.1", "port": 1, "secretName": "pg-b"}}})).await;
        let servers: Api<DatabaseServer> = Api::all(base.clone());
        let (mut pauses, mut now) = (Vec::new(), Timestamp::now());
        for _ in 0..30 {
            let object = Arc::new(servers.get(&name).await.unwrap());
            let again = tenantry_operator::server::reconcile(object, &operator.ctx, now).await.unwrap().unwrap();
            now += again;
            pauses.push(again.as_secs());
        }
        assert!(pauses.is_sorted(), "{pauses:?}");
        assert_eq!((pauses.first(), pauses.last()), (Some(&1), Some(&30)), "{pauses:?}");
        // Nobody knows what is on it, so that it stays until a person says otherwise: servers.rs tries that.
        crate::servers::take_away(&base, &name).await;
    });
}
