//! Secrets of jobs hold passwords: they go with the job, before the next attempt, and with a purge. Does I/O.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, DeleteParams, ListParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use tenantry_api::archive::ArchivePhase;
use tenantry_core::id::Id;
use tenantry_core::names;

use crate::jobs::finish;
use crate::life::Step;
use crate::scenarios::run;
use crate::unfinished::{begun, root, rounds};
use crate::world::{SYSTEM, blueprint, fixture};

fn with_command(word: &str) -> Value {
    let mut spec = fixture("key={{ secrets.key }}\n");
    let own = json!({"name": "own", "command": ["make-own", word]});
    spec["personalise"]["steps"].as_array_mut().unwrap().push(own);
    spec
}

/// Names of the Secrets that a selector matches, and of the jobs that own them.
async fn secrets(base: &Client, namespace: &str, selector: &str) -> Vec<(String, Vec<String>)> {
    let api: Api<Secret> = Api::namespaced(base.clone(), namespace);
    let all = api.list(&ListParams::default().labels(selector)).await.unwrap().items;
    let owners = |s: &Secret| s.owner_references().iter().map(|o| format!("{} {}", o.kind, o.name)).collect();
    all.iter().map(|s| (s.name_any(), owners(s))).collect()
}

#[test]
fn the_secret_of_a_failed_attempt_goes_before_the_next_and_the_last_one_with_a_purge() {
    run(false, |base| async move {
        let mut life = begun(&base, "attempts", with_command("first")).await;
        let id = Id::parse(life.instance_id.as_deref().unwrap()).unwrap();
        let (namespace, purpose) = (life.namespace(), format!("{}=personalise-g1", names::LABEL_PURPOSE));
        let job = |attempt| names::personalise_job(&id, 1, attempt);
        let owned = |attempt| vec![(job(attempt), vec![format!("Job {}", job(attempt))])];
        assert_eq!(secrets(&base, &namespace, &purpose).await, owned(1));
        finish(&base, &namespace, &job(1), false).await.unwrap();
        blueprint(&base, &life.blueprint, with_command("second")).await;
        rounds(&mut life).await;
        assert_eq!(secrets(&base, &namespace, &purpose).await, owned(2));

        // The second fails as well, and nobody tries a third time.
        finish(&base, &namespace, &job(2), false).await.unwrap();
        life.drive(Step::Delete, None).await.unwrap_or_else(|e| panic!("{e}"));
        let archive = format!("{id}-1");
        life.ask_purge(&archive).await.unwrap();
        for _ in 0..5 {
            life.controllers_rest().await.unwrap();
            life.round().await.unwrap();
        }
        assert_eq!(life.phase_of(&archive).await.unwrap(), Some(ArchivePhase::Purged));
        let of_it = format!("{}={id}", names::LABEL_INSTANCE_ID);
        assert_eq!(secrets(&base, &namespace, &of_it).await, Vec::new());
    });
}

#[test]
fn the_secret_of_an_attempt_that_did_its_work_goes() {
    run(false, |base| async move {
        let mut life = begun(&base, "well", with_command("well")).await;
        let id = Id::parse(life.instance_id.as_deref().unwrap()).unwrap();
        let (namespace, purpose) = (life.namespace(), format!("{}=personalise-g1", names::LABEL_PURPOSE));
        finish(&base, &namespace, &names::personalise_job(&id, 1, 1), true).await.unwrap();
        rounds(&mut life).await;
        assert_eq!(secrets(&base, &namespace, &purpose).await, Vec::new());
    });
}

#[test]
fn the_secret_of_a_template_that_is_built_can_be_deleted_and_goes_before_the_next_attempt() {
    run(false, |base| async move {
        let mut spec = fixture("key={{ secrets.key }}\n");
        spec["install"] = json!({"steps": [{"name": "make", "command": ["make-everything"]}]});
        let mut life = begun(&base, "building", spec).await;
        let jobs: Api<Job> = Api::namespaced(base.clone(), SYSTEM);
        let all = jobs.list(&ListParams::default().labels("tenantry.dev/template")).await.unwrap().items;
        let mine = format!("owner LIKE 'template/{}/%'", life.blueprint);
        let hash = root(&format!("SELECT release_hash FROM databases WHERE {mine}")).await;
        let job = |attempt| names::template_job(&life.blueprint, &hash, "pg-a", attempt);
        let (first, second) = (job(1), job(2));
        let key = all.iter().find(|j| j.name_any() == first).unwrap().labels()["tenantry.dev/template"].clone();
        let selector = format!("tenantry.dev/template={key}");
        let found = secrets(&base, SYSTEM, &selector).await;
        assert_eq!(found, [(first.clone(), vec![format!("Job {first}")])]);
        // The label of a database server protects its data: it would keep people, and the cluster, from deleting this.
        assert!(secrets(&base, SYSTEM, &format!("{selector},{}", names::LABEL_DATABASE_SERVER)).await.is_empty());

        root(&format!("UPDATE databases SET state = 'dropping' WHERE {mine}")).await;
        rounds(&mut life).await;
        assert_eq!(secrets(&base, SYSTEM, &selector).await, [(second.clone(), vec![format!("Job {second}")])]);
        for job in [first, second] {
            jobs.delete(&job, &DeleteParams::background()).await.unwrap();
        }
    });
}
