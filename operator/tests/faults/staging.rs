//! Copies for staging: nothing starts before it is neutralised, whatever is interrupted; the original is only read.
//! Does I/O.

use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;
use tenantry_api::archive::Archive;
use tenantry_api::condition::find;
use tenantry_api::crm_instance::InstancePhase;
use tenantry_core::id::Id;
use tenantry_core::names;
use tenantry_operator::cluster::dynamic_api;
use tenantry_plan::Kind;

use crate::copies::{Copy, away, original, product};
use crate::gate::{Mode, is_change};
use crate::life::{INSTANCE, Life, Outcome};
use crate::scenarios::{condition, run};
use crate::sweep::sampled;
use crate::world::{Operator, blueprint};

/// Copies at the same time, and copies of one original: its tenant has room for so many.
const AT_ONCE: usize = 6;
const OF_ONE: usize = 12;

#[test]
fn a_copy_has_the_data_and_nothing_else_of_its_original() {
    run(false, |base| async move {
        let life = original(&base, true).await.unwrap_or_else(|e| panic!("{e}"));
        let before = life.instance().await.unwrap().unwrap().metadata.resource_version;
        let mut copy = Copy::of(&life, "copy", &json!({})).await.unwrap();
        copy.until_ready().await.unwrap_or_else(|e| panic!("{e}"));
        copy.check(&life).await.unwrap_or_else(|e| panic!("{e}"));
        let id = life.instance_id.clone().unwrap();
        for (part, key) in [("database", "password"), ("keys", "admin-password"), ("keys", "secret.key")] {
            let name = |id: &str| format!("{id}-{part}-g1");
            let (mine, others) = (copy.secret(&name(&copy.id)).await.unwrap(), copy.secret(&name(&id)).await.unwrap());
            assert_ne!(mine[key], others[key], "{part} {key}");
        }
        for kind in ["Copied", "Neutralised"] {
            let (status, _, message) = condition(&life, "copy", kind).await;
            assert_eq!(status, "True", "{message}");
        }
        let policies = dynamic_api(&base, Kind::NetworkPolicy, Some(&life.namespace()));
        let policy = policies.get(&copy.id).await.unwrap().data;
        assert_eq!(
            policy.pointer("/spec/egress/0/to/0/podSelector/matchLabels/tenantry.dev~1instance-id").unwrap(),
            &copy.id
        );
        assert!(policies.get_opt(&id).await.unwrap().is_none(), "the original is led outside by its tenant's rule");
        let web = copy.api::<Deployment>().get(&format!("{}-web", copy.id)).await.unwrap();
        let labels = web.spec.unwrap().template.metadata.unwrap().labels.unwrap();
        assert_eq!(labels[names::LABEL_ENVIRONMENT], "staging");
        assert_eq!(
            life.instance().await.unwrap().unwrap().metadata.resource_version,
            before,
            "the original was written"
        );
        // At rest: another process that looks at it changes nothing.
        copy.operator = Operator::new(&base);
        copy.look().await.unwrap();
        assert_eq!(copy.operator.gate.writes(), Vec::<String>::new());
    });
}

#[test]
fn a_fault_at_any_call_of_a_copy_starts_nothing_too_early_and_ends_in_the_same() {
    run(false, |base| async move {
        let life = original(&base, true).await.unwrap_or_else(|e| panic!("{e}"));
        let mut whole = Copy::of(&life, "whole", &json!({})).await.unwrap();
        whole.until_ready().await.unwrap_or_else(|e| panic!("undisturbed: {e}"));
        let calls = whole.operator.gate.calls();
        // Each copy costs seconds. A process that dies after a read dies before the write that follows, and a read that
        // fails is one that is made again: what may break a copy are the calls that change something.
        let names = whole.operator.gate.all();
        let changes = |k: &usize| names.get(k - 1).is_some_and(|name| is_change(name));
        let calls = sampled((1..=calls).filter(changes));
        let faults: Vec<_> = calls.flat_map(|k| [(k, Mode::Timeout), (k, Mode::CrashAfter)]).collect();
        println!("  a copy takes {} calls: {} copies", names.len(), faults.len());
        let mut failures = Vec::new();
        for some in faults.chunks(OF_ONE) {
            let life = original(&base, true).await.unwrap_or_else(|e| panic!("{e}"));
            let copies = futures::stream::iter(some).map(|fault| disturbed(&life, *fault)).buffer_unordered(AT_ONCE);
            failures.extend(copies.filter_map(|o| async move { o.err() }).collect::<Vec<_>>().await);
        }
        assert!(failures.is_empty(), "{} copies failed:\n{}", failures.len(), failures.join("\n"));
    });
}

async fn disturbed(life: &Life, (k, mode): (usize, Mode)) -> Outcome {
    let place = |e: String| format!("{mode:?} at call {k}: {e}");
    let name = format!("c{k}-{}", if mode == Mode::Timeout { "t" } else { "c" });
    let mut copy = Copy::of(life, &name, &json!({})).await.map_err(place)?;
    copy.operator.gate.arm(Some((k, mode)));
    copy.until_ready().await.map_err(place)?;
    copy.check(life).await.map_err(place)
}

#[test]
fn a_product_that_does_not_say_how_it_is_neutralised_is_not_copied_until_it_does() {
    run(false, |base| async move {
        let life = original(&base, false).await.unwrap_or_else(|e| panic!("{e}"));
        let mut copy = Copy::of(&life, "copy", &json!({})).await.unwrap();
        for _ in 0..4 {
            copy.look().await.unwrap_or_else(|e| panic!("{e}"));
        }
        let (status, reason, message) = condition(&life, "copy", "Neutralised").await;
        assert_eq!((status.as_str(), reason.as_str()), ("False", "NotStated"), "{message}");
        assert_eq!(copy.state().await.unwrap(), "", "something was copied");
        blueprint(&base, &life.blueprint, product(true)).await;
        copy.until_ready().await.unwrap_or_else(|e| panic!("{e}"));
        copy.check(&life).await.unwrap_or_else(|e| panic!("{e}"));
    });
}

#[test]
fn a_copy_whose_data_says_that_it_can_still_write_to_customers_never_starts() {
    run(false, |base| async move {
        let life = original(&base, true).await.unwrap_or_else(|e| panic!("{e}"));
        let mut spec = product(true);
        // A step that meets no row any more is no error of its own.
        spec["neutralise"]["steps"][0]["sql"] = json!("DELETE FROM mail WHERE body = 'of the release before'");
        blueprint(&base, &life.blueprint, spec).await;
        let mut copy = Copy::of(&life, "copy", &json!({})).await.unwrap();
        for looks in 0.. {
            copy.look().await.unwrap_or_else(|e| panic!("{e}"));
            let conditions = copy.object().await.unwrap().unwrap().status.unwrap_or_default().conditions;
            if find(&conditions, "Neutralised").is_some_and(|c| c.status == "False" && c.reason == "NotProven") {
                break;
            }
            assert!(looks < 40, "nothing was asked: {conditions:?}");
            copy.play().await.unwrap_or_else(|e| panic!("{e}"));
        }
        let (_, _, message) = condition(&life, "copy", "Neutralised").await;
        assert!(message.contains("neutralise.verifySql[0]"), "{message}");
        assert_eq!(copy.state().await.unwrap(), "installing");
        assert_eq!(copy.api::<Deployment>().list(&copy.mine()).await.unwrap().items.len(), 0);
        // Said right later, it goes on by itself.
        blueprint(&base, &life.blueprint, product(true)).await;
        copy.until_ready().await.unwrap_or_else(|e| panic!("{e}"));
        copy.check(&life).await.unwrap_or_else(|e| panic!("{e}"));
    });
}

#[test]
fn sql_neutralises_before_the_commands_after_it_begin_and_nothing_starts_before_both_are_done() {
    run(false, |base| async move {
        let life = original(&base, true).await.unwrap_or_else(|e| panic!("{e}"));
        let mut spec = product(true);
        spec["neutralise"]["steps"].as_array_mut().unwrap().push(json!({"name": "files", "command": ["tidy"]}));
        blueprint(&base, &life.blueprint, spec.clone()).await;
        let mut copy = Copy::of(&life, "copy", &json!({})).await.unwrap();
        for looks in 0.. {
            copy.look().await.unwrap_or_else(|e| panic!("{e}"));
            let conditions = copy.object().await.unwrap().unwrap().status.unwrap_or_default().conditions;
            if find(&conditions, "Neutralised").is_some_and(|c| c.status == "False" && c.reason == "Neutralising") {
                break;
            }
            assert!(looks < 40, "no job neutralises: {conditions:?}");
            copy.play().await.unwrap_or_else(|e| panic!("{e}"));
        }
        assert_eq!(copy.sql("SELECT count(*)::text FROM mail").await.unwrap(), "0", "the commands came first");
        assert_eq!(copy.state().await.unwrap(), "installing");
        assert_eq!(copy.api::<Deployment>().list(&copy.mine()).await.unwrap().items.len(), 0);
        // Steps that are said while others run are done as well.
        spec["neutralise"]["steps"][1]["name"] = json!("more files");
        blueprint(&base, &life.blueprint, spec).await;
        copy.until_ready().await.unwrap_or_else(|e| panic!("{e}"));
        copy.check(&life).await.unwrap_or_else(|e| panic!("{e}"));
        let jobs = copy.api::<Job>().list(&copy.mine()).await.unwrap().items;
        let found: Vec<String> = jobs.iter().map(ResourceExt::name_any).collect();
        assert!(found.contains(&names::copy_job(&Id::parse(&copy.id).unwrap(), "neutralise", 1, 2)), "{found:?}");
    });
}

#[test]
fn an_original_that_goes_during_the_copy_is_told_and_what_was_broken_off_never_starts() {
    run(false, |base| async move {
        let life = original(&base, true).await.unwrap_or_else(|e| panic!("{e}"));
        let mut copy = Copy::of(&life, "copy", &json!({})).await.unwrap();
        for _ in 0..3 {
            copy.look().await.unwrap_or_else(|e| panic!("{e}"));
        }
        assert_eq!(copy.state().await.unwrap(), "installing");
        away(&life).await;
        copy.look().await.unwrap_or_else(|e| panic!("{e}"));
        let (status, reason, message) = condition(&life, "copy", "Copied").await;
        assert_eq!((status.as_str(), reason.as_str()), ("False", "SourceGone"), "{message}");

        // Archived half-made, and brought back as if it were whole: refused, and the database still says why.
        life.instances().delete("copy", &DeleteParams::default()).await.unwrap();
        for _ in 0..100 {
            if copy.look().await.unwrap() == InstancePhase::Archiving && copy.object().await.unwrap().is_none() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        assert_eq!(copy.state().await.unwrap(), "installing");
        let archives: Api<Archive> = Api::all(base.clone());
        assert!(archives.get_opt(&format!("{}-1", copy.id)).await.unwrap().is_some());
        let mut object = life.instance_object(&json!({"id": copy.id, "adopt": format!("{}-1", copy.id),
            "environment": "staging", "host": format!("back-{}", life.host)}));
        object.metadata.name = Some("copy".into());
        life.instances().create(&PostParams::default(), &object).await.unwrap();
        for _ in 0..4 {
            copy.look().await.unwrap_or_else(|e| panic!("{e}"));
        }
        let (status, reason, message) = condition(&life, "copy", "Neutralised").await;
        assert_eq!((status.as_str(), reason.as_str()), ("False", "CopyUnfinished"), "{message}");
        assert_eq!(copy.api::<Deployment>().list(&copy.mine()).await.unwrap().items.len(), 0);
    });
}

#[test]
fn a_copy_whose_time_is_over_is_archived_and_an_original_has_no_such_time() {
    run(false, |base| async move {
        let life = original(&base, true).await.unwrap_or_else(|e| panic!("{e}"));
        let mut copy = Copy::of(&life, "copy", &json!({"expires": "2090-01-01T00:00:00Z"})).await.unwrap();
        copy.until_ready().await.unwrap_or_else(|e| panic!("{e}"));
        let over = json!({"spec": {"expires": "2020-01-01T00:00:00Z"}});
        life.instances().patch("copy", &PatchParams::default(), &Patch::Merge(&over)).await.unwrap();
        for _ in 0..100 {
            copy.look().await.unwrap_or_else(|e| panic!("{e}"));
            if copy.object().await.unwrap().is_none() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        assert_eq!(copy.object().await.unwrap(), None);
        assert_eq!(copy.state().await.unwrap(), "archived");
        let archives: Api<Archive> = Api::all(base.clone());
        assert!(archives.get_opt(&format!("{}-1", copy.id)).await.unwrap().is_some());
        let policies = dynamic_api(&base, Kind::NetworkPolicy, Some(&life.namespace()));
        // By the garbage collector of Kubernetes.
        for looks in 0.. {
            if policies.get_opt(&copy.id).await.unwrap().is_none() {
                break;
            }
            assert!(looks < 300, "its rule for the network is left");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let refused = life.instances().patch(INSTANCE, &PatchParams::default(), &Patch::Merge(&over)).await;
        assert!(refused.unwrap_err().to_string().contains("production"), "an original ends by itself");
    });
}
