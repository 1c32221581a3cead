//! Work that was broken off: a database archived before it was made its own, a template left half dropped. Does I/O.

use k8s_openapi::api::batch::v1::Job;
use kube::Client;
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use serde_json::{Value, json};
use tenantry_api::crm_instance::InstancePhase;

use crate::life::{INSTANCE, Life};
use crate::scenarios::{condition, run};
use crate::world::{SYSTEM, World, blueprint, fixture};

/// A tenant on `pg-a` whose instance, of a product of its own, was looked at some times.
pub async fn begun(base: &Client, what: &str, spec: Value) -> Life {
    let mut life = Life::new(base, what);
    life.blueprint = World::get().name(what);
    blueprint(base, &life.blueprint, spec).await;
    life.tenants().create(&PostParams::default(), &life.tenant_object(&json!({}))).await.unwrap();
    rounds(&mut life).await;
    let object = life.instance_object(&json!({"databaseServer": "pg-a"}));
    life.instances().create(&PostParams::default(), &object).await.unwrap();
    rounds(&mut life).await;
    life
}

/// Looks at everything some times.
pub async fn rounds(life: &mut Life) {
    for _ in 0..5 {
        life.round().await.unwrap();
    }
}

/// Asks the first server as its administrator.
pub async fn root(sql: &str) -> String {
    World::get().root("pg-a", sql).await.unwrap()
}

#[test]
fn an_instance_archived_before_it_was_made_its_own_is_made_its_own_when_it_is_taken_over() {
    run(false, |base| async move {
        // The first step fails until this role exists.
        let switch = World::get().name("switch").replace('-', "_");
        let mut spec = fixture("key={{ secrets.key }}\n");
        let first =
            json!({"name": "switch", "sql": format!("SELECT 1 / count(*) FROM pg_roles WHERE rolname = '{switch}'")});
        spec["personalise"]["steps"].as_array_mut().unwrap().insert(0, first);
        let mut life = begun(&base, "early", spec).await;
        let (_, _, message) = condition(&life, INSTANCE, "Installed").await;
        assert!(message.contains("personalise[switch]"), "{message}");
        let state = format!("SELECT state FROM databases WHERE name = '{}'", life.database_name());
        assert_eq!(root(&state).await, "loaded");

        life.instances().delete(INSTANCE, &DeleteParams::default()).await.unwrap();
        rounds(&mut life).await;
        assert_eq!(life.instance().await.unwrap(), None);
        assert_eq!(root(&state).await, "archived");

        root(&format!("CREATE ROLE {switch}")).await;
        let id = life.instance_id.clone().unwrap();
        let object = life.instance_object(&json!({"id": id, "adopt": format!("{id}-1")}));
        life.instances().create(&PostParams::default(), &object).await.unwrap();
        rounds(&mut life).await;
        let status = life.instance().await.unwrap().unwrap().status.unwrap();
        assert_eq!(status.phase, InstancePhase::Ready, "{status:?}");
        assert_eq!(root(&state).await, "personalised");
        assert_eq!(life.sql("pg-a", "SELECT note FROM facts").await, Ok(id), "the steps were not made");
        root(&format!("DROP ROLE {switch}")).await;
    });
}

#[test]
fn a_template_that_was_left_half_dropped_is_built_again() {
    run(false, |base| async move {
        let mut spec = fixture("key={{ secrets.key }}\n");
        spec["install"] = json!({"steps": [{"name": "make", "command": ["make-everything"]}]});
        let mut life = begun(&base, "template", spec).await;
        let (_, reason, message) = condition(&life, INSTANCE, "Installed").await;
        // Its job runs, as far as it can in a cluster without a node, which the scheduler tells sooner or later.
        assert!(["BuildingTemplate", "NoNode"].contains(&reason.as_str()), "{reason}: {message}");
        let mine = format!("owner LIKE 'template/{}/%'", life.blueprint);
        let look = format!("SELECT state || ' ' || generation FROM databases WHERE {mine}");
        assert_eq!(root(&look).await, "installing 1");

        root(&format!("UPDATE databases SET state = 'dropping' WHERE {mine}")).await;
        rounds(&mut life).await;
        assert_eq!(root(&look).await, "installing 2");
        // A job that belongs to another database of this name says nothing of this one.
        root(&format!("UPDATE databases SET generation = 7 WHERE {mine}")).await;
        rounds(&mut life).await;
        assert_eq!(root(&look).await, "installing 3");

        let api: Api<Job> = Api::namespaced(base.clone(), SYSTEM);
        let (background, all) = (DeleteParams::background(), ListParams::default().labels("tenantry.dev/template"));
        for job in api.list(&all).await.unwrap().items {
            api.delete(job.metadata.name.as_deref().unwrap_or_default(), &background).await.unwrap();
        }
    });
}
