//! A blueprint that is mended while an instance waits for it: the instance gets the better release, and nothing
//! that came out of an archive is dropped for it. Does I/O.

use futures::StreamExt;
use k8s_openapi::api::batch::v1::Job;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use tenantry_api::crm_instance::InstancePhase;
use tenantry_core::id::Id;
use tenantry_core::names;

use crate::gate::Mode;
use crate::jobs::finish;
use crate::life::{INSTANCE, Life, Outcome, Step};
use crate::scenarios::{condition, run};
use crate::sweep::sampled;
use crate::unfinished::{begun, root, rounds};
use crate::world::{Operator, World, blueprint, fixture};

/// Lives at the same time.
const AT_ONCE: usize = 8;
/// Annotation with the hash of the pinned release.
const PINNED: &str = "tenantry.dev/release";
/// More calls than a round makes.
const ROUND: usize = 300;

/// The fixture with one more step before those that make a copy the instance's own.
fn with_first(title: &str, sql: &str) -> Value {
    let mut spec = fixture("key={{ secrets.key }}\n");
    spec["title"] = title.into();
    let steps = spec["personalise"]["steps"].as_array_mut().unwrap();
    steps.insert(0, json!({"name": "switch", "sql": sql}));
    spec
}

/// The hash of the release that the instance is pinned to.
async fn pinned(life: &Life) -> String {
    let instance = life.instance().await.unwrap().unwrap();
    instance.annotations().get(PINNED).cloned().unwrap_or_default()
}

/// State and release of every database of the instance, as the server's registry says.
async fn databases(life: &Life) -> String {
    let owner = format!("instance/{}", life.instance_id.as_deref().unwrap());
    root(&format!("SELECT string_agg(state || ' ' || release_hash, ', ') FROM databases WHERE owner = '{owner}'")).await
}

#[test]
fn what_came_out_of_an_archive_is_never_dropped_whatever_release_it_was_to_become() {
    run(false, |base| async move {
        // The first step of personalise fails until this role exists.
        let switch = World::get().name("switch").replace('-', "_");
        let fails = format!("SELECT 1 / count(*) FROM pg_roles WHERE rolname = '{switch}'");
        let mut life = begun(&base, "repinned", with_first("first", &fails)).await;
        let (_, _, message) = condition(&life, INSTANCE, "Installed").await;
        assert!(message.contains("personalise[switch]"), "{message}");
        life.work().await.unwrap();
        let old = pinned(&life).await;
        assert_eq!(databases(&life).await, format!("loaded {old}"));

        // A process that dies as soon as it has written down the newer release: before it drops the copy.
        blueprint(&base, &life.blueprint, with_first("second", &fails)).await;
        for k in 1.. {
            assert!(k < ROUND, "the newer release was never written down");
            life.operator = Operator::new(&base);
            life.operator.gate.arm(Some((k, Mode::CrashAfter)));
            life.round().await.unwrap();
            if pinned(&life).await != old {
                break;
            }
        }
        let new = pinned(&life).await;
        assert_eq!(databases(&life).await, format!("loaded {old}"));

        life.operator = Operator::new(&base);
        life.instances().delete(INSTANCE, &DeleteParams::default()).await.unwrap();
        rounds(&mut life).await;
        assert_eq!(databases(&life).await, format!("archived {old}"));
        let id = life.instance_id.clone().unwrap();
        let archive = life.archives().get(&format!("{id}-1")).await.unwrap();
        assert_eq!(archive.spec.release_hash.as_deref(), Some(new.as_str()));

        // Taken over, its personalise fails again, more than once; then it is made the instance's own as it is.
        let object = life.instance_object(&json!({"id": id, "adopt": format!("{id}-1")}));
        life.instances().create(&PostParams::default(), &object).await.unwrap();
        rounds(&mut life).await;
        let (_, _, message) = condition(&life, INSTANCE, "Installed").await;
        assert!(message.contains("personalise[switch]"), "{message}");
        assert_eq!((pinned(&life).await, databases(&life).await), (new.clone(), format!("loaded {old}")));
        let rows = "SELECT string_agg(name, ',') FROM customer";
        assert_eq!(life.sql("pg-a", rows).await.as_deref(), Ok("a row of the customer"));

        root(&format!("CREATE ROLE {switch}")).await;
        rounds(&mut life).await;
        let status = life.instance().await.unwrap().unwrap().status.unwrap();
        assert_eq!(status.phase, InstancePhase::Ready, "{status:?}");
        assert_eq!(databases(&life).await, format!("personalised {new}"), "the row says what works with it");
        assert_eq!(life.sql("pg-a", rows).await.as_deref(), Ok("a row of the customer"));
        assert_eq!(life.sql("pg-a", "SELECT note FROM facts").await, Ok(id), "the steps were not made");
        root(&format!("DROP ROLE {switch}")).await;
    });
}

#[test]
fn a_job_that_worked_in_the_copy_of_another_release_says_nothing_of_this_one() {
    run(false, |base| async move {
        let with = |word: &str| {
            let mut spec = fixture("key={{ secrets.key }}\n");
            let own = json!({"name": "own", "command": ["make-own", word]});
            spec["personalise"]["steps"].as_array_mut().unwrap().push(own);
            spec
        };
        let mut life = begun(&base, "jobs", with("first")).await;
        let id = Id::parse(life.instance_id.as_deref().unwrap()).unwrap();
        let (old, namespace) = (pinned(&life).await, life.namespace());
        let job = |attempt| names::personalise_job(&id, 1, attempt);
        assert_eq!(databases(&life).await, format!("loaded {old}"));
        finish(&base, &namespace, &job(1), false).await.unwrap();
        rounds(&mut life).await;
        let (_, reason, message) = condition(&life, INSTANCE, "Installed").await;
        assert_eq!(reason, "PersonaliseFailed", "{message}");

        // The mended release has a copy of its own, which does not wait for the pause of the one before.
        blueprint(&base, &life.blueprint, with("second")).await;
        rounds(&mut life).await;
        let new = pinned(&life).await;
        assert_ne!(new, old);
        assert_eq!(databases(&life).await, format!("loaded {new}"));
        let jobs: Api<Job> = Api::namespaced(base.clone(), &namespace);
        assert!(jobs.get_opt(&job(2)).await.unwrap().is_some(), "no second attempt");

        // One that ended well in another copy has done nothing for this one.
        let other = Patch::Merge(json!({"metadata": {"labels": {names::LABEL_RELEASE: "another"}}}));
        jobs.patch(&job(2), &PatchParams::default(), &other).await.unwrap();
        finish(&base, &namespace, &job(2), true).await.unwrap();
        rounds(&mut life).await;
        assert_eq!(databases(&life).await, format!("loaded {new}"));
        finish(&base, &namespace, &job(3), true).await.unwrap();
        rounds(&mut life).await;
        assert_eq!(databases(&life).await, format!("personalised {new}"));
    });
}

#[test]
fn a_fault_at_any_call_of_the_change_to_a_mended_release_ends_in_one_database_of_that_release() {
    run(false, |base| async move {
        let life = mended(&base, None).await.unwrap_or_else(|e| panic!("undisturbed: {e}"));
        let calls = life.operator.gate.all();
        // From the first look at the Blueprint until the copy is the instance's own: the rest is as in any life.
        // Calls are counted from 1.
        let first = calls.iter().position(|call| call.contains("/blueprints/")).unwrap() + 1;
        let last = calls.iter().position(|call| call == "sql registry state personalised").unwrap() + 1;
        let faults = sampled(first..=last).flat_map(|k| [(k, Mode::Timeout), (k, Mode::CrashAfter)]);
        let lives = futures::stream::iter(faults).map(|fault| one_of_it(&base, fault)).buffer_unordered(AT_ONCE);
        let failures: Vec<_> = lives.filter_map(|outcome| async move { outcome.err() }).collect().await;
        assert!(failures.is_empty(), "{} lives failed:\n{}", failures.len(), failures.join("\n"));
    });
}

/// An instance that could not be made its own, brought to Ready by a mended blueprint, with one call failing.
async fn mended(base: &Client, fault: Option<(usize, Mode)>) -> Outcome<Life> {
    let mut life = Life::new(base, "change");
    life.blueprint.clone_from(&life.name);
    blueprint(base, &life.blueprint, with_first("wrong", "INSERT INTO nowhere VALUES (1)")).await;
    let post = PostParams::default();
    life.tenants().create(&post, &life.tenant_object(&json!({}))).await.map_err(|e| e.to_string())?;
    life.round().await?;
    life.round().await?;
    life.instances().create(&post, &life.instance_object(&json!({}))).await.map_err(|e| e.to_string())?;
    let old = copied(&mut life).await?;
    blueprint(base, &life.blueprint, with_first("right", "SELECT 1")).await;
    life.operator = Operator::new(base);
    let drive = life.drive(Step::Create, fault.map(Into::into)).await?;
    if fault.is_some() && drive.fired.is_none() {
        return Err("the call was not reached".into());
    }
    let new = pinned(&life).await;
    if new == old {
        return Err("it kept the release that cannot be used".into());
    }
    let after = databases(&life).await;
    if after != format!("personalised {new}") {
        return Err(format!("the registry says {after:?}, pinned to {new}"));
    }
    Ok(life)
}

/// Reconciles until the copy is there that cannot be made the instance's own. Returns the release of it.
async fn copied(life: &mut Life) -> Outcome<String> {
    let mut last = Vec::new();
    for _ in 0..5 {
        last = life.round().await?;
        if life.instance_id.is_some() {
            let old = pinned(life).await;
            if databases(life).await == format!("loaded {old}") {
                return Ok(old);
            }
        }
    }
    Err(format!("before it is mended there is no copy: {last:?}\n  {}", life.describe().await))
}

async fn one_of_it(base: &Client, (k, mode): (usize, Mode)) -> Outcome {
    let place = |e: String| format!("{mode:?} at call {k}: {e}");
    let mut life = mended(base, Some((k, mode))).await.map_err(place)?;
    let note = life.sql("pg-a", "SELECT note FROM facts").await.map_err(place)?;
    if Some(&note) != life.instance_id.as_ref() {
        return Err(place(format!("the copy holds {note:?}")));
    }
    life.check(Step::Create, None).await.map_err(place).map(drop)
}

#[test]
fn what_makes_a_database_its_own_is_run_again_when_it_was_mended_before_the_instance_was_ever_ready() {
    run(false, |base| async move {
        // Nobody answers, so that the verification never passes.
        let with = |word: &str| {
            let mut spec = fixture("key={{ secrets.key }}\n");
            spec["processes"][0]["replicas"] = json!({"default": 1, "max": 1});
            spec["verify"] = json!({"timeoutSeconds": 1, "steps": [{"name": "front", "path": "/"}]});
            let note = format!("CREATE TABLE IF NOT EXISTS mended (word text); INSERT INTO mended VALUES ('{word}')");
            spec["personalise"]["steps"].as_array_mut().unwrap().push(json!({"name": "mended", "sql": note}));
            spec
        };
        let mut life = begun(&base, "again", with("first")).await;
        life.controllers_rest().await.unwrap();
        rounds(&mut life).await;
        let (status, _, message) = condition(&life, INSTANCE, "Verified").await;
        assert_eq!(status, "False", "{message}");
        let (old, words) = (pinned(&life).await, "SELECT string_agg(word, ',') FROM mended");
        assert_eq!(databases(&life).await, format!("personalised {old}"));
        assert_eq!(life.sql("pg-a", words).await.as_deref(), Ok("first"));
        life.work().await.unwrap();

        blueprint(&base, &life.blueprint, with("second")).await;
        life.operator = Operator::new(&base);
        rounds(&mut life).await;
        let new = pinned(&life).await;
        assert_ne!(new, old, "it kept the release that cannot be used");
        assert_eq!(databases(&life).await, format!("personalised {new}"));
        assert_eq!(life.sql("pg-a", words).await.as_deref(), Ok("first,second"), "once, and in the same database");
        let rows = "SELECT string_agg(name, ',') FROM customer";
        assert_eq!(life.sql("pg-a", rows).await.as_deref(), Ok("a row of the customer"));
    });
}
