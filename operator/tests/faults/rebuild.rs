//! A cluster is lost and its objects come back from Git with their ids: data is taken over, never made anew. Does I/O.

use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, PersistentVolumeClaim, Secret};
use kube::api::{Api, DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use tenantry_api::billing_event::BillingEvent;
use tenantry_api::crm_instance::InstancePhase;
use tenantry_api::database_server::DatabaseServer;
use tenantry_core::id::Id;
use tenantry_core::names;
use tenantry_operator::cluster::dynamic_api;
use tenantry_plan::Kind;

use crate::gate::Mode;
use crate::life::{INSTANCE, Life, Outcome, Step};
use crate::picture::versions;
use crate::scenarios::{Away, condition, ready, run};
use crate::sweep::sampled;
use crate::unfinished::rounds;
use crate::world::{Operator, SYSTEM, World, apply};

/// Lives at the same time.
const AT_ONCE: usize = 8;

/// Takes everything of a tenant out of the cluster, as its loss would; its databases stay. Gives the keys back, of
/// which there is a backup.
async fn lose_cluster(life: &Life) -> Secret {
    let id = Id::parse(life.instance_id.as_deref().unwrap()).unwrap();
    let secrets: Api<Secret> = Api::namespaced(life.base.clone(), &life.namespace());
    let keys = secrets.get(&names::keys_secret(&id, 1)).await.unwrap();
    let (off, gone) = (Patch::Merge(json!({"metadata": {"finalizers": null}})), DeleteParams::default());
    life.instances().patch(INSTANCE, &PatchParams::default(), &off).await.unwrap();
    life.instances().delete(INSTANCE, &gone).await.unwrap();
    life.tenants().patch(&life.name, &PatchParams::default(), &off).await.unwrap();
    life.tenants().delete(&life.name, &gone).await.unwrap();
    let namespaces: Api<Namespace> = Api::all(life.base.clone());
    namespaces.delete(&life.namespace(), &gone).await.unwrap();
    while namespaces.get_opt(&life.namespace()).await.unwrap().is_some() {
        life.controllers_rest().await.unwrap();
    }
    let events: Api<BillingEvent> = Api::namespaced(life.base.clone(), SYSTEM);
    for event in life.events().await.unwrap() {
        events.delete(&event.name_any(), &gone).await.unwrap();
    }
    let claims: Api<ConfigMap> = Api::namespaced(life.base.clone(), SYSTEM);
    let tenant = Id::parse(life.tenant_id.as_deref().unwrap()).unwrap();
    for claim in [names::id_claim(&id), names::id_claim(&tenant), names::host_claim(&life.host)] {
        claims.delete(&claim, &gone).await.unwrap();
    }
    Secret { metadata: bare(&keys.metadata), ..keys }
}

/// What of an object's metadata a backup brings back.
fn bare(meta: &ObjectMeta) -> ObjectMeta {
    let ObjectMeta { name, namespace, labels, .. } = meta.clone();
    ObjectMeta { name, namespace, labels, ..ObjectMeta::default() }
}

/// The tenant out of Git, until its namespace is there.
async fn tenant_again(life: &mut Life) -> Outcome {
    let object = life.tenant_object(&json!({"id": life.tenant_id}));
    life.operator = Operator::new(&life.base);
    life.tenants().create(&PostParams::default(), &object).await.map_err(|e| e.to_string())?;
    for _ in 0..3 {
        life.round().await?;
    }
    Ok(())
}

async fn instance_again(life: &Life, more: Value) -> Outcome {
    let mut spec = json!({"id": life.instance_id});
    for (key, value) in more.as_object().into_iter().flatten() {
        spec[key] = value.clone();
    }
    let object = life.instance_object(&spec);
    life.instances().create(&PostParams::default(), &object).await.map(drop).map_err(|e| e.to_string())
}

/// Its files out of a backup.
async fn claims_again(life: &Life) -> Outcome {
    let id = Id::parse(life.instance_id.as_deref().unwrap()).unwrap();
    let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": names::volume(&id, "files", 1), "namespace": life.namespace(),
            "labels": {names::LABEL_INSTANCE_ID: id.as_str()}},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    let api: Api<PersistentVolumeClaim> = Api::namespaced(life.base.clone(), &life.namespace());
    let claim = serde_json::from_value(claim).unwrap();
    api.create(&PostParams::default(), &claim).await.map(drop).map_err(|e| e.to_string())
}

async fn restore(life: &Life, keys: &Secret) -> Outcome {
    claims_again(life).await?;
    let secrets: Api<Secret> = Api::namespaced(life.base.clone(), &life.namespace());
    secrets.create(&PostParams::default(), keys).await.map(drop).map_err(|e| e.to_string())
}

async fn rows(life: &Life) -> Outcome<String> {
    life.sql("pg-a", "SELECT string_agg(name, ',') FROM customer").await
}

async fn secrets_of(life: &Life) -> Vec<String> {
    let api: Api<Secret> = Api::namespaced(life.base.clone(), &life.namespace());
    let mine = ListParams::default().labels(&format!("{}={INSTANCE}", names::LABEL_INSTANCE));
    api.list_metadata(&mine).await.unwrap().items.iter().map(ResourceExt::name_any).collect()
}

async fn phase(life: &Life) -> InstancePhase {
    life.instance().await.unwrap().unwrap().status.unwrap_or_default().phase
}

#[test]
fn what_comes_back_with_its_id_takes_its_data_over_and_waits_for_its_keys() {
    run(false, |base| async move {
        let mut life = ready(&base, "again").await;
        let keys = lose_cluster(&life).await;
        tenant_again(&mut life).await.unwrap();
        // Git names another server than the one where it lies.
        instance_again(&life, json!({"databaseServer": "pg-b"})).await.unwrap();
        rounds(&mut life).await;
        let (_, reason, message) = condition(&life, INSTANCE, "ProcessesReady").await;
        assert_eq!(reason, "VolumeLost", "its files were in a volume, and an empty one is none of them: {message}");
        claims_again(&life).await.unwrap();
        rounds(&mut life).await;
        let (status, reason, message) = condition(&life, INSTANCE, "SpecValid").await;
        assert_eq!((status.as_str(), reason.as_str()), ("False", "KeysMissing"), "{message}");
        // Somebody replaces it meanwhile by what Git has.
        let notes = [names::ANNOTATION_TAKEN_OVER, names::ANNOTATION_LEDGER, names::ANNOTATION_RELEASE];
        let notes: serde_json::Map<String, Value> = notes.iter().map(|n| ((*n).to_owned(), Value::Null)).collect();
        let bare = Patch::Merge(json!({"metadata": {"annotations": notes}}));
        life.instances().patch(INSTANCE, &PatchParams::default(), &bare).await.unwrap();
        rounds(&mut life).await;
        assert_eq!(condition(&life, INSTANCE, "SpecValid").await.1, "KeysMissing");
        let name = keys.name_any();
        for word in [name.as_str(), "admin-password", "secret.key", "pg-a"] {
            assert!(message.contains(word), "{word}: {message}");
        }
        assert_eq!(secrets_of(&life).await, Vec::<String>::new(), "keys were made over existing data");

        let secrets: Api<Secret> = Api::namespaced(base.clone(), &life.namespace());
        secrets.create(&PostParams::default(), &keys).await.unwrap();
        rounds(&mut life).await;
        assert_eq!(phase(&life).await, InstancePhase::Ready, "{}", life.describe().await);
        assert_eq!(rows(&life).await.as_deref(), Ok("a row of the customer"));
        assert_eq!(life.instance().await.unwrap().unwrap().status.unwrap().database.unwrap().server, "pg-a");
        let there =
            format!("SELECT count(*) FROM databases WHERE owner = 'instance/{}'", life.instance_id.clone().unwrap());
        assert_eq!(World::get().root("pg-b", &there).await.as_deref(), Ok("0"));
        life.check(Step::Create, None).await.unwrap_or_else(|e| panic!("{e}"));
    });
}

#[test]
fn a_server_that_comes_after_its_objects_is_asked_while_they_wait_for_their_place() {
    run(true, |base| async move {
        let (world, mut life) = (World::get(), ready(&base, "late").await);
        lose_cluster(&life).await;
        let (mine, server) = (format!("instance/{}", life.instance_id.clone().unwrap()), world.name("pg-late"));
        let owned = |now: &str, was: &str| format!("UPDATE databases SET owner = '{now}' WHERE owner = '{was}'");
        // As if its server were not there yet; what holds it up is an Ingress of somebody else.
        world.root("pg-a", &owned("instance/hidden", &mine)).await.unwrap();
        let backend = json!({"service": {"name": "shop", "port": {"number": 80}}});
        let foreign = json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
            "metadata": {"name": life.name, "namespace": "default"},
            "spec": {"ingressClassName": "tenantry", "rules": [{"host": life.host,
                "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}]}});
        apply(&base, foreign).await;
        tenant_again(&mut life).await.unwrap();
        instance_again(&life, json!({})).await.unwrap();
        rounds(&mut life).await;
        assert_eq!(condition(&life, INSTANCE, "HostClaimed").await.1, "HostServedElsewhere");
        life.check_rest().await.unwrap();

        world.root("pg-a", &owned(&mine, "instance/hidden")).await.unwrap();
        let external = json!({"host": "127.0.0.1", "port": world.ports[0], "secretName": "pg-a"});
        apply(
            &base,
            json!({"apiVersion": "tenantry.dev/v1alpha1", "kind": "DatabaseServer", "metadata": {"name": server},
            "spec": {"engine": "postgresql", "accepting": false, "external": external}}),
        )
        .await;
        rounds(&mut life).await;
        // Two names of one server: what counts here is that it was asked.
        let (_, reason, message) = condition(&life, INSTANCE, "DatabaseReady").await;
        let servers: Api<DatabaseServer> = Api::all(base.clone());
        servers.delete(&server, &DeleteParams::default()).await.unwrap();
        let ingresses = dynamic_api(&base, Kind::Ingress, Some("default"));
        ingresses.delete(&life.name, &DeleteParams::default()).await.unwrap();
        assert!(reason == "DatabaseDisputed" && message.contains(&server), "{reason}: {message}");
        assert_eq!(secrets_of(&life).await, Vec::<String>::new(), "keys were made over existing data");
    });
}

#[test]
fn an_object_that_waits_for_its_keys_and_is_deleted_leaves_an_archive_of_its_data() {
    run(false, |base| async move {
        let mut life = ready(&base, "left").await;
        lose_cluster(&life).await;
        tenant_again(&mut life).await.unwrap();
        instance_again(&life, json!({})).await.unwrap();
        rounds(&mut life).await;
        life.instances().delete(INSTANCE, &DeleteParams::default()).await.unwrap();
        rounds(&mut life).await;
        assert_eq!(life.instance().await.unwrap(), None);
        let archive = life.archives().get(&format!("{}-1", life.instance_id.clone().unwrap())).await.unwrap();
        let kept: Vec<_> = archive.spec.databases.iter().map(|d| (d.server.as_str(), d.name.clone())).collect();
        assert_eq!(kept, [("pg-a", life.database_name())]);
        assert!(archive.spec.release_hash.is_some());
    });
}

#[test]
fn an_id_whose_data_is_another_tenants_is_refused() {
    run(false, |base| async move {
        let mut life = ready(&base, "mine").await;
        lose_cluster(&life).await;
        // Its tenant came back without its id.
        let old = life.tenant_id.take().unwrap();
        life.operator = Operator::new(&base);
        life.tenants().create(&PostParams::default(), &life.tenant_object(&json!({}))).await.unwrap();
        for _ in 0..3 {
            life.round().await.unwrap();
        }
        instance_again(&life, json!({})).await.unwrap();
        rounds(&mut life).await;
        let (_, reason, message) = condition(&life, INSTANCE, "Ready").await;
        assert_eq!(reason, "IdTaken", "{message}");
        assert!(message.contains(&old) && message.contains("pg-a"), "{message}");
        assert_eq!(secrets_of(&life).await, Vec::<String>::new());
    });
}

#[test]
fn of_two_servers_that_have_data_none_is_chosen_until_a_person_says_which() {
    run(false, |base| async move {
        let mut life = ready(&base, "both").await;
        let keys = lose_cluster(&life).await;
        let (id, tenant) = (life.instance_id.clone().unwrap(), life.tenant_id.clone().unwrap());
        let name = life.database_name();
        // What an operator left that knew no better.
        let row = format!(
            "INSERT INTO databases (name, owner, tenant, generation, role, state, release_hash, created_at, updated_at) \
             VALUES ('{name}', 'instance/{id}', '{tenant}', 1, '{name}', 'personalised', 'x', now(), now())"
        );
        World::get().root("pg-b", &row).await.unwrap();
        tenant_again(&mut life).await.unwrap();
        restore(&life, &keys).await.unwrap();
        instance_again(&life, json!({})).await.unwrap();
        rounds(&mut life).await;
        let (_, reason, message) = condition(&life, INSTANCE, "DatabaseReady").await;
        assert_eq!(reason, "DatabaseDisputed", "{message}");
        assert!(message.contains("pg-a") && message.contains("pg-b"), "{message}");
        let chosen = Patch::Merge(json!({"spec": {"databaseServer": "pg-a"}}));
        life.instances().patch(INSTANCE, &PatchParams::default(), &chosen).await.unwrap();
        rounds(&mut life).await;
        assert_eq!(phase(&life).await, InstancePhase::Ready, "{}", life.describe().await);
        assert_eq!(rows(&life).await.as_deref(), Ok("a row of the customer"));
        World::get().root("pg-b", &format!("DELETE FROM databases WHERE name = '{name}'")).await.unwrap();
    });
}

#[test]
fn a_database_that_is_gone_is_not_replaced_by_an_empty_one() {
    run(false, |base| async move {
        let mut life = ready(&base, "gone").await;
        let keys = lose_cluster(&life).await;
        let (name, id) = (life.database_name(), life.instance_id.clone().unwrap());
        for sql in [
            format!("DROP DATABASE {name}"),
            format!("DROP ROLE {name}"),
            format!("DELETE FROM databases WHERE owner = 'instance/{id}'"),
        ] {
            World::get().root("pg-a", &sql).await.unwrap();
        }
        tenant_again(&mut life).await.unwrap();
        claims_again(&life).await.unwrap();
        instance_again(&life, json!({})).await.unwrap();
        rounds(&mut life).await;
        let (_, reason, message) = condition(&life, INSTANCE, "DatabaseReady").await;
        assert!(
            reason == "DatabaseNotFound" && message.contains("volume claim"),
            "files without their database: {message}"
        );
        assert_eq!(secrets_of(&life).await, Vec::<String>::new());
        let secrets: Api<Secret> = Api::namespaced(base.clone(), &life.namespace());
        secrets.create(&PostParams::default(), &keys).await.unwrap();
        rounds(&mut life).await;
        let (_, reason, message) = condition(&life, INSTANCE, "DatabaseReady").await;
        assert_eq!(reason, "DatabaseNotFound", "{message}");
        assert!(message.contains(&keys.name_any()), "{message}");
        assert_eq!(secrets_of(&life).await, [keys.name_any()]);
    });
}

#[test]
fn a_server_that_cannot_be_asked_holds_up_an_id_that_was_given_and_not_a_new_one() {
    run(true, |base| async move {
        let mut life = Life::new(&base, "asked");
        life.drive(Step::Found, None).await.unwrap_or_else(|e| panic!("{e}"));
        let mut random = [0; 10];
        tenantry_operator::context::system_random(&mut random).unwrap();
        life.instance_id = Some(Id::mint(random).to_string());
        let away = Away::new("pg-b");
        instance_again(&life, json!({})).await.unwrap();
        life.round().await.unwrap();
        let (_, reason, message) = condition(&life, INSTANCE, "DatabaseReady").await;
        assert_eq!(reason, "ServerNotAsked", "{message}");
        assert!(message.contains("pg-b"), "{message}");
        assert_eq!(secrets_of(&life).await, Vec::<String>::new());

        // One whose id was minted together with it, as the command line does.
        let mut young = Life::new(&base, "young");
        young.drive(Step::Found, None).await.unwrap_or_else(|e| panic!("{e}"));
        tenantry_operator::context::system_random(&mut random).unwrap();
        let mut object = young.instance_object(&json!({"id": Id::mint(random).to_string(), "databaseServer": "pg-a"}));
        let minted = Timestamp::now().to_string();
        object.metadata.annotations = Some([(names::ANNOTATION_MINTED.to_owned(), minted)].into());
        young.instances().create(&PostParams::default(), &object).await.unwrap();
        rounds(&mut young).await;
        assert_eq!(phase(&young).await, InstancePhase::Ready, "{}", young.describe().await);

        drop(away);
        life.operator = Operator::new(&base);
        rounds(&mut life).await;
        assert_eq!(phase(&life).await, InstancePhase::Ready, "{}", life.describe().await);
    });
}

#[test]
fn a_fault_at_any_call_of_a_take_over_ends_with_the_same_data_and_a_password_that_fits() {
    run(false, |base| async move {
        let calls = taken_over(&base, None).await.unwrap_or_else(|e| panic!("undisturbed: {e}"));
        let first = calls.iter().position(|call| call.contains("/crminstances/")).unwrap_or(0) + 1;
        let faults = sampled(first..=calls.len()).flat_map(|k| [(k, Mode::Timeout), (k, Mode::CrashAfter)]);
        let lives = futures::stream::iter(faults).map(|fault| one_of_it(&base, fault)).buffer_unordered(AT_ONCE);
        let failures: Vec<_> = lives.filter_map(|outcome| async move { outcome.err() }).collect().await;
        assert!(failures.is_empty(), "{} lives failed:\n{}", failures.len(), failures.join("\n"));
    });
}

async fn one_of_it(base: &Client, fault: (usize, Mode)) -> Outcome {
    taken_over(base, Some(fault)).await.map(drop).map_err(|e| format!("{fault:?}: {e}"))
}

/// An instance that comes back to its data, with one call failing. Gives the calls.
async fn taken_over(base: &Client, fault: Option<(usize, Mode)>) -> Outcome<Vec<String>> {
    let mut life = ready(base, "taken").await;
    let keys = lose_cluster(&life).await;
    tenant_again(&mut life).await?;
    restore(&life, &keys).await?;
    instance_again(&life, json!({})).await?;
    life.operator = Operator::new(base);
    let drive = life.drive(Step::Create, fault.map(Into::into)).await?;
    let rows = rows(&life).await?;
    if rows != "a row of the customer" {
        return Err(format!("its data is {rows:?}"));
    }
    life.check(Step::Create, None).await?;
    Ok(drive.calls)
}

#[test]
fn applying_the_same_objects_again_writes_nothing() {
    run(false, |base| async move {
        let mut life = ready(&base, "git").await;
        let objects = [
            serde_json::to_value(life.tenant_object(&json!({"id": life.tenant_id}))).unwrap(),
            serde_json::to_value(life.instance_object(&json!({"id": life.instance_id}))).unwrap(),
        ];
        for object in &objects {
            apply(&base, object.clone()).await;
        }
        rounds(&mut life).await;
        let before = versions(&life).await.unwrap();
        for object in &objects {
            apply(&base, object.clone()).await;
        }
        life.check_rest().await.unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(versions(&life).await.unwrap(), before);
    });
}

#[test]
fn an_instance_with_the_name_of_an_archived_one_gets_a_new_id_and_new_data() {
    run(false, |base| async move {
        let mut life = ready(&base, "name").await;
        let old = life.instance_id.clone().unwrap();
        life.instances().delete(INSTANCE, &DeleteParams::default()).await.unwrap();
        rounds(&mut life).await;
        life.instance_id = None;
        life.instances().create(&PostParams::default(), &life.instance_object(&json!({}))).await.unwrap();
        life.drive(Step::Create, None).await.unwrap_or_else(|e| panic!("{e}"));
        assert_ne!(life.instance_id.as_ref(), Some(&old));
        assert!(rows(&life).await.is_err(), "it sees the old data");
        let kept = format!("SELECT state FROM databases WHERE owner = 'instance/{old}'");
        assert_eq!(World::get().root("pg-a", &kept).await.as_deref(), Ok("archived"));
    });
}
