//! Data that is gone is told, nothing empty is made in its place, and it comes back with one command. Does I/O.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Secret};
use kube::Client;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;
use tenantry_api::archive::ArchivePhase;
use tenantry_api::crm_instance::InstancePhase;
use tenantry_api::database_server::DatabaseServer;
use tenantry_core::names;

use crate::life::{INSTANCE, Life, Step};
use crate::picture::versions;
use crate::scenarios::{condition, ready, run};
use crate::volumes::{bound, volume_for};
use crate::world::{Operator, World};

async fn look(life: &mut Life, times: usize) {
    for _ in 0..times {
        life.round().await.unwrap();
    }
}

fn claim_of(life: &Life) -> String {
    format!("{}-files-g1", life.instance_id.as_deref().unwrap())
}

/// A ready instance with a volume of its own, which outlives its claim.
async fn with_volume(base: &Client, what: &str) -> Life {
    let mut life = ready(base, what).await;
    let (namespace, claim) = (life.namespace(), claim_of(&life));
    volume_for(base, "standard", &namespace, &claim).await;
    bound(base, &namespace, &claim).await;
    life.drive(Step::Resume, None).await.unwrap_or_else(|e| panic!("{e}"));
    life
}

/// Deletes its claim, and waits until Kubernetes says that the volume is nobody's.
async fn lose_claim(life: &Life) {
    let (start, name) = (Instant::now(), claim_of(life));
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(life.base.clone(), &life.namespace());
    let volumes: Api<PersistentVolume> = Api::all(life.base.clone());
    claims.delete(&name, &DeleteParams::default()).await.unwrap();
    loop {
        let phase = volumes.get(&name).await.unwrap().status.and_then(|s| s.phase);
        if claims.get_opt(&name).await.unwrap().is_none() && phase.as_deref() == Some("Released") {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(90), "{name} is not released: {phase:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// What the condition tells a person to do.
async fn set_free(base: &Client, message: &str, volume: &str) {
    let said = format!(
        r#"kubectl patch pv {volume} --type=merge -p '{{"spec":{{"claimRef":{{"uid":null,"resourceVersion":null}}}}}}'"#
    );
    assert!(message.contains(&said), "{message}");
    let volumes: Api<PersistentVolume> = Api::all(base.clone());
    let patch = json!({"spec": {"claimRef": {"uid": null, "resourceVersion": null}}});
    volumes.patch(volume, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
}

async fn is_gone(life: &Life) -> bool {
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(life.base.clone(), &life.namespace());
    claims.get_opt(&claim_of(life)).await.unwrap().is_none()
}

async fn has_its_volume(life: &Life) {
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(life.base.clone(), &life.namespace());
    let claim = claims.get(&claim_of(life)).await.unwrap();
    assert_eq!(claim.spec.and_then(|s| s.volume_name), Some(claim_of(life)));
    bound(&life.base, &life.namespace(), &claim_of(life)).await;
}

#[test]
fn a_claim_that_is_gone_stops_an_instance_and_is_made_again_with_its_own_volume_only() {
    run(false, |base| async move {
        let mut life = with_volume(&base, "claim").await;
        lose_claim(&life).await;
        for operator in [life.operator.clone(), Operator::new(&base)] {
            life.operator = operator;
            look(&mut life, 2).await;
            let (_, reason, message) = condition(&life, INSTANCE, "ProcessesReady").await;
            assert_eq!(reason, "VolumeLost", "{message}");
            assert!(is_gone(&life).await, "an empty one was made in its place");
            let status = life.instance().await.unwrap().unwrap().status.unwrap();
            assert_eq!(status.phase, InstancePhase::Degraded);
        }
        let before = versions(&life).await.unwrap();
        look(&mut life, 2).await;
        assert_eq!(versions(&life).await.unwrap(), before, "it waits and writes nothing");

        // Whoever suspends it meanwhile gets that, and still no empty volume.
        let suspend = |on: bool| Patch::Merge(json!({"spec": {"suspended": on}}));
        life.tenants().patch(&life.name, &PatchParams::default(), &suspend(true)).await.unwrap();
        for _ in 0..6 {
            life.controllers_rest().await.unwrap();
            look(&mut life, 1).await;
        }
        let (_, reason, message) = condition(&life, INSTANCE, "ProcessesReady").await;
        assert_eq!(reason, "VolumeLost", "{message}");
        assert!(is_gone(&life).await);
        life.tenants().patch(&life.name, &PatchParams::default(), &suspend(false)).await.unwrap();

        set_free(&base, &message, &claim_of(&life)).await;
        life.drive(Step::Resume, None).await.unwrap_or_else(|e| panic!("{e}"));
        has_its_volume(&life).await;
        life.operator = Operator::new(&base);
        life.drive(Step::Resume, None).await.unwrap_or_else(|e| panic!("{e}"));
        life.check(Step::Resume, None).await.unwrap_or_else(|e| panic!("{e}"));
    });
}

#[test]
fn an_adoption_waits_until_all_is_there_that_its_archive_names() {
    run(false, |base| async move {
        let mut life = with_volume(&base, "kept").await;
        life.drive(Step::Delete, None).await.unwrap_or_else(|e| panic!("{e}"));
        let (tenant_id, id) = life.ids().unwrap();
        let secrets: Api<Secret> = Api::namespaced(base.clone(), &life.namespace());
        let keys = names::keys_secret(&tenantry_core::id::Id::parse(&id).unwrap(), 1);
        let mut kept = secrets.get(&keys).await.unwrap();
        kept.metadata.resource_version = None;
        kept.metadata.uid = None;
        secrets.delete(&keys, &DeleteParams::default()).await.unwrap();
        lose_claim(&life).await;
        let database = life.database_name();
        let rename = |from: &str, to: &str| format!("ALTER DATABASE {from} RENAME TO {to}");
        World::get().root("pg-a", &rename(&database, "away_for_a_while")).await.unwrap();

        let back = life.tenant_object(&json!({"id": tenant_id, "adopt": format!("{tenant_id}-1"), "plan": "large"}));
        life.tenants().create(&PostParams::default(), &back).await.unwrap();
        look(&mut life, 3).await;
        let back = life.instance_object(&json!({"id": id, "adopt": format!("{id}-1")}));
        life.instances().create(&PostParams::default(), &back).await.unwrap();
        life.operator = Operator::new(&base);

        look(&mut life, 3).await;
        let (_, reason, message) = condition(&life, INSTANCE, "ProcessesReady").await;
        assert_eq!(reason, "VolumeLost", "{message}");
        nothing_begun(&life).await;
        set_free(&base, &message, &claim_of(&life)).await;

        look(&mut life, 3).await;
        let (_, reason, message) = condition(&life, INSTANCE, "SpecValid").await;
        assert!(reason == "KeysMissing" && message.contains(&keys), "{reason}: {message}");
        nothing_begun(&life).await;
        secrets.create(&PostParams::default(), &kept).await.unwrap();

        look(&mut life, 3).await;
        let (_, reason, message) = condition(&life, INSTANCE, "DatabaseReady").await;
        assert!(reason == "DatabaseLost" && message.contains(&database), "{reason}: {message}");
        nothing_begun(&life).await;
        World::get().root("pg-a", &rename("away_for_a_while", &database)).await.unwrap();

        life.drive(Step::Adopt, None).await.unwrap_or_else(|e| panic!("{e}"));
        life.check_rest().await.unwrap_or_else(|e| panic!("{e}"));
        has_its_volume(&life).await;
        assert!(life.picture().await.unwrap()["rows"].ends_with("a row of the customer"));
    });
}

/// Nothing of an adoption that waits was made, and its archive is open.
async fn nothing_begun(life: &Life) {
    assert!(is_gone(life).await, "an empty claim was made");
    let id = life.instance_id.clone().unwrap();
    assert_eq!(life.phase_of(&format!("{id}-1")).await.unwrap(), Some(ArchivePhase::Archived));
    let state = format!("SELECT state FROM databases WHERE name = '{}'", life.database_name());
    assert_eq!(World::get().root("pg-a", &state).await.unwrap(), "archived", "its role was let in");
}

pub async fn look_at_server(life: &Life) {
    let servers: Api<DatabaseServer> = Api::all(life.base.clone());
    let object = Arc::new(servers.get("pg-a").await.unwrap());
    tenantry_operator::server::reconcile(object, &life.operator.ctx, Timestamp::now()).await.unwrap();
}

/// The server as it was for the other tests, which are placed by its figures. Only for a test that runs alone.
pub async fn uncounted(base: &Client) {
    let servers: Api<DatabaseServer> = Api::all(base.clone());
    let none = Patch::Merge(json!({"status": {"databases": null}}));
    servers.patch_status("pg-a", &PatchParams::default(), &none).await.unwrap();
}

async fn drop_by_hand(life: &Life) {
    World::get().root("pg-a", &format!("DROP DATABASE {} WITH (FORCE)", life.database_name())).await.unwrap();
}

#[test]
fn a_database_that_was_dropped_by_hand_is_told_by_its_server_s_sweep_and_promised_by_no_archive() {
    run(true, |base| async move {
        let mut life = ready(&base, "dropped").await;
        let mut other = ready(&base, "whole").await;
        // A sweep costs one question, and accuses nobody.
        look_at_server(&life).await;
        life.operator.gate.count_anew();
        look_at_server(&life).await;
        let names = |calls: Vec<String>| calls.iter().filter(|c| c.contains("names of the databases")).count();
        assert_eq!(names(life.operator.gate.all()), 1);
        let uid = |life: &Life| {
            let instances = life.instances();
            async move { instances.get(INSTANCE).await.unwrap().metadata.uid.unwrap() }
        };
        assert!(!life.operator.ctx.memory.is_doubted(&uid(&life).await));
        // One that is doubted without reason asks, and stays as it is.
        let before = versions(&other).await.unwrap();
        other.operator.ctx.memory.doubt(&uid(&other).await);
        look(&mut other, 2).await;
        assert!(!other.operator.ctx.memory.is_doubted(&uid(&other).await));
        assert_eq!(versions(&other).await.unwrap(), before);

        drop_by_hand(&life).await;
        look_at_server(&life).await;
        assert!(!life.operator.ctx.memory.is_doubted(&uid(&other).await));
        for operator in [life.operator.clone(), Operator::new(&base)] {
            life.operator = operator;
            look(&mut life, 2).await;
            let (status, reason, message) = condition(&life, INSTANCE, "DatabaseReady").await;
            assert_eq!((status.as_str(), reason.as_str()), ("False", "DatabaseLost"), "{message}");
            assert!(message.contains(&life.database_name()) && message.contains("pg-a"), "{message}");
            let (status, _, _) = condition(&life, INSTANCE, "Ready").await;
            assert_eq!(status, "False");
        }
        let exists = format!("SELECT count(*) FROM pg_database WHERE datname = '{}'", life.database_name());
        assert_eq!(World::get().root("pg-a", &exists).await.unwrap(), "0", "none is made in its place");

        // An archive would promise it.
        life.instances().delete(INSTANCE, &DeleteParams::default()).await.unwrap();
        look(&mut life, 4).await;
        let (_, reason, message) = condition(&life, INSTANCE, "Archived").await;
        assert_eq!(reason, "DatabaseLost", "{message}");
        assert!(life.my_archives().await.unwrap().is_empty());
        let owner = format!("CREATE DATABASE {} TEMPLATE template0", life.database_name());
        World::get().root("pg-a", &owner).await.unwrap();
        look(&mut life, 3).await;
        assert_eq!(life.instance().await.unwrap(), None, "it is back, as a restored one would be");
        let archives = life.my_archives().await.unwrap();
        assert_eq!(archives[0].spec.databases[0].name, life.database_name());

        // For good, when a person says so.
        drop_by_hand(&other).await;
        other.instances().delete(INSTANCE, &DeleteParams::default()).await.unwrap();
        look(&mut other, 4).await;
        let (_, reason, message) = condition(&other, INSTANCE, "Archived").await;
        let accept = format!("annotate crm crm {}={}", names::ANNOTATION_CONFIRM_LOSS, other.database_name());
        assert!(reason == "DatabaseLost" && message.contains(&accept), "{reason}: {message}");
        let accepted = json!({"metadata": {"annotations": {names::ANNOTATION_CONFIRM_LOSS: other.database_name()}}});
        other.instances().patch(INSTANCE, &PatchParams::default(), &Patch::Merge(&accepted)).await.unwrap();
        look(&mut other, 4).await;
        assert_eq!(other.instance().await.unwrap(), None);
        assert_eq!(other.my_archives().await.unwrap().len(), 1);
        uncounted(&base).await;
    });
}
