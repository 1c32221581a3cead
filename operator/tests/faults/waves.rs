//! A change of the Site restarts no more CRMs at once than the Site says, whatever call fails. Does I/O.

use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use k8s_openapi::api::apps::v1::Deployment;
use kube::Client;
use kube::api::{Api, ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use tenantry_api::condition::find;
use tenantry_api::crm_instance::{CrmInstance, CrmInstanceStatus, InstancePhase};
use tenantry_api::site::Site;
use tenantry_core::names::{LABEL_PROCESS, SITE_NAME};

use crate::gate::Mode;
use crate::life::{INSTANCE, Life, Step};
use crate::scenarios::run;
use crate::world::{Operator, World, blueprint, fixture};

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

#[test]
fn a_change_of_the_site_restarts_one_crm_after_the_other_and_their_own_changes_do_not_wait() {
    run(true, |base| async move {
        let name = World::get().name("waves");
        let mut spec = fixture("key={{ secrets.key }}\n");
        spec["processes"][0]["replicas"] = json!({"default": 1, "max": 1});
        blueprint(&base, &name, spec).await;
        let mut lives = ["wave-a", "wave-b", "wave-c"].map(|what| Life::new(&base, what));
        for life in &mut lives {
            life.blueprint.clone_from(&name);
            life.drive(Step::Create, None).await.unwrap_or_else(|e| panic!("{e}"));
        }
        // What another test left in the middle of an exchange has a turn for ever.
        let all: Api<CrmInstance> = Api::all(base.clone());
        let all = all.list(&ListParams::default()).await.unwrap().items;
        let left = all.iter().filter(|i| i.status.as_ref().is_some_and(|s| s.exchanging_since.is_some())).count();
        let tried = AssertUnwindSafe(waves(&base, &mut lives, left + 1)).catch_unwind().await;
        // The other tests have the Site as it was.
        site(&base, json!({"imageRegistry": null, "restartsAtOnce": null})).await;
        if let Err(panic) = tried {
            std::panic::resume_unwind(panic);
        }
    });
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
