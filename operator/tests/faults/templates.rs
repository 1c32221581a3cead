//! A template goes with a purge once its blueprint is gone, and not before, whatever call fails. Does I/O.

use std::sync::Arc;

use futures::StreamExt;
use jiff::Timestamp;
use kube::Client;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use serde_json::json;
use tenantry_api::archive::ArchivePhase;
use tenantry_api::blueprint::Blueprint;
use tenantry_api::database_server::DatabaseServer;

use crate::gate::{Mode, Nth, Planned, is_change};
use crate::installs::{built, templates};
use crate::life::{Life, Outcome, Step};
use crate::scenarios::run;
use crate::sweep::sampled;
use crate::unfinished::root;
use crate::world::{Operator, World, apply};

/// Lives at the same time.
const AT_ONCE: usize = 8;
/// Rounds after which what was not purged counts as never purged.
const ROUNDS: usize = 25;

/// Archives a tenant with its instance, deletes the Blueprint if so wanted, and purges the instance's data with one
/// call failing. Gives the calls of the process that was there at the end.
async fn purge(life: &mut Life, delete_blueprint: bool, fault: Option<Planned>) -> Outcome<Vec<String>> {
    life.drive(Step::Delete, None).await?;
    if delete_blueprint {
        let blueprints: Api<Blueprint> = Api::all(life.base.clone());
        blueprints.delete(&life.blueprint, &DeleteParams::default()).await.map_err(|e| e.to_string())?;
        // What a release left that was mended before its install went through.
        let (blueprint, name) = (&life.blueprint, format!("tpl_{}", life.blueprint.replace('-', "_")));
        let owner = format!("template/{blueprint}/of-before");
        root(&format!(
            "INSERT INTO databases VALUES ('{name}', '{owner}', '', 1, '{name}', 'installing', NULL, 'x', now(), now())"
        ))
        .await;
    }
    let archive = format!("{}-1", life.ids()?.1);
    life.ask_purge(&archive).await?;
    life.operator = Operator::new(&life.base);
    life.operator.gate.arm(fault);
    let mut fired = None;
    for _ in 0..ROUNDS {
        life.controllers_rest().await?;
        // What goes wrong on the way is the test's own doing.
        let _trouble = life.round().await?;
        fired = fired.or(life.operator.gate.fired());
        if life.operator.gate.dead() {
            life.operator = Operator::new(&life.base);
        } else if life.phase_of(&archive).await? == Some(ArchivePhase::Purged) {
            return match (fault, fired) {
                (Some(_), None) => Err("the call was not reached".into()),
                _ => Ok(life.operator.gate.all()),
            };
        }
    }
    Err(format!("{archive} is not purged after {ROUNDS} rounds: {}", life.describe().await))
}

/// States of the instance's databases, as the server's registry says.
async fn databases(life: &Life) -> Outcome<String> {
    let owner = format!("instance/{}", life.ids()?.1);
    Ok(root(&format!("SELECT string_agg(state, ',') FROM databases WHERE owner = '{owner}'")).await)
}

/// A purge as above, and what must be left of the template and of the instance's databases then.
async fn purged(base: &Client, delete_blueprint: bool, fault: Option<Planned>) -> Outcome<Vec<String>> {
    let mut life = built(base, None).await?;
    let calls = purge(&mut life, delete_blueprint, fault).await?;
    let expected = if delete_blueprint { "" } else { "template 1" };
    match (templates(&life.blueprint).await.as_str(), databases(&life).await?.as_str()) {
        (template, "") if template == expected => Ok(calls),
        left => Err(format!("templates and databases that are left: {left:?}")),
    }
}

/// Many purges, each with its fault.
async fn all(base: &Client, delete_blueprint: bool, faults: impl Iterator<Item = Planned>) {
    let one = |fault: Planned| {
        let base = base.clone();
        async move { purged(&base, delete_blueprint, Some(fault)).await.map_err(|e| format!("{fault:?}: {e}")) }
    };
    let lives = futures::stream::iter(faults).map(one).buffer_unordered(AT_ONCE);
    let failures: Vec<_> = lives.filter_map(|outcome| async move { outcome.err() }).collect().await;
    assert!(failures.is_empty(), "{} lives failed:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn a_template_stays_for_those_to_come_while_its_blueprint_is_there_also_when_that_cannot_be_read() {
    run(false, |base| async move {
        let calls = purged(&base, false, None).await.unwrap_or_else(|e| panic!("{e}"));
        let asks = |(k, call): (usize, &String)| call.contains("/blueprints/").then_some(k + 1);
        let asks: Vec<usize> = calls.iter().enumerate().filter_map(asks).collect();
        assert!(!asks.is_empty(), "nobody asks for the blueprint: {calls:?}");
        all(&base, false, asks.into_iter().map(|k| Planned { nth: Nth::Call(k), mode: Mode::Error })).await;
    });
}

#[test]
fn a_fault_at_any_call_of_the_purge_that_takes_a_template_along_leaves_nothing_and_hurts_nobody() {
    run(false, |base| async move {
        let neighbour = built(&base, None).await.unwrap_or_else(|e| panic!("{e}"));
        let calls = purged(&base, true, None).await.unwrap_or_else(|e| panic!("undisturbed: {e}"));
        let changes = calls.iter().filter(|call| is_change(call)).count();
        let faults = sampled(1..=changes);
        let kinds = |k| [Mode::Timeout, Mode::CrashAfter].map(|mode| Planned { nth: Nth::Change(k), mode });
        all(&base, true, faults.flat_map(kinds)).await;
        assert_eq!(templates(&neighbour.blueprint).await, "template 1");
    });
}

/// The server with the templates under another name: what is known of the first one decides where others are placed.
async fn other_name(base: &Client) -> String {
    let (world, name) = (World::get(), World::get().name("pg-look"));
    apply(base, json!({"apiVersion": "tenantry.dev/v1alpha1", "kind": "DatabaseServer", "metadata": {"name": name},
        "spec": {"engine": "postgresql", "accepting": false, "external": {"host": "127.0.0.1", "port": world.ports[0], "secretName": "pg-a"}}})).await;
    name
}

/// Looks at it, as a new process does.
async fn look(base: &Client, name: &str) -> Vec<String> {
    let servers: Api<DatabaseServer> = Api::all(base.clone());
    let object = Arc::new(servers.get(name).await.unwrap());
    tenantry_operator::server::reconcile(object, &Operator::new(base).ctx, Timestamp::now()).await.unwrap();
    let status = servers.get(name).await.unwrap().status.unwrap();
    status.templates.into_iter().map(|t| format!("{} {}", t.blueprint, t.state)).collect()
}

#[test]
fn a_template_that_no_blueprint_offers_goes_once_no_instance_runs_with_its_release() {
    run(true, |base| async move {
        let mut life = built(&base, None).await.unwrap_or_else(|e| panic!("{e}"));
        let blueprint = life.blueprint.clone();
        let name = format!("tpl_{}", blueprint.replace('-', "_"));
        root(&format!(
            "INSERT INTO databases VALUES ('{name}', 'template/{blueprint}/of-before', '', 1, '{name}', 'installing', NULL, 'x', now(), now())"
        ))
        .await;
        let (mine, server) = (format!("{blueprint} template"), other_name(&base).await);
        assert!(look(&base, &server).await.contains(&mine));
        // That of a release which was mended is gone, that of the newest one is not.
        assert_eq!(templates(&blueprint).await, "template 1");
        let blueprints: Api<Blueprint> = Api::all(base.clone());
        blueprints.delete(&blueprint, &DeleteParams::default()).await.unwrap();
        assert!(look(&base, &server).await.contains(&mine), "an instance runs with it");
        assert_eq!(templates(&blueprint).await, "template 1");
        life.drive(Step::Delete, None).await.unwrap_or_else(|e| panic!("{e}"));
        assert!(!look(&base, &server).await.contains(&mine));
        assert_eq!(templates(&blueprint).await, "");
        let servers: Api<DatabaseServer> = Api::all(base.clone());
        let free = json!({"metadata": {"finalizers": null}});
        servers.patch(&server, &PatchParams::default(), &Patch::Merge(&free)).await.unwrap();
        servers.delete(&server, &DeleteParams::default()).await.unwrap();
    });
}
