//! Every call of a database server's and a blueprint's reconcile fails once in each way. Does I/O.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Client;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;
use tenantry_api::blueprint::Blueprint;
use tenantry_api::condition::{find, holds};
use tenantry_api::database_server::{DatabaseServer, DatabaseServerPhase};
use tenantry_core::names;

use crate::gate::Mode;
use crate::life::{INSTANCE, Life, Step};
use crate::scenarios::{condition, ready, run};
use crate::world::{Operator, World, apply, fixture};

/// Reconciles until nothing is written any more; a crash makes a new process. Gives calls and the fault.
async fn settle<F: AsyncFn(&Operator) -> bool>(
    base: &Client,
    fault: Option<(usize, Mode)>,
    one: F,
) -> (usize, Option<String>) {
    let mut operator = Operator::new(base);
    operator.gate.arm(fault);
    let mut told = None;
    for _ in 0..20 {
        let before = operator.gate.writes().iter().filter(|w| w.starts_with("kube")).count();
        let there = one(&operator).await;
        if operator.gate.dead() {
            told = Some((operator.gate.calls(), operator.gate.fired()));
            operator = Operator::new(base);
            continue;
        }
        let after = operator.gate.writes().iter().filter(|w| w.starts_with("kube")).count();
        if there && before == after {
            return told.unwrap_or_else(|| (operator.gate.calls(), operator.gate.fired()));
        }
    }
    panic!("no rest with {fault:?}: {:?}", operator.gate.all());
}

#[test]
fn a_fault_at_any_call_of_a_database_server_leaves_it_ready_and_its_removal_complete() {
    run(true, |base| async move {
        let world = World::get();
        // The neighbours of this server are the tests' own; nothing of them is on it any more.
        world.root("pg-b", "DELETE FROM databases").await.unwrap();
        let servers: Api<DatabaseServer> = Api::all(base.clone());
        let mut longest = BTreeMap::new();
        let mut runs = 0;
        for mode in Mode::ALL {
            for k in 0.. {
                let fault = (k > 0).then_some((k, mode));
                let name = world.name("pg-x");
                apply(&base, json!({"apiVersion": "tenantry.dev/v1alpha1", "kind": "DatabaseServer", "metadata": {"name": name},
                    "spec": {"engine": "postgresql", "accepting": false, "external": {"host": "127.0.0.1", "port": world.ports[1], "secretName": "pg-b"}}})).await;
                let work = async |o: &Operator| {
                    let Some(object) = servers.get_opt(&name).await.unwrap() else { return true };
                    let going = object.metadata.deletion_timestamp.is_some();
                    let _ = tenantry_operator::server::reconcile(Arc::new(object), &o.ctx, Timestamp::now()).await;
                    let now = servers.get_opt(&name).await.unwrap();
                    now.is_none_or(|s| {
                        !going
                            && s.status.is_some_and(|s| {
                                s.phase == DatabaseServerPhase::Ready && holds(&s.conditions, "Reachable")
                            })
                    })
                };
                let (made, fired) = settle(&base, fault, work).await;
                servers.delete(&name, &DeleteParams::default()).await.unwrap();
                let (removed, fired_too) = settle(&base, fault, work).await;
                assert!(servers.get_opt(&name).await.unwrap().is_none(), "{mode:?} {k}");
                if k == 0 {
                    longest.insert(mode, made.max(removed));
                }
                runs += 1;
                let missed = k > 0 && fired.is_none() && fired_too.is_none();
                assert!(!missed || k > longest[&mode], "{mode:?} {k} was never injected");
                if missed {
                    break;
                }
            }
        }
        println!("database server: {longest:?} calls, {runs} runs");
    });
}

#[test]
fn a_database_server_with_databases_stays_when_it_is_deleted() {
    run(true, |base| async move {
        let world = World::get();
        world
            .root(
                "pg-b",
                "INSERT INTO databases VALUES ('x', 'instance/x', 'x', 1, 'x', 'loaded', NULL, 'x', now(), now())",
            )
            .await
            .unwrap();
        let name = world.name("pg-full");
        let servers: Api<DatabaseServer> = Api::all(base.clone());
        apply(&base, json!({"apiVersion": "tenantry.dev/v1alpha1", "kind": "DatabaseServer", "metadata": {"name": name},
            "spec": {"engine": "postgresql", "accepting": false, "external": {"host": "127.0.0.1", "port": world.ports[1], "secretName": "pg-b"}}})).await;
        let operator = Operator::new(&base);
        let once = async || {
            let object = servers.get(&name).await.unwrap();
            tenantry_operator::server::reconcile(Arc::new(object), &operator.ctx, Timestamp::now()).await.unwrap();
        };
        once().await;
        once().await;
        servers.delete(&name, &DeleteParams::default()).await.unwrap();
        once().await;
        let status = servers.get(&name).await.unwrap().status.unwrap();
        assert_eq!(find(&status.conditions, "Ready").unwrap().reason, "HoldsDatabases");
        // Those on it are not told that it is away, and it is still asked.
        // Other tests have databases on this one, too.
        assert_eq!(status.phase, DatabaseServerPhase::Ready);
        assert!(status.databases.is_some_and(|n| n > 0), "{status:?}");
        assert_eq!(find(&status.conditions, "Reachable").unwrap().status, "True");
        world.root("pg-b", "DELETE FROM databases WHERE name = 'x'").await.unwrap();
        world.root("pg-b", "DELETE FROM databases").await.unwrap();
        once().await;
        assert!(servers.get_opt(&name).await.unwrap().is_none());
    });
}

/// A second name of `pg-b`, looked at until it rests; under a wrong port nobody answers.
async fn second_name(base: &Client, what: &str, port: u16) -> (String, Operator) {
    let name = World::get().name(what);
    apply(base, json!({"apiVersion": "tenantry.dev/v1alpha1", "kind": "DatabaseServer", "metadata": {"name": name},
        "spec": {"engine": "postgresql", "accepting": false, "external": {"host": "127.0.0.1", "port": port, "secretName": "pg-b"}}})).await;
    let operator = Operator::new(base);
    for _ in 0..2 {
        look(base, &name, &operator).await;
    }
    (name, operator)
}

/// Looks at a server once. Gives its conditions `Ready` and `Reachable`; none when it is gone.
async fn look(base: &Client, name: &str, operator: &Operator) -> Option<[Condition; 2]> {
    let servers: Api<DatabaseServer> = Api::all(base.clone());
    let object = Arc::new(servers.get(name).await.unwrap());
    tenantry_operator::server::reconcile(object, &operator.ctx, Timestamp::now()).await.unwrap();
    let status = servers.get_opt(name).await.unwrap()?.status.unwrap();
    Some(
        ["Ready", "Reachable"]
            .map(|kind| find(&status.conditions, kind).cloned().unwrap_or_else(|| panic!("{status:?}"))),
    )
}

/// Its status is lost, and then it is deleted.
async fn delete_without_status(base: &Client, name: &str) {
    let servers: Api<DatabaseServer> = Api::all(base.clone());
    let params = PatchParams::default();
    servers.patch_status(name, &params, &Patch::Merge(json!({"status": null}))).await.unwrap();
    servers.delete(name, &DeleteParams::default()).await.unwrap();
}

async fn annotate(base: &Client, name: &str, key: &str) {
    let servers: Api<DatabaseServer> = Api::all(base.clone());
    let patch = json!({"metadata": {"annotations": {key: name}}});
    servers.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
}

#[test]
fn a_server_without_a_status_is_asked_before_it_goes_and_one_that_cannot_be_asked_stays() {
    run(true, |base| async move {
        let world = World::get();
        world.root("pg-b", "DELETE FROM databases").await.unwrap();
        let row = "INSERT INTO databases VALUES ('x', 'instance/x', 'x', 1, 'x', 'loaded', NULL, 'x', now(), now())";
        world.root("pg-b", row).await.unwrap();
        let (name, operator) = second_name(&base, "pg-asked", world.ports[1]).await;
        delete_without_status(&base, &name).await;
        let [said, _] = look(&base, &name, &operator).await.expect("it went with a database on it");
        assert_eq!(said.reason, "HoldsDatabases", "{}", said.message);
        // Not even its confirmation lets it go.
        annotate(&base, &name, names::ANNOTATION_CONFIRM_DELETION).await;
        assert!(look(&base, &name, &Operator::new(&base)).await.is_some());
        world.root("pg-b", "DELETE FROM databases").await.unwrap();
        assert!(look(&base, &name, &operator).await.is_none());

        // Nobody listens there.
        let (name, operator) = second_name(&base, "pg-mute", 1).await;
        delete_without_status(&base, &name).await;
        let [said, _] = look(&base, &name, &operator).await.expect("nobody knows what was on it");
        let command = format!("kubectl annotate databaseserver {name} {}={name}", names::ANNOTATION_CONFIRM_DELETION);
        assert!(said.reason == "CannotBeAsked" && said.message.contains(&command), "{said:?}");
        annotate(&base, &name, names::ANNOTATION_CONFIRM_DELETION).await;
        assert!(look(&base, &name, &operator).await.is_none());

        // An instance says that its data is there.
        let (name, operator) = second_name(&base, "pg-named", 1).await;
        let life = named(&base, &name).await;
        annotate(&base, &name, names::ANNOTATION_CONFIRM_DELETION).await;
        delete_without_status(&base, &name).await;
        let [said, _] = look(&base, &name, &operator).await.expect("an instance has data on it");
        assert!(said.reason == "HoldsDatabases" && said.message.contains(&life.name), "{said:?}");
        take_away(&base, &name).await;
    });
}

/// Takes a server away whatever is on it. Tests that come later ask all servers there are.
pub async fn take_away(base: &Client, name: &str) {
    let servers: Api<DatabaseServer> = Api::all(base.clone());
    let off = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    servers.patch(name, &PatchParams::default(), &off).await.unwrap();
    if servers.get_opt(name).await.unwrap().is_some() {
        servers.delete(name, &DeleteParams::default()).await.unwrap();
    }
    assert!(servers.get_opt(name).await.unwrap().is_none(), "{name} is still there");
}

/// A ready instance whose status says that its database lies on this server.
async fn named(base: &Client, server: &str) -> Life {
    let life = ready(base, "named").await;
    let status = json!({"status": {"database": {"server": server, "name": life.database_name()}}});
    life.instances().patch_status(INSTANCE, &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
    life
}

#[test]
fn an_instance_says_that_its_server_does_not_exist() {
    run(true, |base| async move {
        let world = World::get();
        let (name, _) = second_name(&base, "pg-gone", world.ports[1]).await;
        let servers: Api<DatabaseServer> = Api::all(base.clone());
        let accepting = Patch::Merge(json!({"spec": {"accepting": true}}));
        servers.patch(&name, &PatchParams::default(), &accepting).await.unwrap();
        let mut life = Life::new(&base, "gone");
        life.drive(Step::Found, None).await.unwrap_or_else(|e| panic!("{e}"));
        let object = life.instance_object(&json!({"databaseServer": name}));
        life.instances().create(&PostParams::default(), &object).await.unwrap();
        life.drive(Step::Create, None).await.unwrap_or_else(|e| panic!("{e}"));
        take_away(&base, &name).await;
        for _ in 0..2 {
            life.round().await.unwrap();
        }
        let (status, reason, message) = condition(&life, INSTANCE, "DatabaseReachable").await;
        assert_eq!((status.as_str(), reason.as_str()), ("False", "NoSuchServer"), "{message}");
        // Under its name it is taken up again.
        apply(&base, json!({"apiVersion": "tenantry.dev/v1alpha1", "kind": "DatabaseServer", "metadata": {"name": name},
            "spec": {"engine": "postgresql", "external": {"host": "127.0.0.1", "port": world.ports[1], "secretName": "pg-b"}}})).await;
        look(&base, &name, &life.operator).await;
        life.drive(Step::Create, None).await.unwrap_or_else(|e| panic!("{e}"));
        let (status, _, _) = condition(&life, INSTANCE, "DatabaseReachable").await;
        assert_eq!(status, "True");
        take_away(&base, &name).await;
    });
}

#[test]
fn a_server_that_answers_and_is_empty_is_not_taken_for_a_new_one() {
    run(true, |base| async move {
        let world = World::get();
        let (name, _) = second_name(&base, "pg-emptied", world.ports[1]).await;
        let _life = named(&base, &name).await;
        let hide = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'tenantry_registry'";
        world.root_in("pg-b", "postgres", hide).await.unwrap();
        world.root_in("pg-b", "postgres", "ALTER DATABASE tenantry_registry RENAME TO hidden").await.unwrap();
        let [said, reachable] = look(&base, &name, &Operator::new(&base)).await.unwrap();
        let made = "SELECT count(*) FROM pg_database WHERE datname = 'tenantry_registry'";
        let made = world.root_in("pg-b", "postgres", made).await.unwrap();
        if made == "0" {
            world.root_in("pg-b", "postgres", "ALTER DATABASE hidden RENAME TO tenantry_registry").await.unwrap();
        }
        assert_eq!(made, "0", "a registry was made on a server that lost everything");
        assert_eq!(
            (said.reason.as_str(), reachable.reason.as_str()),
            ("ServerEmpty", "ServerEmpty"),
            "{}",
            said.message
        );
        assert!(said.message.contains(names::ANNOTATION_CONFIRM_EMPTY), "{}", said.message);
        let [said, _] = look(&base, &name, &Operator::new(&base)).await.unwrap();
        assert_eq!(said.status, "True", "{}", said.message);
        take_away(&base, &name).await;
    });
}

#[test]
fn a_fault_at_any_call_of_a_blueprint_leaves_it_judged() {
    run(false, |base| async move {
        let blueprints: Api<Blueprint> = Api::all(base.clone());
        for mode in Mode::ALL {
            for k in 1..=3 {
                let name = World::get().name("judged");
                apply(&base, json!({"apiVersion": "tenantry.dev/v1alpha1", "kind": "Blueprint", "metadata": {"name": name}, "spec": fixture("{{ nothing }}")})).await;
                settle(&base, Some((k, mode)), async |o: &Operator| {
                    let object = blueprints.get(&name).await.unwrap();
                    let _ = tenantry_operator::blueprint::reconcile(Arc::new(object), &o.ctx, Timestamp::now()).await;
                    blueprints
                        .get(&name)
                        .await
                        .unwrap()
                        .status
                        .is_some_and(|s| find(&s.conditions, "Valid").is_some_and(|c| c.status == "False"))
                })
                .await;
            }
        }
    });
}
