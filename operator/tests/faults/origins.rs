//! What a copy was begun from, and how it is neutralised, stay known: by whatever is lost or changed meanwhile.
//! Does I/O.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use kube::Client;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;
use tenantry_api::crm_instance::InstancePhase;

use crate::copies::{Copy, away, original, product};
use crate::life::Life;
use crate::scenarios::{condition, run};
use crate::world::{World, blueprint};

/// More looks than a copy needs to begin.
const LOOKS: u32 = 40;

/// A copy whose database is being filled.
async fn begun(life: &Life) -> Copy {
    let mut copy = Copy::of(life, "copy", &json!({})).await.unwrap();
    for looks in 0.. {
        copy.look().await.unwrap_or_else(|e| panic!("{e}"));
        if copy.state().await.unwrap() == "installing" {
            return copy;
        }
        assert!(looks < LOOKS, "it is not begun");
    }
    copy
}

async fn says(life: &Life, copy: &mut Copy, kind: &str, wanted: &str) -> String {
    for _ in 0..LOOKS {
        copy.look().await.unwrap_or_else(|e| panic!("{e}"));
        let (status, reason, message) = condition(life, "copy", kind).await;
        if (status.as_str(), reason.as_str()) == ("False", wanted) {
            assert_eq!(copy.api::<Deployment>().list(&copy.mine()).await.unwrap().items.len(), 0);
            return message;
        }
        copy.play().await.unwrap_or_else(|e| panic!("{e}"));
    }
    panic!("it never says {kind}: {wanted}, but {:?}", condition(life, "copy", kind).await)
}

/// The blueprint with steps that another customer's name shows.
async fn neutralised_by(base: &Client, life: &Life, sql: &str) {
    let mut spec = product(true);
    spec["neutralise"]["steps"].as_array_mut().unwrap().push(json!({"name": "more", "sql": sql}));
    blueprint(base, &life.blueprint, spec).await;
}

#[test]
fn a_copy_whose_annotation_is_lost_is_neutralised_as_the_blueprint_says_by_now() {
    run(false, |base| async move {
        let life = original(&base, true).await.unwrap_or_else(|e| panic!("{e}"));
        let mut copy = begun(&life).await;
        neutralised_by(&base, &life, "CREATE TABLE IF NOT EXISTS said_later ()").await;
        let lost = json!({"metadata": {"annotations": {"tenantry.dev/release": null}}});
        life.instances().patch("copy", &PatchParams::default(), &Patch::Merge(&lost)).await.unwrap();
        copy.until_ready().await.unwrap_or_else(|e| panic!("{e}"));
        copy.check(&life).await.unwrap_or_else(|e| panic!("{e}"));
        let there = "SELECT (to_regclass('said_later') IS NOT NULL)::text";
        assert_eq!(copy.sql(there).await.as_deref(), Ok("true"), "neutralised by the steps of before");
        // Lost again, when the original is gone: what runs goes on, and is still looked after.
        life.instances().patch("copy", &PatchParams::default(), &Patch::Merge(&lost)).await.unwrap();
        away(&life).await;
        for _ in 0..3 {
            assert_eq!(copy.look().await.unwrap(), InstancePhase::Ready);
        }
        let (status, _, message) = condition(&life, "copy", "Ready").await;
        assert_eq!(status, "True", "{message}");
    });
}

#[test]
fn steps_that_do_not_fit_what_the_original_runs_are_not_replaced_by_those_that_were_withdrawn() {
    run(false, |base| async move {
        let life = original(&base, true).await.unwrap_or_else(|e| panic!("{e}"));
        let mut copy = begun(&life).await;
        neutralised_by(&base, &life, "SELECT {{ processes.queue.host|sql_quote }}").await;
        let said = says(&life, &mut copy, "Neutralised", "BlueprintInvalid").await;
        assert!(said.contains("processes"), "{said}");
        neutralised_by(&base, &life, "SELECT 1").await;
        copy.until_ready().await.unwrap_or_else(|e| panic!("{e}"));
        copy.check(&life).await.unwrap_or_else(|e| panic!("{e}"));
    });
}

#[test]
fn another_instance_with_the_originals_name_is_no_original() {
    run(false, |base| async move {
        let mut life = original(&base, true).await.unwrap_or_else(|e| panic!("{e}"));
        let mut copy = begun(&life).await;
        away(&life).await;
        // Another instance, which mints an id of its own.
        let before = life.instance_id.take();
        life.instances().create(&PostParams::default(), &life.instance_object(&json!({}))).await.unwrap();
        for _ in 0..6 {
            life.round().await.unwrap();
        }
        let now = life.instance().await.unwrap().unwrap();
        assert_eq!(now.status.unwrap().phase, InstancePhase::Ready);
        assert_ne!(now.spec.id, before);
        let said = says(&life, &mut copy, "Copied", "SourceChanged").await;
        assert!(said.contains("delete it"), "{said}");
    });
}

#[test]
fn a_copy_that_was_being_thrown_away_is_archived_and_purged_all_the_same() {
    run(false, |base| async move {
        let life = original(&base, true).await.unwrap_or_else(|e| panic!("{e}"));
        let mut copy = begun(&life).await;
        let name = format!("crm_{}_g1", copy.id);
        // The operator died between the two statements of a drop.
        let torn = format!("UPDATE databases SET state = 'dropping' WHERE name = '{name}' RETURNING state");
        assert_eq!(World::get().root("pg-a", &torn).await.as_deref(), Ok("dropping"));
        life.instances().delete("copy", &DeleteParams::default()).await.unwrap();
        for looks in 0.. {
            copy.look().await.unwrap();
            if copy.object().await.unwrap().is_none() {
                break;
            }
            assert!(looks < 100, "it never ends: {:?}", condition(&life, "copy", "Archived").await);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let archive = life.archives().get(&format!("{}-1", copy.id)).await.unwrap();
        assert_eq!(archive.spec.databases.len(), 1, "what is left of it is purged with its archive");
    });
}
