//! What else happens to an operator: a second one, lost records, foreign hands, a database server that is away. Does I/O.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::json;
use tenantry_api::condition::find;
use tenantry_api::crm_instance::{CrmInstance, InstancePhase};
use tenantry_api::database_server::DatabaseServer;
use tenantry_core::names;
use tenantry_operator::cluster::dynamic_api;
use tenantry_plan::Kind;

use crate::exclusive;
use crate::life::{INSTANCE, Life, Step};
use crate::picture::{same, versions};
use crate::world::{Operator, World, client};

/// Runs a test beside others, or alone when it disturbs a database server.
pub fn run<F: Future<Output = ()>>(alone: bool, test: impl FnOnce(Client) -> F) {
    let shared = (!alone).then(|| exclusive().read().unwrap_or_else(std::sync::PoisonError::into_inner));
    let whole = alone.then(|| exclusive().write().unwrap_or_else(std::sync::PoisonError::into_inner));
    World::get();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async { test(client().await).await });
    drop((shared, whole));
}

/// A tenant with a CRM that is ready and has a customer's row.
pub async fn ready(base: &Client, what: &str) -> Life {
    let mut life = Life::new(base, what);
    life.drive(Step::Create, None).await.unwrap_or_else(|e| panic!("{e}"));
    life.work().await.unwrap();
    life
}

#[test]
fn two_operators_at_once_make_one_database_and_one_event_of_each_kind() {
    run(false, |base| async move {
        for _ in 0..3 {
            let mut life = Life::new(&base, "two");
            life.tenants().create(&PostParams::default(), &life.tenant_object(&json!({}))).await.unwrap();
            let both = [Operator::new(&base), Operator::new(&base)];
            for round in 0..12 {
                let tenant = Arc::new(life.tenant().await.unwrap().unwrap());
                let mut instance = None;
                if life.tenant_id.is_some() {
                    instance = life.instance().await.unwrap().map(Arc::new);
                    if instance.is_none() && round > 3 {
                        life.instances()
                            .create(&PostParams::default(), &life.instance_object(&json!({})))
                            .await
                            .unwrap();
                    }
                }
                // Both work from the same, possibly old, objects; conflicts are theirs to solve.
                let work = both.iter().map(|o| {
                    let (tenant, instance) = (tenant.clone(), instance.clone());
                    async move {
                        let _ = tenantry_operator::tenant::reconcile(tenant, &o.ctx, Timestamp::now()).await;
                        if let Some(instance) = instance {
                            let _ = tenantry_operator::instance::reconcile(instance, &o.ctx, Timestamp::now()).await;
                        }
                    }
                });
                futures::future::join_all(work).await;
                life.tenant_id = life.tenant().await.unwrap().unwrap().spec.id;
            }
            life.drive(Step::Create, None).await.unwrap_or_else(|e| panic!("{e}"));
            life.work().await.unwrap();
            life.check(Step::Create, None).await.unwrap_or_else(|e| panic!("{e}"));
            let (tenant_id, instance_id) = life.ids().unwrap();
            let sql = format!("SELECT string_agg(name, ',') FROM databases WHERE tenant = '{tenant_id}'");
            let databases = World::get().root("pg-a", &sql).await.unwrap();
            assert_eq!(databases, format!("crm_{instance_id}_g1"));
            assert_eq!(World::get().root("pg-b", &sql).await.unwrap(), "");
            assert!(life.picture().await.unwrap()["rows"].ends_with("a row of the customer"));
        }
    });
}

#[test]
fn losing_the_whole_status_of_every_object_loses_no_data_and_writes_no_event_twice() {
    run(false, |base| async move {
        let mut life = ready(&base, "lost").await;
        for step in [
            Step::Create,
            Step::Suspend,
            Step::Resume,
            Step::ChangePlan,
            Step::Delete,
            Step::Adopt,
            Step::DeleteAgain,
            Step::Purge,
        ] {
            if step != Step::Create {
                life.drive(step, None).await.unwrap_or_else(|e| panic!("{e}"));
            }
            let before = life.picture().await.unwrap();
            lose_status(&life).await;
            life.operator = Operator::new(&base);
            life.drive(step, None).await.unwrap_or_else(|e| panic!("after the loss at {step:?}: {e}"));
            let after = life.picture().await.unwrap();
            same(&before, &after).unwrap_or_else(|e| panic!("{step:?}: {e}"));
            life.check(step, None).await.unwrap_or_else(|e| panic!("{step:?}: {e}"));
        }
    });
}

#[test]
fn a_lost_claim_of_an_id_is_made_again_and_says_who_has_it() {
    run(false, |base| async move {
        let mut life = ready(&base, "unclaimed").await;
        let claims = dynamic_api(&base, Kind::ConfigMap, Some(&life.operator.ctx.system_namespace));
        let (tenant_id, instance_id) = life.ids().unwrap();
        let claim = |id: &str| names::id_claim(&tenantry_core::id::Id::parse(id).unwrap());
        for id in [&tenant_id, &instance_id] {
            claims.delete(&claim(id), &DeleteParams::default()).await.unwrap();
        }
        // As after the watch told of it, or a start.
        life.operator = Operator::new(&base);
        let _trouble = life.round().await.unwrap();
        for (id, kind) in [(&tenant_id, "Tenant"), (&instance_id, "CrmInstance")] {
            let made = claims.get(&claim(id)).await.unwrap();
            assert_eq!(made.data["data"]["kind"], kind);
        }
        life.check_rest().await.unwrap();
    });
}

pub async fn lose_status(life: &Life) {
    let (params, none) = (PatchParams::default(), Patch::Merge(json!({"status": null})));
    if life.tenant().await.unwrap().is_some() {
        life.tenants().patch_status(&life.name, &params, &none).await.unwrap();
    }
    if life.instance().await.unwrap().is_some() {
        life.instances().patch_status(INSTANCE, &params, &none).await.unwrap();
    }
    for archive in life.my_archives().await.unwrap() {
        life.archives().patch_status(&archive.name_any(), &params, &none).await.unwrap();
    }
}

#[test]
fn a_lost_database_secret_finds_the_same_database_again_with_a_new_password() {
    run(false, |base| async move {
        let mut life = ready(&base, "secret").await;
        let before = life.login().await.unwrap();
        let secrets: Api<Secret> = Api::namespaced(base.clone(), &life.namespace());
        let name = format!("{}-database-g1", life.instance_id.as_deref().unwrap());
        for lose_all in [false, true] {
            secrets.delete(&name, &DeleteParams::default()).await.unwrap();
            if lose_all {
                lose_status(&life).await;
            }
            life.operator = Operator::new(&base);
            life.drive(Step::Resume, None).await.unwrap_or_else(|e| panic!("{e}"));
            life.check(Step::Create, None).await.unwrap_or_else(|e| panic!("{e}"));
            let rows = life.picture().await.unwrap()["rows"].clone();
            assert!(rows.ends_with("a row of the customer"), "{rows}");
        }
        assert_ne!(before.password, life.login().await.unwrap().password);
    });
}

#[test]
fn children_that_are_changed_or_deleted_by_hand_are_restored() {
    run(false, |base| async move {
        let mut life = ready(&base, "hands").await;
        let before = life.picture().await.unwrap();
        let ns = life.namespace();
        let id = life.instance_id.clone().unwrap();
        let changes = [
            (Kind::Deployment, format!("{id}-web"), json!({"spec": {"replicas": 3}})),
            (Kind::Service, id.clone(), json!({"spec": {"selector": {"tenantry.dev/serves": "nothing"}}})),
            (Kind::Ingress, id.clone(), json!({"spec": {"rules": [{"host": "elsewhere.example.org"}]}})),
            (Kind::ResourceQuota, "tenantry".into(), json!({"spec": {"hard": null}})),
            (Kind::NetworkPolicy, "tenantry".into(), json!({"spec": {"egress": [{}]}})),
        ];
        for (kind, name, patch) in &changes {
            let api = dynamic_api(&base, *kind, Some(&ns));
            let changed = api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await;
            let changed: DynamicObject = changed.unwrap_or_else(|e| panic!("{kind:?} {name}: {e}"));
            // What the watch would tell.
            assert!(
                life.operator.ctx.memory.children.observe(*kind, &changed.metadata, false),
                "{kind:?} is taken for our own change"
            );
            restored(&mut life, *kind, name, &before).await;
            let gone = api.get(name).await.unwrap();
            api.delete(name, &DeleteParams::default()).await.unwrap();
            assert!(life.operator.ctx.memory.children.observe(*kind, &gone.metadata, true));
            restored(&mut life, *kind, name, &before).await;
        }
    });
}

async fn restored(life: &mut Life, kind: Kind, name: &str, before: &crate::picture::Picture) {
    life.drive(Step::Resume, None).await.unwrap_or_else(|e| panic!("{e}"));
    let after = life.picture().await.unwrap();
    same(before, &after).unwrap_or_else(|e| panic!("{kind:?} {name}: {e}"));
    life.check(Step::Create, None).await.unwrap_or_else(|e| panic!("{kind:?} {name}: {e}"));
}

#[test]
fn a_database_server_that_is_away_is_told_and_disturbs_only_its_own_tenants() {
    run(true, |base| async move {
        let world = World::get();
        let mut near = ready(&base, "near").await;
        let servers: Api<DatabaseServer> = Api::all(base.clone());
        let mut far = Life::new(&base, "far");
        far.tenants().create(&PostParams::default(), &far.tenant_object(&json!({}))).await.unwrap();
        for _ in 0..2 {
            far.round().await.unwrap();
        }
        let before = versions(&near).await.unwrap();
        near.servers = vec!["pg-a"];
        let away = Away::new("pg-b");
        let object = far.instance_object(&json!({"databaseServer": "pg-b"}));
        far.instances().create(&PostParams::default(), &object).await.unwrap();
        far.round().await.unwrap();
        let instance = far.instance().await.unwrap().unwrap();
        let status = instance.status.unwrap();
        let said = find(&status.conditions, "DatabaseReady").cloned().unwrap_or_else(|| panic!("{status:?}"));
        assert_eq!(
            (said.status.as_str(), said.reason.as_str()),
            ("False", "DatabaseServerUnreachable"),
            "{}",
            said.message
        );
        let named = format!("\"pg-b\" (postgresql, 127.0.0.1:{})", world.ports[1]);
        assert!(said.message.contains(&named), "{}", said.message);
        assert_eq!(status.phase, InstancePhase::Installing);
        let operator = far.operator.clone();
        let pg_b = Arc::new(servers.get("pg-b").await.unwrap());
        operator.ctx.servers.forget("pg-b").await;
        tenantry_operator::server::reconcile(pg_b, &operator.ctx, Timestamp::now()).await.unwrap();
        let phase = servers.get("pg-b").await.unwrap().status.unwrap();
        assert_eq!(format!("{:?}", phase.phase), "Unreachable");
        assert!(find(&phase.conditions, "Reachable").is_some_and(|c| c.status == "False"), "{phase:?}");
        // The neighbour on the other server does not notice, not even when its Secret must be found again.
        near.check(Step::Create, None).await.unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(versions(&near).await.unwrap(), before);
        let mut other = Life::new(&base, "other");
        other.drive(Step::Create, None).await.unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(other.instance().await.unwrap().unwrap().status.unwrap().database.unwrap().server, "pg-a");
        let secrets: Api<Secret> = Api::namespaced(base.clone(), &near.namespace());
        let name = names::database_secret(&names_id(&near), 1);
        secrets.delete(&name, &DeleteParams::default()).await.unwrap();
        near.operator = Operator::new(&base);
        near.drive(Step::Resume, None).await.unwrap_or_else(|e| panic!("{e}"));

        drop(away);
        for _ in 0..20 {
            let pg_b = Arc::new(servers.get("pg-b").await.unwrap());
            tenantry_operator::server::reconcile(pg_b, &operator.ctx, Timestamp::now()).await.unwrap();
            far.round().await.unwrap();
            if far.instance().await.unwrap().unwrap().status.unwrap().phase == InstancePhase::Ready {
                break;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        far.drive(Step::Create, None).await.unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(format!("{:?}", servers.get("pg-b").await.unwrap().status.unwrap().phase), "Ready");
    });
}

/// A database server that does not answer; it goes on when this is dropped, however the test ends.
pub struct Away(&'static str);

impl Away {
    pub fn new(server: &'static str) -> Self {
        World::get().signal(server, "-STOP");
        Self(server)
    }
}

impl Drop for Away {
    fn drop(&mut self) {
        World::get().signal(self.0, "-CONT");
    }
}

fn names_id(life: &Life) -> tenantry_core::id::Id {
    tenantry_core::id::Id::parse(life.instance_id.as_deref().unwrap()).unwrap()
}

/// The condition of an instance, as text: status, reason, message.
pub async fn condition(life: &Life, name: &str, kind: &str) -> (String, String, String) {
    let instance: CrmInstance = life.instances().get(name).await.unwrap();
    let status = instance.status.unwrap_or_default();
    let found = find(&status.conditions, kind).cloned().unwrap_or_else(|| panic!("no {kind} in {status:?}"));
    (found.status, found.reason, found.message)
}

/// How many children of an instance there are in a namespace.
pub async fn children_of(life: &Life, instance: &str) -> Vec<String> {
    let mut all = Vec::new();
    for kind in [Kind::Secret, Kind::PersistentVolumeClaim, Kind::Deployment, Kind::Service, Kind::Ingress] {
        let params = ListParams::default().labels(&format!("{}={instance}", names::LABEL_INSTANCE));
        let list = dynamic_api(&life.base, kind, Some(&life.namespace())).list_metadata(&params).await.unwrap();
        all.extend(list.items.iter().map(|c| format!("{kind:?} {}", c.name_any())));
    }
    all
}
