//! The release that wrote the data is the one that runs, whatever of its notes is lost or written by hand. Does I/O.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tenantry_api::blueprint::{BlueprintSpec, Effective};
use tenantry_api::crm_instance::InstancePhase;
use tenantry_core::names::{self, ANNOTATION_RELEASE};

use crate::life::{INSTANCE, Life, Step};
use crate::picture::versions;
use crate::scenarios::{condition, run};
use crate::unfinished::{root, rounds};
use crate::world::{Operator, SYSTEM, World, blueprint, fixture};

fn spec(versions: &[&str], file: &str) -> Value {
    let mut spec = fixture(file);
    let release = |v: &&str| json!({"version": v, "image": format!("tenantry.local/product:{v}")});
    spec["releases"] = versions.iter().map(release).collect();
    spec
}

const FILE: &str = "seats={{ plan.seats }}\n";

/// An instance that runs 1.0 of a product of its own, of which there is 2.0 by now.
async fn behind(base: &Client, what: &str) -> Life {
    let mut life = Life::new(base, what);
    life.blueprint = World::get().name(what);
    blueprint(base, &life.blueprint, spec(&["1.0"], FILE)).await;
    life.drive(Step::Create, None).await.unwrap_or_else(|e| panic!("{e}"));
    life.work().await.unwrap();
    blueprint(base, &life.blueprint, spec(&["1.0", "2.0"], FILE)).await;
    life
}

async fn noted(life: &Life) -> Option<String> {
    let instance = life.instance().await.unwrap().unwrap();
    instance.metadata.annotations.and_then(|mut a| a.remove(ANNOTATION_RELEASE))
}

async fn images(life: &Life) -> Vec<String> {
    let api: Api<Deployment> = Api::namespaced(life.base.clone(), &life.namespace());
    let all = api.list(&ListParams::default()).await.unwrap().items;
    let spec = all.into_iter().filter_map(|d| d.spec?.template.spec);
    spec.flat_map(|s| s.containers).filter_map(|c| c.image).collect()
}

/// Writes annotations of the instance as a person would; null takes one away.
async fn annotate(life: &Life, annotations: Value) {
    let patch = Patch::Merge(json!({"metadata": {"annotations": annotations}}));
    life.instances().patch(INSTANCE, &PatchParams::default(), &patch).await.unwrap();
}

async fn lose_status(life: &Life) {
    let none = Patch::Merge(json!({"status": null}));
    life.instances().patch_status(INSTANCE, &PatchParams::default(), &none).await.unwrap();
}

/// A new process that knows nothing looks some times.
async fn anew(life: &mut Life) {
    life.operator = Operator::new(&life.base);
    rounds(life).await;
}

#[test]
fn a_lost_annotation_of_the_release_is_found_again_in_the_status_then_on_the_server_and_never_guessed() {
    run(false, |base| async move {
        let mut life = behind(&base, "lost").await;
        let hash = noted(&life).await.unwrap();
        for status_too in [false, true] {
            // All of them, as `kubectl replace` does.
            annotate(&life, json!({ANNOTATION_RELEASE: null, names::ANNOTATION_LEDGER: null})).await;
            if status_too {
                lose_status(&life).await;
            }
            anew(&mut life).await;
            let status = life.instance().await.unwrap().unwrap().status.unwrap();
            assert_eq!(status.phase, InstancePhase::Ready, "{status:?}");
            assert_eq!(noted(&life).await.as_ref(), Some(&hash), "status lost too: {status_too}");
            assert_eq!(images(&life).await, ["tenantry.local/product:1.0"]);
        }

        // Nobody knows it any more.
        let row = format!("name = '{}'", life.database_name());
        root(&format!("UPDATE databases SET release_hash = '' WHERE {row}")).await;
        annotate(&life, json!({ANNOTATION_RELEASE: null})).await;
        lose_status(&life).await;
        let before = children(&life).await;
        anew(&mut life).await;
        let (status, reason, message) = condition(&life, INSTANCE, "SpecValid").await;
        assert_eq!((status.as_str(), reason.as_str()), ("False", "ReleaseUnknown"), "{message}");
        assert!(message.contains("kubectl") && message.contains(ANNOTATION_RELEASE), "{message}");
        assert_eq!(children(&life).await, before, "something was changed");
        // The person knows.
        annotate(&life, json!({ANNOTATION_RELEASE: hash})).await;
        anew(&mut life).await;
        assert_eq!(life.instance().await.unwrap().unwrap().status.unwrap().phase, InstancePhase::Ready);
        assert_eq!(images(&life).await, ["tenantry.local/product:1.0"]);
    });
}

/// Versions of everything but the instance itself.
async fn children(life: &Life) -> Vec<(String, String)> {
    versions(life).await.unwrap().into_iter().filter(|(name, _)| name != "instance").collect()
}

#[test]
fn an_annotation_that_was_written_by_hand_is_reported_and_not_believed() {
    run(false, |base| async move {
        let mut life = behind(&base, "hand").await;
        let hash = noted(&life).await.unwrap();
        let newer: BlueprintSpec = serde_json::from_value(spec(&["1.0", "2.0"], FILE)).unwrap();
        let newer = Effective::pin(&life.blueprint, &newer, Some("2.0")).unwrap().hash;
        let before = children(&life).await;
        for status_too in [false, true] {
            annotate(&life, json!({ANNOTATION_RELEASE: newer})).await;
            if status_too {
                lose_status(&life).await;
            }
            anew(&mut life).await;
            let (status, reason, message) = condition(&life, INSTANCE, "SpecValid").await;
            assert_eq!((status.as_str(), reason.as_str()), ("False", "ReleaseDisputed"), "{message}");
            assert!(message.contains(&newer) && message.contains(&hash), "{message}");
            assert_eq!(children(&life).await, before, "something was changed");
            // What the message says to do.
            annotate(&life, json!({ANNOTATION_RELEASE: null})).await;
            anew(&mut life).await;
            assert_eq!(life.instance().await.unwrap().unwrap().status.unwrap().phase, InstancePhase::Ready);
            assert_eq!(noted(&life).await.as_ref(), Some(&hash));
        }
        // It ends with the release that wrote its data, whatever the annotation says.
        annotate(&life, json!({ANNOTATION_RELEASE: newer})).await;
        life.instances().delete(INSTANCE, &DeleteParams::default()).await.unwrap();
        anew(&mut life).await;
        let archive = life.archives().get(&format!("{}-1", life.instance_id.clone().unwrap())).await.unwrap();
        assert_eq!(archive.spec.release_hash.as_ref(), Some(&hash));
    });
}

#[test]
fn a_release_of_another_blueprint_is_refused() {
    run(false, |base| async move {
        let mut life = behind(&base, "foreign").await;
        let hash = noted(&life).await.unwrap();
        let other = World::get().name("other");
        blueprint(&base, &other, spec(&["1.0"], FILE)).await;
        let mut object = life.instance_object(&json!({"blueprint": other, "host": format!("other.{}", life.host)}));
        object.metadata.name = Some("other".into());
        object.metadata.annotations = Some([(ANNOTATION_RELEASE.to_owned(), hash)].into());
        life.instances().create(&PostParams::default(), &object).await.unwrap();
        rounds(&mut life).await;
        let (_, reason, message) = condition(&life, "other", "SpecValid").await;
        assert_eq!(reason, "OtherBlueprint", "{message}");
        assert!(message.contains(&life.blueprint) && message.contains(&other), "{message}");
    });
}

#[test]
fn the_copy_of_a_release_that_is_lost_is_made_again_from_the_blueprint_or_from_the_archive() {
    run(false, |base| async move {
        let mut life = behind(&base, "copy").await;
        let hash = noted(&life).await.unwrap();
        let copies: Api<ConfigMap> = Api::namespaced(base.clone(), SYSTEM);
        let name = names::pinned_release(&hash);
        let gone = DeleteParams::default();
        // The Blueprint has it still, among others.
        copies.delete(&name, &gone).await.unwrap();
        anew(&mut life).await;
        assert_eq!(life.instance().await.unwrap().unwrap().status.unwrap().phase, InstancePhase::Ready);
        assert!(copies.get_opt(&name).await.unwrap().is_some(), "it was not made again");

        // An archive carries it; the Blueprint is another one by now.
        life.instances().delete(INSTANCE, &gone).await.unwrap();
        anew(&mut life).await;
        let id = life.instance_id.clone().unwrap();
        let archive = life.archives().get(&format!("{id}-1")).await.unwrap();
        assert_eq!(archive.spec.release_hash.as_ref(), Some(&hash));
        let text: Effective = serde_json::from_str(archive.spec.release.as_deref().unwrap()).unwrap();
        assert_eq!((text.hash.as_str(), text.release().unwrap().version.as_str()), (hash.as_str(), "1.0"));
        blueprint(&base, &life.blueprint, spec(&["1.0", "2.0"], "another={{ plan.seats }}\n")).await;
        copies.delete(&name, &gone).await.unwrap();
        let object = life.instance_object(&json!({"id": id, "adopt": format!("{id}-1")}));
        life.instances().create(&PostParams::default(), &object).await.unwrap();
        anew(&mut life).await;
        let status = life.instance().await.unwrap().unwrap().status.unwrap();
        assert_eq!(status.phase, InstancePhase::Ready, "{status:?}");
        assert_eq!(images(&life).await, ["tenantry.local/product:1.0"]);
        assert!(copies.get_opt(&name).await.unwrap().is_some());
        assert_eq!(life.sql("pg-a", "SELECT name FROM customer").await.as_deref(), Ok("a row of the customer"));
    });
}
