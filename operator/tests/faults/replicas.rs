//! More pods of a process and fewer again: only their number changes, and no pod is started anew. Does I/O.

use std::collections::BTreeSet;

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use tenantry_api::crm_instance::InstancePhase;
use tenantry_core::names::LABEL_PROCESS;
use tenantry_operator::cluster::dynamic_api;
use tenantry_plan::Kind;

use crate::life::{INSTANCE, Life, Step};
use crate::scenarios::{condition, run};
use crate::world::{World, apply, fixture};

/// The fixture with a process that really has pods, and bears three of them.
async fn product(base: &kube::Client, name: &str) {
    let mut spec = fixture("key={{ secrets.key }}\n");
    spec["processes"][0]["replicas"] = json!({"default": 1, "max": 3});
    spec["processes"][0]["strategy"] = "rolling".into();
    let object = json!({"apiVersion": "tenantry.dev/v1alpha1", "kind": "Blueprint",
        "metadata": {"name": name}, "spec": spec});
    apply(base, object).await;
}

async fn wish(life: &Life, replicas: Value) {
    let patch = json!({"spec": {"replicas": replicas}});
    life.instances().patch(INSTANCE, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
}

/// Ids of the pods that run the process.
async fn pods(life: &Life) -> BTreeSet<String> {
    let api: Api<Pod> = Api::namespaced(life.base.clone(), &life.namespace());
    let list = api.list(&ListParams::default().labels(&format!("{LABEL_PROCESS}=web"))).await.unwrap();
    list.items.iter().filter_map(ResourceExt::uid).collect()
}

async fn budgets(life: &Life) -> Vec<String> {
    let api = dynamic_api(&life.base, Kind::PodDisruptionBudget, Some(&life.namespace()));
    api.list(&ListParams::default()).await.unwrap().items.iter().map(ResourceExt::name_any).collect()
}

/// Reconciles until the instance is Ready as it is written now.
async fn ready(life: &mut Life) {
    for _ in 0..12 {
        life.controllers_rest().await.unwrap();
        life.round().await.unwrap();
        let now = life.instance().await.unwrap().unwrap();
        let status = now.status.unwrap_or_default();
        if status.phase == InstancePhase::Ready && status.observed_generation == now.metadata.generation {
            return;
        }
    }
    panic!("never ready again: {}", life.describe().await);
}

#[test]
fn another_number_of_pods_starts_none_of_them_anew_and_a_budget_comes_and_goes_with_it() {
    run(false, |base| async move {
        let mut life = Life::new(&base, "pods");
        life.blueprint.clone_from(&life.name);
        product(&base, &life.blueprint).await;
        life.drive(Step::Create, None).await.unwrap_or_else(|e| panic!("{e}"));
        let one = pods(&life).await;
        assert_eq!((one.len(), budgets(&life).await), (1, Vec::new()));

        wish(&life, json!({"web": 3})).await;
        ready(&mut life).await;
        let three = pods(&life).await;
        assert!(three.len() == 3 && three.is_superset(&one), "{one:?} {three:?}");
        let id = life.instance_id.clone().unwrap();
        assert_eq!(budgets(&life).await, [format!("{id}-web")]);
        life.check(Step::Create, None).await.unwrap_or_else(|e| panic!("{e}"));

        wish(&life, json!({"web": null})).await;
        ready(&mut life).await;
        let left = pods(&life).await;
        assert!(left.len() == 1 && left.is_subset(&three), "{three:?} {left:?}");
        assert_eq!(budgets(&life).await, Vec::<String>::new());
        life.check(Step::Create, None).await.unwrap_or_else(|e| panic!("{e}"));
        let sets: Api<ReplicaSet> = Api::namespaced(base.clone(), &life.namespace());
        assert_eq!(sets.list(&ListParams::default()).await.unwrap().items.len(), 1, "the pods were made anew");

        // What the blueprint does not bear is told, and what runs goes on.
        wish(&life, json!({"web": 4})).await;
        life.round().await.unwrap();
        let (status, _, message) = condition(&life, INSTANCE, "SpecValid").await;
        assert!(status == "False" && message.contains("spec.replicas.web"), "{message}");
        assert_eq!(pods(&life).await, left);

        wish(&life, json!({"web": 2})).await;
        ready(&mut life).await;
        assert_eq!(budgets(&life).await.len(), 1);
        life.drive(Step::Delete, None).await.unwrap_or_else(|e| panic!("{e}"));
        assert_eq!((pods(&life).await.len(), budgets(&life).await), (0, Vec::new()));
        assert_eq!(
            World::get()
                .root("pg-a", &format!("SELECT state FROM databases WHERE owner = 'instance/{id}'"))
                .await
                .as_deref(),
            Ok("archived")
        );
    });
}
