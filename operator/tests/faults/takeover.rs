//! Data never changes hands unasked: foreign archives, one id twice, lost keys and records, a release that moved on. Does I/O.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::json;
use tenantry_api::archive::ArchivePhase;
use tenantry_api::condition::find;
use tenantry_core::id::Id;
use tenantry_core::names;
use tenantry_operator::cluster::dynamic_api;
use tenantry_plan::Kind;

use crate::life::{INSTANCE, Life, Step};
use crate::picture::{same, versions};
use crate::scenarios::{children_of, condition, ready, run};
use crate::world::{Operator, SYSTEM, World, apply, fixture};

#[test]
fn an_instance_of_another_tenant_cannot_adopt_an_archive() {
    run(false, |base| async move {
        let mut owner = ready(&base, "owner").await;
        owner.drive(Step::Delete, None).await.unwrap_or_else(|e| panic!("{e}"));
        let (_, id) = owner.ids().unwrap();
        let before = owner.picture().await.unwrap();

        let mut thief = ready(&base, "thief").await;
        let untouched = versions(&thief).await.unwrap();
        let more = json!({"id": id, "adopt": format!("{id}-1"), "host": format!("stolen.{}", thief.host)});
        let mut object = thief.instance_object(&more);
        object.metadata.name = Some("stolen".into());
        thief.instances().create(&PostParams::default(), &object).await.unwrap();
        for _ in 0..3 {
            thief.round().await.unwrap();
        }
        let (_, reason, message) = condition(&thief, "stolen", "Ready").await;
        assert_eq!(reason, "IdTaken", "{message}");
        assert!(message.contains("another tenant"), "{message}");
        assert_eq!(children_of(&thief, "stolen").await, Vec::<String>::new());
        same(&before, &owner.picture().await.unwrap()).unwrap_or_else(|e| panic!("{e}"));
        // Its removal hurts nobody either.
        thief.instances().delete("stolen", &DeleteParams::default()).await.unwrap();
        for _ in 0..3 {
            thief.round().await.unwrap();
        }
        same(&before, &owner.picture().await.unwrap()).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(versions(&thief).await.unwrap(), untouched);
    });
}

#[test]
fn of_two_tenants_with_one_id_seen_together_one_gets_it() {
    run(false, |base| async move {
        let mut random = [0; 10];
        tenantry_operator::context::system_random(&mut random).unwrap();
        let id = Id::mint(random);
        contest(&base, id.as_str()).await;
    });
}

/// Makes two tenants with one id, which one process sees at once: exactly one has it in the end.
async fn contest(base: &Client, id: &str) -> Life {
    let mut twins = [Life::new(base, "twin"), Life::new(base, "twin")];
    for twin in &twins {
        let object = twin.tenant_object(&json!({"id": id}));
        twin.tenants().create(&PostParams::default(), &object).await.unwrap();
    }
    // Neither has been looked at before both are there, and one process works on both at once.
    let operator = Operator::new(base);
    let [one, two] = &mut twins;
    for _ in 0..4 {
        let (a, b) = futures::future::join(one.round_of(&operator), two.round_of(&operator)).await;
        a.unwrap();
        b.unwrap();
    }
    let mut holders = Vec::new();
    for twin in twins {
        let status = twin.tenant().await.unwrap().unwrap().status.unwrap_or_default();
        if status.namespace.is_some() {
            holders.push(twin);
        } else {
            let said = find(&status.conditions, "Ready").cloned().unwrap();
            assert_eq!(said.reason, "IdTaken", "{said:?}");
        }
    }
    let holder = holders.pop().expect("nobody has the id");
    assert!(holders.is_empty(), "both have the id");
    holder
}

#[test]
fn an_id_whose_holder_is_gone_goes_to_one_of_those_who_come_with_it_unless_there_is_data() {
    run(false, |base| async move {
        // Its finalizer was taken off by hand: nothing is archived, and its namespace says whose it is.
        let mut torn = Life::new(&base, "torn");
        torn.drive(Step::Found, None).await.unwrap_or_else(|e| panic!("{e}"));
        let id = torn.tenant_id.clone().unwrap();
        let off = Patch::Merge(json!({"metadata": {"finalizers": null}}));
        torn.tenants().patch(&torn.name, &PatchParams::default(), &off).await.unwrap();
        torn.tenants().delete(&torn.name, &DeleteParams::default()).await.unwrap();
        assert!(torn.tenant().await.unwrap().is_none());
        let mut other = Life::new(&base, "other");
        other.tenants().create(&PostParams::default(), &other.tenant_object(&json!({"id": id}))).await.unwrap();
        for _ in 0..3 {
            other.round().await.unwrap();
        }
        let status = other.tenant().await.unwrap().unwrap().status.unwrap_or_default();
        let said = find(&status.conditions, "Ready").cloned().unwrap();
        assert!(said.reason == "IdTaken" && said.message.contains(&torn.name), "{said:?}");

        // It went before anything was made with the id but the claim.
        let mut random = [0; 10];
        tenantry_operator::context::system_random(&mut random).unwrap();
        let id = Id::mint(random);
        let claims = dynamic_api(&base, Kind::ConfigMap, Some(SYSTEM));
        let claim = json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": names::id_claim(&id), "namespace": SYSTEM},
            "data": {"kind": "Tenant", "namespace": "", "name": "gone"}});
        apply(&base, claim).await;
        let holder = contest(&base, id.as_str()).await;
        let claim = claims.get(&names::id_claim(&id)).await.unwrap();
        assert_eq!(claim.data.pointer("/data/name").unwrap(), holder.name.as_str());
    });
}

#[test]
fn an_adoption_runs_the_release_that_wrote_the_data_from_its_first_pass() {
    run(false, |base| async move {
        let blueprint = World::get().name("moving");
        let object = |versions: &[&str]| {
            let mut spec = fixture("seats={{ plan.seats }}\n");
            let release = |v: &&str| json!({"version": v, "image": format!("tenantry.local/product:{v}")});
            spec["releases"] = versions.iter().map(release).collect();
            json!({"apiVersion": "tenantry.dev/v1alpha1", "kind": "Blueprint", "metadata": {"name": blueprint}, "spec": spec})
        };
        apply(&base, object(&["1.0"])).await;
        let mut life = Life::new(&base, "moving");
        life.blueprint.clone_from(&blueprint);
        life.drive(Step::Create, None).await.unwrap_or_else(|e| panic!("{e}"));
        life.work().await.unwrap();
        life.drive(Step::Delete, None).await.unwrap_or_else(|e| panic!("{e}"));
        apply(&base, object(&["1.0", "2.0"])).await;

        let deployments: Api<Deployment> = Api::namespaced(base.clone(), &life.namespace());
        let images = || async {
            let all = deployments.list(&ListParams::default()).await.unwrap().items;
            let spec = all.into_iter().filter_map(|d| d.spec?.template.spec);
            spec.flat_map(|s| s.containers).filter_map(|c| c.image).collect::<Vec<_>>()
        };
        let tenant_id = life.tenant_id.clone().unwrap();
        let back = life.tenant_object(&json!({"id": tenant_id, "adopt": format!("{tenant_id}-1")}));
        life.tenants().create(&PostParams::default(), &back).await.unwrap();
        life.round().await.unwrap();
        life.round().await.unwrap();
        let instance_id = life.instance_id.clone().unwrap();
        let back = life.instance_object(&json!({"id": instance_id, "adopt": format!("{instance_id}-1")}));
        life.instances().create(&PostParams::default(), &back).await.unwrap();
        for _ in 0..6 {
            life.round().await.unwrap();
            let seen = images().await;
            assert!(seen.iter().all(|i| i != "tenantry.local/product:2.0"), "{seen:?}");
        }
        assert!(images().await.contains(&"tenantry.local/product:1.0".to_owned()));
    });
}

#[test]
fn keys_cannot_be_changed_by_hand_nor_those_that_an_older_version_made() {
    run(false, |base| async move {
        let mut life = ready(&base, "closed").await;
        let id = Id::parse(life.instance_id.as_deref().unwrap()).unwrap();
        let secrets: Api<Secret> = Api::namespaced(base.clone(), &life.namespace());
        let name = names::keys_secret(&id, 1);
        let made = secrets.get(&name).await.unwrap();
        assert_eq!(made.immutable, Some(true));
        let slip = Patch::Merge(json!({ "stringData": { "admin-password": "other" } }));
        let refused = secrets.patch(&name, &PatchParams::default(), &slip).await.unwrap_err();
        assert!(refused.to_string().contains("immutable"), "{refused}");

        secrets.delete(&name, &DeleteParams::default()).await.unwrap();
        let mut older = made.clone();
        older.immutable = None;
        older.metadata.resource_version = None;
        older.metadata.uid = None;
        secrets.create(&PostParams::default(), &older).await.unwrap();
        life.operator = Operator::new(&base);
        for _ in 0..2 {
            life.round().await.unwrap();
        }
        let closed = secrets.get(&name).await.unwrap();
        assert_eq!((closed.immutable, closed.data), (Some(true), made.data), "closed, and as it was");
    });
}

#[test]
fn lost_keys_are_told_and_never_made_anew() {
    run(false, |base| async move {
        let mut life = ready(&base, "keys").await;
        let id = Id::parse(life.instance_id.as_deref().unwrap()).unwrap();
        let secrets: Api<Secret> = Api::namespaced(base.clone(), &life.namespace());
        let name = names::keys_secret(&id, 1);
        let keys = secrets.get(&name).await.unwrap();
        secrets.delete(&name, &DeleteParams::default()).await.unwrap();
        life.operator = Operator::new(&base);
        for _ in 0..2 {
            life.round().await.unwrap();
        }
        let (status, reason, message) = condition(&life, INSTANCE, "SpecValid").await;
        assert_eq!((status.as_str(), reason.as_str()), ("False", "KeysMissing"), "{message}");
        assert_eq!(secrets.get_opt(&name).await.unwrap(), None);
        // Restored, it goes on as before.
        let mut restored = keys;
        restored.metadata.resource_version = None;
        restored.metadata.uid = None;
        secrets.create(&PostParams::default(), &restored).await.unwrap();
        life.drive(Step::Resume, None).await.unwrap_or_else(|e| panic!("{e}"));
        life.check(Step::Create, None).await.unwrap_or_else(|e| panic!("{e}"));
    });
}

#[test]
fn a_lost_record_of_the_ledger_is_read_from_the_events_even_when_deletion_follows_at_once() {
    run(false, |base| async move {
        let mut life = ready(&base, "record").await;
        life.drive(Step::Suspend, None).await.unwrap_or_else(|e| panic!("{e}"));
        life.drive(Step::Resume, None).await.unwrap_or_else(|e| panic!("{e}"));
        let before = life.picture().await.unwrap();
        let lost = Patch::Merge(json!({"metadata": {"annotations": {names::ANNOTATION_LEDGER: null}}}));
        let params = PatchParams::default();
        life.tenants().patch(&life.name, &params, &lost).await.unwrap();
        life.instances().patch(INSTANCE, &params, &lost).await.unwrap();
        life.operator = Operator::new(&base);
        life.drive(Step::Resume, None).await.unwrap_or_else(|e| panic!("{e}"));
        same(&before, &life.picture().await.unwrap()).unwrap_or_else(|e| panic!("{e}"));

        let events = life.events().await.unwrap().len();
        life.tenants().patch(&life.name, &params, &lost).await.unwrap();
        life.instances().patch(INSTANCE, &params, &lost).await.unwrap();
        life.drive(Step::Delete, None).await.unwrap_or_else(|e| panic!("{e}"));
        let archives = life.my_archives().await.unwrap();
        assert_eq!(archives.len(), 2, "both were archived");
        assert_eq!(life.events().await.unwrap().len(), events + 2, "and both archivals recorded");

        // What cannot be read stops everything instead of counting anew.
        let mut other = ready(&base, "garbled").await;
        let garbled = Patch::Merge(json!({"metadata": {"annotations": {names::ANNOTATION_LEDGER: "{"}}}));
        other.instances().patch(INSTANCE, &params, &garbled).await.unwrap();
        other.instances().delete(INSTANCE, &DeleteParams::default()).await.unwrap();
        for _ in 0..3 {
            other.round().await.unwrap();
        }
        let still = other.instance().await.unwrap().unwrap();
        let said = still.status.unwrap();
        assert!(said.conditions.iter().any(|c| c.reason == "LedgerUnreadable"), "{:?}", said.conditions);
    });
}

#[test]
fn a_purge_that_is_refused_leaves_the_archive_to_who_adopts_it() {
    run(false, |base| async move {
        let mut life = ready(&base, "late").await;
        life.drive(Step::Suspend, None).await.unwrap_or_else(|e| panic!("{e}"));
        life.drive(Step::Resume, None).await.unwrap_or_else(|e| panic!("{e}"));
        life.drive(Step::ChangePlan, None).await.unwrap_or_else(|e| panic!("{e}"));
        life.drive(Step::Delete, None).await.unwrap_or_else(|e| panic!("{e}"));
        let (tenant_id, instance_id) = life.ids().unwrap();
        let back = life.tenant_object(&json!({"id": tenant_id, "adopt": format!("{tenant_id}-1"), "plan": "large"}));
        life.tenants().create(&PostParams::default(), &back).await.unwrap();
        life.round().await.unwrap();
        life.round().await.unwrap();
        let back = life.instance_object(&json!({"id": instance_id, "adopt": format!("{instance_id}-1")}));
        life.instances().create(&PostParams::default(), &back).await.unwrap();
        life.round().await.unwrap();
        // The instance has begun to take the data over when somebody asks for its destruction.
        life.ask_purge(&format!("{instance_id}-1")).await.unwrap();
        life.drive(Step::Adopt, None).await.unwrap_or_else(|e| panic!("{e}"));
        life.check(Step::Adopt, None).await.unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(life.phase_of(&format!("{instance_id}-1")).await.unwrap(), Some(ArchivePhase::Adopted));
        let archive = life.archives().get(&format!("{instance_id}-1")).await.unwrap();
        assert_eq!(archive.name_any(), format!("{instance_id}-1"));
    });
}
