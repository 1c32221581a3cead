//! A change of the Site restarts no more CRMs at once than the Site says, whatever call fails. Does I/O.

use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use kube::runtime::reflector::ObjectRef;
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use tenantry_api::condition::find;
use tenantry_api::crm_instance::{CrmInstance, CrmInstanceStatus, InstancePhase};
use tenantry_api::site::Site;
use tenantry_core::names::{LABEL_PROCESS, SITE_NAME};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::gate::Mode;
use crate::life::{INSTANCE, Life, Step};
use crate::scenarios::{condition, run};
use crate::world::{Operator, World, apply, blueprint, fixture};

/// Rounds after which a wave that is not over counts as never over.
const ROUNDS: usize = 60;

async fn site(base: &Client, change: Value) {
    let api: Api<Site> = Api::all(base.clone());
    let patch = Patch::Merge(json!({"spec": change}));
    api.patch(SITE_NAME, &PatchParams::default(), &patch).await.unwrap();
}

/// Image of the process, and whether all of its pods are of it and run.
async fn process(life: &Life) -> (String, bool) {
    let api: Api<Deployment> = Api::namespaced(life.base.clone(), &life.namespace());
    let list = api.list(&ListParams::default().labels(&format!("{LABEL_PROCESS}=web"))).await.unwrap();
    let found = &list.items[0];
    let image = found.spec.as_ref().and_then(|s| s.template.spec.as_ref()).and_then(|s| s.containers[0].image.clone());
    let status = found.status.clone().unwrap_or_default();
    let one = |n: Option<i32>| n == Some(1);
    let runs = status.observed_generation == found.metadata.generation
        && one(status.updated_replicas)
        && one(status.available_replicas)
        && one(status.replicas);
    (image.unwrap(), runs)
}

async fn status(life: &Life) -> CrmInstanceStatus {
    life.instance().await.unwrap().unwrap().status.unwrap_or_default()
}

/// Lives whose CRM is away now, or may be soon.
async fn under_way(lives: &[Life]) -> Vec<String> {
    let mut found = Vec::new();
    for life in lives {
        let has_turn = status(life).await.exchanging_since.is_some();
        if has_turn || !process(life).await.1 {
            found.push(life.name.clone());
        }
    }
    found
}

/// One operator for all, as there is one in a cluster. A new process asks who has a turn.
async fn operator(base: &Client, lives: &mut [Life]) -> Operator {
    let operator = Operator::new(base);
    tenantry_operator::instance::know_turns(&operator.ctx).await.unwrap();
    for life in lives {
        life.operator = operator.clone();
    }
    operator
}

/// Reconciles one after the other until all have the image and are at rest; more than one is never under way.
async fn wave(base: &Client, lives: &mut [Life], image: &str, fault: Option<(usize, Mode)>) -> usize {
    let mut one = operator(base, lives).await;
    one.gate.arm(fault);
    let mut waited = 0;
    for _ in 0..ROUNDS {
        for n in 0..lives.len() {
            let _trouble = lives[n].round().await.unwrap();
            if one.gate.dead() {
                one = operator(base, lives).await;
            }
            let away = under_way(lives).await;
            assert!(away.len() <= 1, "at once: {away:?}, fault {fault:?}");
            let now = status(&lives[n]).await;
            let said = find(&now.conditions, "ProcessesReady").map(|c| (c.status.clone(), c.message.clone()));
            if said.as_ref().is_some_and(|(_, m)| m.contains("waits for its turn")) {
                waited += 1;
                assert_eq!(said.unwrap().0, "True", "it serves while it waits");
                assert_eq!(now.phase, InstancePhase::Ready);
                assert_ne!(process(&lives[n]).await.0, image);
            }
        }
        let mut over = under_way(lives).await.is_empty();
        for life in lives.iter() {
            over &= process(life).await.0 == image && status(life).await.phase == InstancePhase::Ready;
        }
        if over {
            return waited;
        }
    }
    let mut all = Vec::new();
    for life in lives.iter() {
        all.push(life.describe().await);
    }
    panic!("the wave to {image} is not over, fault {fault:?}: {}", all.join("\n"));
}

/// Three CRMs that run, of a product of their own; the other tests have the Site as it was afterwards. Beside what
/// other tests left, one of them may be exchanged at once.
async fn with_three(base: &Client, what: &str, test: impl AsyncFnOnce(&Client, &mut [Life; 3], usize)) {
    let name = World::get().name(what);
    let mut spec = fixture("key={{ secrets.key }}\nmail={{ settings.mail }}\n");
    spec["settings"] = json!({"mail": {"default": ""}});
    spec["processes"][0]["replicas"] = json!({"default": 1, "max": 1});
    blueprint(base, &name, spec).await;
    let mut lives = ["a", "b", "c"].map(|one| Life::new(base, &format!("{what}-{one}")));
    for life in &mut lives {
        life.blueprint.clone_from(&name);
        life.drive(Step::Create, None).await.unwrap_or_else(|e| panic!("{e}"));
    }
    // What another test left in the middle of an exchange has a turn for ever.
    let all: Api<CrmInstance> = Api::all(base.clone());
    let all = all.list(&ListParams::default()).await.unwrap().items;
    let left = all.iter().filter(|i| i.status.as_ref().is_some_and(|s| s.exchanging_since.is_some())).count();
    let tried = AssertUnwindSafe(test(base, &mut lives, left + 1)).catch_unwind().await;
    site(base, json!({"imageRegistry": null, "restartsAtOnce": null})).await;
    if let Err(panic) = tried {
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn a_change_of_the_site_restarts_one_crm_after_the_other_and_their_own_changes_do_not_wait() {
    run(true, |base| async move { with_three(&base, "wave", waves).await });
}

async fn waves(base: &Client, lives: &mut [Life; 3], at_once: usize) {
    site(base, json!({"imageRegistry": "mirror-0.test", "restartsAtOnce": at_once})).await;
    let waited = wave(base, lives, "mirror-0.test/product:1.0", None).await;
    assert!(waited > 0, "nobody waited");
    let one = operator(base, lives).await;
    for life in lives.iter_mut() {
        life.round().await.unwrap();
    }
    one.gate.count_anew();
    for life in lives.iter_mut() {
        life.round().await.unwrap();
    }
    assert_eq!(one.gate.writes(), Vec::<String>::new(), "a second look writes nothing");

    // Each at another call, and once more at each of the few that decide: the turn written down, the process changed.
    let faults = [(4, Mode::CrashAfter), (7, Mode::CrashBefore), (10, Mode::CrashAfter), (13, Mode::Error)];
    for (n, fault) in faults.into_iter().chain((15..36).step_by(5).map(|n| (n, Mode::CrashAfter))).enumerate() {
        let mirror = format!("mirror-{}.test", n + 1);
        site(base, json!({"imageRegistry": mirror})).await;
        wave(base, lives, &format!("{mirror}/product:1.0"), Some(fault)).await;
    }

    // The first has a turn and nobody looks after it: the second waits, until somebody changes the second itself.
    site(base, json!({"imageRegistry": "mirror-last.test"})).await;
    let image = "mirror-last.test/product:1.0";
    operator(base, lives).await;
    lives[0].round().await.unwrap();
    assert!(status(&lives[0]).await.exchanging_since.is_some());
    lives[1].round().await.unwrap();
    lives[1].round().await.unwrap();
    assert_ne!(process(&lives[1]).await.0, image, "it did not wait");
    let patch = Patch::Merge(json!({"spec": {"adminEmail": "somebody@example.org"}}));
    lives[1].instances().patch(INSTANCE, &PatchParams::default(), &patch).await.unwrap();
    lives[1].round().await.unwrap();
    assert_eq!(process(&lives[1]).await.0, image, "its own change waited");
    // And one that is going gives its place in the line away, as the watch of instances tells.
    lives[2].round().await.unwrap();
    let gone = lives[0].instance().await.unwrap().unwrap().metadata.uid.unwrap();
    tenantry_operator::instance::call_next(&lives[2].operator.ctx, &gone);
    lives[2].round().await.unwrap();
    assert!(status(&lives[2]).await.exchanging_since.is_some(), "the next was not called");
}

/// One operator for all, and the namespaces of those whom it wakes.
async fn line(base: &Client, lives: &mut [Life]) -> UnboundedReceiver<ObjectRef<CrmInstance>> {
    let (wake, woken) = unbounded_channel();
    let mut one = Operator::new(base);
    one.ctx.wake = Some(wake);
    tenantry_operator::instance::know_turns(&one.ctx).await.unwrap();
    for life in lives {
        life.operator = one.clone();
    }
    woken
}

fn called(woken: &mut UnboundedReceiver<ObjectRef<CrmInstance>>) -> Vec<String> {
    std::iter::from_fn(|| woken.try_recv().ok()).map(|who| who.namespace.unwrap_or_default()).collect()
}

/// Looks at one after the other: the first has its turn, the others stand in line.
async fn stand_in_line(lives: &mut [Life; 3]) {
    for life in lives.iter_mut() {
        life.round().await.unwrap();
    }
    let mut turns = Vec::new();
    for life in lives.iter() {
        turns.push(status(life).await.exchanging_since.is_some());
    }
    assert_eq!(turns, [true, false, false]);
}

async fn secret_of(life: &Life) {
    let metadata = json!({"name": "mine", "namespace": life.namespace()});
    let object = json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"password": "x"}});
    apply(&life.base, object).await;
}

/// Its mail comes from a Secret from now on, as it does where there is one.
async fn mail_by_secret(life: &mut Life) {
    secret_of(life).await;
    let patch = Patch::Merge(json!({"spec": {"settingsFrom": {"mail": {"secret": "mine", "key": "password"}}}}));
    life.instances().patch(INSTANCE, &PatchParams::default(), &patch).await.unwrap();
    life.drive(Step::Resume, None).await.unwrap_or_else(|e| panic!("{e}"));
}

async fn lose_secret(life: &Life) {
    let secrets: Api<Secret> = Api::namespaced(life.base.clone(), &life.namespace());
    secrets.delete("mine", &DeleteParams::default()).await.unwrap();
}

/// Reconciles one that has its turn until it runs as it should, and has given its turn back.
async fn finish(life: &mut Life, image: &str) {
    for _ in 0..ROUNDS {
        life.controllers_rest().await.unwrap();
        life.round().await.unwrap();
        if status(life).await.exchanging_since.is_none() {
            assert_eq!(process(life).await, (image.to_owned(), true));
            return;
        }
    }
    panic!("it has its turn for ever: {}", life.describe().await);
}

#[test]
fn a_crm_that_is_held_up_before_it_uses_the_turn_that_it_was_given_leaves_it_to_the_next() {
    run(true, |base| async move { with_three(&base, "held", held_up).await });
}

async fn held_up(base: &Client, lives: &mut [Life; 3], at_once: usize) {
    mail_by_secret(&mut lives[1]).await;
    site(base, json!({"imageRegistry": "mirror-held.test", "restartsAtOnce": at_once})).await;
    let image = "mirror-held.test/product:1.0";
    let mut woken = line(base, lives).await;
    stand_in_line(lives).await;
    // When its turn comes, its Secret is not there.
    lose_secret(&lives[1]).await;
    finish(&mut lives[0], image).await;
    assert_eq!(called(&mut woken), [lives[1].namespace()]);
    lives[1].round().await.unwrap();
    let (_, reason, message) = condition(&lives[1], INSTANCE, "SpecValid").await;
    assert_eq!(reason, "SecretMissing", "{message}");
    assert_eq!(status(&lives[1]).await.exchanging_since, None);
    assert_eq!(called(&mut woken), [lives[2].namespace()], "the next was not called");
    lives[2].round().await.unwrap();
    assert!(status(&lives[2]).await.exchanging_since.is_some(), "the turn went to nobody");

    // What is there again stands in line like anybody else.
    secret_of(&lives[1]).await;
    for _ in 0..2 {
        lives[1].round().await.unwrap();
    }
    assert_ne!(process(&lives[1]).await.0, image, "it did not wait");
    wave(base, lives, image, None).await;
}

#[test]
fn a_crm_that_is_archived_in_its_turn_gives_it_to_the_next_however_long_its_end_takes() {
    run(true, |base| async move { with_three(&base, "ended", ended).await });
}

/// Lets something of the pods of a life be waited for, or no longer.
async fn hold_pods(life: &Life, on: bool) {
    let api: Api<Pod> = Api::namespaced(life.base.clone(), &life.namespace());
    let held = if on { json!(["example.org/held"]) } else { json!([]) };
    let patch = Patch::Merge(json!({"metadata": {"finalizers": held}}));
    for pod in api.list(&ListParams::default().labels(&format!("{LABEL_PROCESS}=web"))).await.unwrap().items {
        api.patch(&pod.name_any(), &PatchParams::default(), &patch).await.unwrap();
    }
}

async fn ended(base: &Client, lives: &mut [Life; 3], at_once: usize) {
    site(base, json!({"imageRegistry": "mirror-ended.test", "restartsAtOnce": at_once})).await;
    let image = "mirror-ended.test/product:1.0";
    let mut woken = line(base, lives).await;
    stand_in_line(lives).await;
    hold_pods(&lives[0], true).await;
    lives[0].instances().delete(INSTANCE, &DeleteParams::default()).await.unwrap();
    lives[0].round().await.unwrap();
    let (_, reason, message) = condition(&lives[0], INSTANCE, "Archived").await;
    assert_eq!(reason, "StoppingProcesses", "{message}");
    assert_eq!(called(&mut woken), [lives[1].namespace()], "the next was not called");
    lives[1].round().await.unwrap();
    assert!(status(&lives[1]).await.exchanging_since.is_some(), "the turn went to nobody");
    lives[2].round().await.unwrap();
    assert_eq!(status(&lives[2]).await.exchanging_since, None, "two turns came of one");
    lives[0].round().await.unwrap();
    finish(&mut lives[1], image).await;
    assert_eq!(called(&mut woken), [lives[2].namespace()]);

    hold_pods(&lives[0], false).await;
    lives[0].controllers_rest().await.unwrap();
    for _ in 0..3 {
        lives[0].round().await.unwrap();
    }
    assert_eq!(lives[0].instance().await.unwrap(), None, "{}", lives[0].describe().await);
    wave(base, &mut lives[1..], image, None).await;
}

#[test]
fn a_crm_that_is_held_up_in_its_turn_before_its_processes_are_touched_gives_it_to_the_next() {
    run(true, |base| async move { with_three(&base, "untouched", untouched).await });
}

async fn untouched(base: &Client, lives: &mut [Life; 3], at_once: usize) {
    mail_by_secret(&mut lives[0]).await;
    site(base, json!({"imageRegistry": "mirror-untouched.test", "restartsAtOnce": at_once})).await;
    let mut woken = line(base, lives).await;
    stand_in_line(lives).await;
    lose_secret(&lives[0]).await;
    lives[0].round().await.unwrap();
    let (_, reason, message) = condition(&lives[0], INSTANCE, "SpecValid").await;
    assert_eq!(reason, "SecretMissing", "{message}");
    assert_eq!(
        process(&lives[0]).await,
        ("tenantry.local/product:1.0".to_owned(), true),
        "its processes run as before"
    );
    assert_eq!(called(&mut woken), [lives[1].namespace()], "the next was not called");
    assert_eq!(status(&lives[0]).await.exchanging_since, None);
    lives[1].round().await.unwrap();
    assert!(status(&lives[1]).await.exchanging_since.is_some(), "the turn went to nobody");
}
