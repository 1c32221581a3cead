//! Purging: nothing is said to be gone that is there, and nothing goes that no archive names. Does I/O.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use tenantry_api::archive::{Archive, ArchivePhase};
use tenantry_api::condition::find;
use tenantry_api::crm_instance::CrmInstance;
use tenantry_api::database_server::DatabaseServer;
use tenantry_api::tenant::Tenant;
use tenantry_core::names;
use tenantry_operator::cluster::dynamic_api;
use tenantry_plan::Kind;

use crate::life::{INSTANCE, Life, Step};
use crate::scenarios::{children_of, condition, ready, run};
use crate::unfinished::root;
use crate::volumes::{policy, volume_for, with_volume};
use crate::world::Operator;

/// What the controllers of Kubernetes may take.
const PATIENCE: Duration = Duration::from_secs(90);

/// Phase of an archive, and reason and message of its condition.
pub async fn purging(life: &Life, archive: &str) -> (ArchivePhase, String, String) {
    let status = life.archives().get(archive).await.unwrap().status.unwrap_or_default();
    let said = find(&status.conditions, "Purged").cloned().unwrap_or_else(|| panic!("{status:?}"));
    (status.phase, said.reason, said.message)
}

/// How many events of a kind there are of the tenant and its instances.
pub async fn events(life: &Life, kind: &str) -> usize {
    let all = life.events().await.unwrap();
    all.iter().filter(|e| e.spec.event_type.ends_with(kind)).count()
}

/// Waits until something of Kubernetes is as it should be.
pub async fn until<F: Future<Output = bool>>(what: &str, is: impl Fn() -> F) {
    let start = Instant::now();
    while !is().await {
        assert!(start.elapsed() < PATIENCE, "{what}: not after {} s", PATIENCE.as_secs());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn hold(base: &Client, namespace: &str, claim: &str, on: bool) {
    let api: Api<PersistentVolumeClaim> = Api::namespaced(base.clone(), namespace);
    let held = if on { json!(["kubernetes.io/pvc-protection", "example.org/mounted"]) } else { json!([]) };
    let patch = Patch::Merge(json!({"metadata": {"finalizers": held}}));
    api.patch(claim, &PatchParams::default(), &patch).await.unwrap();
}

#[test]
fn nothing_counts_as_purged_while_a_claim_or_the_volume_behind_it_is_there() {
    run(false, |base| async move {
        let (mut life, claim) = with_volume(&base, "readable").await;
        let (namespace, archive) = (life.namespace(), format!("{}-1", life.ids().unwrap().1));
        life.drive(Step::Delete, None).await.unwrap_or_else(|e| panic!("{e}"));
        hold(&base, &namespace, &claim, true).await;

        life.ask_purge(&archive).await.unwrap();
        for _ in 0..3 {
            life.round().await.unwrap();
        }
        let (phase, reason, message) = purging(&life, &archive).await;
        assert_eq!((phase, reason.as_str()), (ArchivePhase::Purging, "RemovingVolumes"), "{message}");
        assert!(message.contains(&claim), "{message}");
        assert_eq!(events(&life, "purged").await, 0, "it is billed as gone while its files can be read");

        hold(&base, &namespace, &claim, false).await;
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(base.clone(), &namespace);
        let volumes: Api<PersistentVolume> = Api::all(base.clone());
        until("the claim goes", || async { claims.get_opt(&claim).await.unwrap().is_none() }).await;
        // Nothing in this cluster can remove what is behind it, and the controller of volumes says so.
        until("the volume fails", || async {
            let status = volumes.get(&claim).await.unwrap().status;
            status.and_then(|s| s.phase).as_deref() == Some("Failed")
        })
        .await;
        // Another process knows of the volume, too.
        life.operator = Operator::new(&base);
        life.round().await.unwrap();
        let (phase, reason, message) = purging(&life, &archive).await;
        assert_eq!((phase, reason.as_str()), (ArchivePhase::Purging, "VolumeNotRemoved"), "{message}");
        assert_eq!((policy(&base, &claim).await.as_deref(), events(&life, "purged").await), (Some("Delete"), 0));

        volumes.delete(&claim, &DeleteParams::default()).await.unwrap();
        until("the volume goes", || async { volumes.get_opt(&claim).await.unwrap().is_none() }).await;
        for _ in 0..2 {
            life.round().await.unwrap();
        }
        let (phase, reason, message) = purging(&life, &archive).await;
        assert_eq!((phase, reason.as_str()), (ArchivePhase::Purged, "Done"), "{message}");
        assert_eq!(events(&life, "purged").await, 1);
        life.check_rest().await.unwrap_or_else(|e| panic!("{e}"));
    });
}

/// Deletes a claim of which nothing is held, and waits until Kubernetes says that the volume behind it is nobody's.
async fn lose_claim(base: &Client, namespace: &str, claim: &str) {
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(base.clone(), namespace);
    let volumes: Api<PersistentVolume> = Api::all(base.clone());
    claims.delete(claim, &DeleteParams::default()).await.unwrap();
    until("the volume is released", || async {
        let status = volumes.get(claim).await.unwrap().status;
        claims.get_opt(claim).await.unwrap().is_none() && status.and_then(|s| s.phase).as_deref() == Some("Released")
    })
    .await;
}

#[test]
fn a_volume_whose_claim_somebody_deleted_before_the_purge_is_found_and_gone_before_anything_counts_as_purged() {
    run(false, |base| async move {
        for archived_first in [true, false] {
            let (mut life, claim) = with_volume(&base, "unclaimed").await;
            let (_, id) = life.ids().unwrap();
            let (namespace, archive) = (life.namespace(), format!("{id}-1"));
            // One of the same namespace that no archive speaks of.
            let foreign = format!("by-hand-{id}");
            volume_for(&base, "standard", &namespace, &foreign).await;
            tenantry_operator::archive::set_policy(&Operator::new(&base).ctx, &foreign, "Retain").await.unwrap();
            if !archived_first {
                lose_claim(&base, &namespace, &claim).await;
            }
            life.drive(Step::Delete, None).await.unwrap_or_else(|e| panic!("{e}"));
            let named = life.archives().get(&archive).await.unwrap().spec.volumes;
            assert_eq!(named, if archived_first { vec![claim.clone()] } else { vec![] }, "what the archive names");
            if archived_first {
                lose_claim(&base, &namespace, &claim).await;
            }

            life.ask_purge(&archive).await.unwrap();
            life.round().await.unwrap();
            assert_eq!(purging(&life, &archive).await.0, ArchivePhase::Purging);
            let noted = life.archives().get(&archive).await.unwrap().status.unwrap().volumes;
            assert_eq!(noted, [claim.as_str()], "what leads to it is stored, and nothing that is not its own");
            // Another process goes on, once the Secrets are gone.
            life.operator = Operator::new(&base);
            life.round().await.unwrap();
            let (phase, reason, message) = purging(&life, &archive).await;
            assert_eq!((phase, reason.as_str()), (ArchivePhase::Purging, "RemovingVolumes"), "{message}");
            assert!(message.contains(&claim), "{message}");
            assert_eq!((policy(&base, &claim).await.as_deref(), events(&life, "purged").await), (Some("Delete"), 0));

            // Nothing in this cluster can remove what is behind it, and the controller of volumes says so.
            let volumes: Api<PersistentVolume> = Api::all(base.clone());
            until("the volume fails", || async {
                let status = volumes.get(&claim).await.unwrap().status;
                status.and_then(|s| s.phase).as_deref() == Some("Failed")
            })
            .await;
            rounds(&mut life).await;
            let (phase, reason, message) = purging(&life, &archive).await;
            assert_eq!((phase, reason.as_str()), (ArchivePhase::Purging, "VolumeNotRemoved"), "{message}");
            assert!(message.contains(&format!("kubectl delete pv {claim}")), "{message}");
            assert_eq!(events(&life, "purged").await, 0, "it is billed as gone while its files can be read");

            volumes.delete(&claim, &DeleteParams::default()).await.unwrap();
            until("the volume goes", || async { volumes.get_opt(&claim).await.unwrap().is_none() }).await;
            rounds(&mut life).await;
            let (phase, reason, message) = purging(&life, &archive).await;
            assert_eq!((phase, reason.as_str()), (ArchivePhase::Purged, "Done"), "{message}");
            assert_eq!(events(&life, "purged").await, 1);
            assert_eq!(policy(&base, &foreign).await.as_deref(), Some("Retain"), "somebody else's was touched");
            volumes.delete(&foreign, &DeleteParams::default()).await.unwrap();
            life.check_rest().await.unwrap_or_else(|e| panic!("{e}"));
        }
    });
}

/// Takes the finalizers off an object by hand and deletes it: it goes, and nothing is archived.
pub async fn lose<K>(api: &Api<K>, name: &str)
where
    K: kube::Resource + Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let none = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    api.patch(name, &PatchParams::default(), &none).await.unwrap();
    api.delete(name, &DeleteParams::default()).await.unwrap();
}

/// Reconciles some times, with what the controllers of Kubernetes do between.
pub async fn rounds(life: &mut Life) {
    for _ in 0..5 {
        life.controllers_rest().await.unwrap();
        life.round().await.unwrap();
    }
}

/// What `tenantry archive orphan` makes: an object that is never brought up.
fn orphan<K: serde::de::DeserializeOwned>(kind: &str, meta: &Value, id: &str, spec: &Value) -> K {
    let mut meta = meta.clone();
    meta["finalizers"] = json!([names::FINALIZER]);
    meta["annotations"] = json!({names::ANNOTATION_ORPHAN: id});
    serde_json::from_value(json!({"apiVersion": "tenantry.dev/v1alpha1", "kind": kind, "metadata": meta, "spec": spec}))
        .unwrap()
}

/// Archives what is left of the instance of a life, as the command line does.
async fn archive_orphan(life: &mut Life) -> Archive {
    let (_, id) = life.ids().unwrap();
    let spec = json!({"id": id, "tenant": life.name, "blueprint": "unknown", "host": life.host});
    let meta = json!({"name": INSTANCE, "namespace": life.namespace()});
    let object: CrmInstance = orphan("CrmInstance", &meta, &id, &spec);
    life.instances().create(&PostParams::default(), &object).await.unwrap();
    life.round().await.unwrap();
    let seen = life.instance().await.unwrap().unwrap();
    assert_eq!(seen.status, None, "it was brought up");
    life.instances().delete(INSTANCE, &DeleteParams::default()).await.unwrap();
    rounds(life).await;
    assert_eq!(life.instance().await.unwrap(), None);
    life.archives().get(&format!("{id}-1")).await.unwrap()
}

/// The databases without owner that are found on a server, by name. The server's own status stays as it is: who is
/// placed where depends on it, in all tests.
async fn told_of(base: &Client, server: &str) -> Vec<String> {
    let servers: Api<DatabaseServer> = Api::all(base.clone());
    let object = servers.get(server).await.unwrap();
    let ctx = Operator::new(base).ctx;
    let settings = ctx.settings().await.unwrap();
    let server = tenantry_operator::sql::administration(&ctx, &object, &settings).await.unwrap();
    let (_, told) = tenantry_operator::archive::orphans::on_server(&ctx, &server).await.unwrap();
    told.into_iter().map(|o| o.name).collect()
}

#[test]
fn a_tenant_is_not_purged_while_there_is_more_of_it_than_archives_name_and_that_can_be_archived() {
    run(false, |base| async move {
        let mut life = ready(&base, "more").await;
        let (tenant_id, id) = life.ids().unwrap();
        let (namespace, database) = (life.namespace(), life.database_name());
        lose(&life.instances(), INSTANCE).await;
        life.drive(Step::Delete, None).await.unwrap_or_else(|e| panic!("{e}"));
        assert!(told_of(&base, "pg-a").await.contains(&database), "nobody tells of it");

        life.ask_purge(&format!("{tenant_id}-1")).await.unwrap();
        rounds(&mut life).await;
        let (phase, reason, message) = purging(&life, &format!("{tenant_id}-1")).await;
        assert_eq!((phase, reason.as_str()), (ArchivePhase::Archived, "Orphans"), "{message}");
        for part in [
            format!("database {database} on pg-a"),
            format!("volume claim {id}-files-g1"),
            format!("Deployment {id}-web"),
            format!("`tenantry archive orphan {tenant_id}/{id}`"),
        ] {
            assert!(message.contains(&part), "{part} is not in: {message}");
        }
        let spaces = dynamic_api(&base, Kind::Namespace, None);
        assert_eq!(spaces.get(&namespace).await.unwrap().metadata.deletion_timestamp, None);
        assert_eq!(life.sql("pg-a", "SELECT name FROM customer").await.as_deref(), Ok("a row of the customer"));

        let archive = archive_orphan(&mut life).await;
        assert_eq!(archive.spec.databases.iter().map(|d| d.name.as_str()).collect::<Vec<_>>(), [database.as_str()]);
        assert_eq!(archive.spec.volumes, [format!("{id}-files-g1")]);
        assert_eq!(archive.spec.secrets.len(), 2, "{:?}", archive.spec.secrets);
        assert!(archive.spec.release_hash.is_some() && archive.spec.object.contains(r#""blueprint":"fixture""#));
        let left = children_of(&life, INSTANCE).await;
        assert!(
            !left.iter().any(|c| c.starts_with("Deployment") || c.starts_with("Ingress")),
            "it still runs: {left:?}"
        );
        assert_eq!(life.sql("pg-a", "SELECT 1").await, Err("log-in refused".into()), "the role is not locked");
        assert!(!told_of(&base, "pg-a").await.contains(&database), "it is told of for ever");

        // From here on it goes the ordinary way.
        life.ask_purge(&format!("{id}-1")).await.unwrap();
        rounds(&mut life).await;
        for archive in [format!("{id}-1"), format!("{tenant_id}-1")] {
            let (phase, reason, message) = purging(&life, &archive).await;
            assert_eq!((phase, reason.as_str()), (ArchivePhase::Purged, "Done"), "{archive}: {message}");
        }
        assert_eq!(root(&format!("SELECT count(*) FROM databases WHERE tenant = '{tenant_id}'")).await, "0");
        let kinds: Vec<String> = life.events().await.unwrap().into_iter().map(|e| e.name_any()).collect();
        // Installed, archived and purged of the instance; archived and purged of the tenant.
        assert_eq!((kinds.len(), events(&life, "purged").await), (5, 2), "{kinds:?}");
        life.check_rest().await.unwrap_or_else(|e| panic!("{e}"));
    });
}

#[test]
fn a_volume_that_somebody_else_made_in_a_tenants_namespace_keeps_it_from_being_purged() {
    run(false, |base| async move {
        let mut life = ready(&base, "foreign").await;
        let (tenant_id, id) = life.ids().unwrap();
        life.drive(Step::Delete, None).await.unwrap_or_else(|e| panic!("{e}"));
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(base.clone(), &life.namespace());
        let foreign = json!({"metadata": {"name": "by-hand"}, "spec": {"accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1M"}}}});
        claims.create(&PostParams::default(), &serde_json::from_value(foreign).unwrap()).await.unwrap();
        life.ask_purge(&format!("{id}-1")).await.unwrap();
        life.ask_purge(&format!("{tenant_id}-1")).await.unwrap();
        rounds(&mut life).await;
        let (phase, reason, message) = purging(&life, &format!("{tenant_id}-1")).await;
        assert_eq!((phase, reason.as_str()), (ArchivePhase::Archived, "Orphans"), "{message}");
        assert!(message.contains("volume claim by-hand") && message.contains("kubectl"), "{message}");
        claims.delete("by-hand", &DeleteParams::default()).await.unwrap();
        rounds(&mut life).await;
        assert_eq!(purging(&life, &format!("{tenant_id}-1")).await.0, ArchivePhase::Purged);
    });
}

#[test]
fn a_tenant_whose_object_is_lost_is_archived_with_its_instances_and_its_plan_is_known() {
    run(false, |base| async move {
        let mut life = ready(&base, "lost-tenant").await;
        for step in [Step::Suspend, Step::Resume] {
            life.drive(step, None).await.unwrap_or_else(|e| panic!("{e}"));
        }
        let (id, instance_id) = life.ids().unwrap();
        lose(&life.tenants(), &life.name.clone()).await;
        let spec = json!({"id": id, "plan": "unknown"});
        let object: Tenant = orphan("Tenant", &json!({"name": life.name}), &id, &spec);
        life.tenants().create(&PostParams::default(), &object).await.unwrap();
        life.round().await.unwrap();
        assert_eq!(life.tenant().await.unwrap().unwrap().status, None, "it was brought up");
        life.drive(Step::Delete, None).await.unwrap_or_else(|e| panic!("{e}"));
        let archive = life.archives().get(&format!("{id}-1")).await.unwrap();
        assert!(archive.spec.object.contains(r#""plan":"small""#), "{}", archive.spec.object);
        assert_eq!(life.phase_of(&format!("{instance_id}-1")).await.unwrap(), Some(ArchivePhase::Archived));
        assert_eq!(events(&life, "archived").await, 2);
    });
}

#[test]
fn a_host_whose_holder_is_gone_can_be_had_once_nothing_serves_it_any_more() {
    run(false, |base| async move {
        let mut life = ready(&base, "holder").await;
        let (tenant_id, id) = life.ids().unwrap();
        lose(&life.instances(), INSTANCE).await;
        let mut heir = Life::new(&base, "heir");
        heir.host.clone_from(&life.host);
        heir.tenants().create(&PostParams::default(), &heir.tenant_object(&json!({}))).await.unwrap();
        rounds(&mut heir).await;
        heir.instances().create(&PostParams::default(), &heir.instance_object(&json!({}))).await.unwrap();
        rounds(&mut heir).await;
        let (_, reason, message) = condition(&heir, INSTANCE, "HostClaimed").await;
        assert_eq!(reason, "HostOrphaned", "{message}");
        assert!(message.contains(&format!("`tenantry archive orphan {tenant_id}/{id}`")), "{message}");

        let ingresses = dynamic_api(&base, Kind::Ingress, Some(&life.namespace()));
        ingresses.delete(&id, &DeleteParams::default()).await.unwrap();
        heir.drive(Step::Create, None).await.unwrap_or_else(|e| panic!("{e}"));
        // What had it once does not take it along when it is archived.
        archive_orphan(&mut life).await;
        heir.check_rest().await.unwrap_or_else(|e| panic!("{e}"));
        let claims = dynamic_api(&base, Kind::ConfigMap, Some(crate::world::SYSTEM));
        let claim = claims.get(&names::host_claim(&heir.host)).await.unwrap();
        assert_eq!(claim.labels().get(names::LABEL_INSTANCE_ID), heir.instance_id.as_ref());
    });
}

#[test]
fn what_was_purged_knows_nobody_any_more_and_no_archive_ever_knows_a_secret() {
    run(false, |base| async move {
        let blueprint = crate::world::World::get().name("private");
        let mut spec = crate::world::fixture("key={{ secrets.key }}\n");
        spec["settings"] = json!({"smtpPassword": {"secret": true}, "smtpHost": {}});
        crate::world::blueprint(&base, &blueprint, spec).await;
        let mut life = Life::new(&base, "private");
        life.blueprint = blueprint;
        let contacts = json!({"contacts": ["boss@customer.example"]});
        life.tenants().create(&PostParams::default(), &life.tenant_object(&contacts)).await.unwrap();
        rounds(&mut life).await;
        let settings = json!({"adminEmail": "boss@customer.example",
            "settings": {"smtpPassword": "hunter2hunter2", "smtpHost": "mail.example"}});
        life.instances().create(&PostParams::default(), &life.instance_object(&settings)).await.unwrap();
        life.drive(Step::Create, None).await.unwrap_or_else(|e| panic!("{e}"));
        life.work().await.unwrap();
        let (tenant_id, id) = life.ids().unwrap();
        life.drive(Step::Delete, None).await.unwrap_or_else(|e| panic!("{e}"));
        let archive = life.archives().get(&format!("{id}-1")).await.unwrap();
        assert!(!archive.spec.object.contains("hunter2"), "{}", archive.spec.object);
        assert!(archive.spec.object.contains("mail.example"), "{}", archive.spec.object);

        // It comes back with the secret: the archive says where that lies.
        life.tenants()
            .create(
                &PostParams::default(),
                &life.tenant_object(&json!({"id": tenant_id, "adopt": format!("{tenant_id}-1"),
                    "contacts": ["boss@customer.example"]})),
            )
            .await
            .unwrap();
        rounds(&mut life).await;
        let mut back: Value = serde_json::from_str(&archive.spec.object).unwrap();
        back["adopt"] = format!("{id}-1").into();
        life.instances().create(&PostParams::default(), &life.instance_object(&back)).await.unwrap();
        rounds(&mut life).await;
        let (status, reason, message) = condition(&life, INSTANCE, "SpecValid").await;
        assert_eq!(status, "True", "{reason}: {message}");
        life.drive(Step::DeleteAgain, None).await.unwrap_or_else(|e| panic!("{e}"));
        life.drive(Step::Purge, None).await.unwrap_or_else(|e| panic!("{e}"));
        for archive in life.my_archives().await.unwrap() {
            let text = serde_json::to_string(&archive).unwrap();
            assert!(!text.contains("customer.example") && !text.contains("hunter2"), "{text}");
            assert_eq!(archive.spec.object, "{}");
        }
        life.check_rest().await.unwrap_or_else(|e| panic!("{e}"));
    });
}
