//! Every call of a database server's and a blueprint's reconcile fails once in each way. Does I/O.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use kube::Client;
use kube::api::{Api, DeleteParams};
use serde_json::json;
use tenantry_api::blueprint::Blueprint;
use tenantry_api::condition::{find, holds};
use tenantry_api::database_server::{DatabaseServer, DatabaseServerPhase};

use crate::gate::Mode;
use crate::scenarios::run;
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
