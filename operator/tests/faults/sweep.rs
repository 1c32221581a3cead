//! Every call of a tenant's whole life fails once in each way, and the end is always the same. Does I/O.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use kube::Client;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::exclusive;
use crate::gate::Mode;
use crate::life::{Life, Outcome, Step};
use crate::picture::{Picture, same, versions};
use crate::world::{World, client};

/// Lives at the same time.
const AT_ONCE: usize = 16;
/// Kinds of fault. A crash before a call leaves the same as a crash after the call before it.
const KINDS: [Mode; 3] = [Mode::Error, Mode::Timeout, Mode::CrashAfter];
/// Failures that are told in full.
const TOLD: usize = 12;

/// What an undisturbed life looks like.
struct Reference {
    calls: BTreeMap<Step, usize>,
    pictures: BTreeMap<Step, Picture>,
}

async fn undisturbed(base: &Client) -> Outcome<Reference> {
    let mut life = Life::new(base, "reference");
    let mut found = Reference { calls: BTreeMap::new(), pictures: BTreeMap::new() };
    for step in Step::ALL {
        let start = Instant::now();
        let drive = life.drive(step, None).await?;
        if step == Step::Create {
            life.work().await?;
        }
        if step.is_whole() {
            let picture = life.check(step, None).await.map_err(|e| format!("undisturbed {step:?}: {e}"))?;
            found.pictures.insert(step, picture);
        }
        println!("  {step:?}: {} calls in {} rounds, {} ms", drive.calls, drive.rounds, start.elapsed().as_millis());
        found.calls.insert(step, drive.calls);
    }
    Ok(found)
}

/// What one life did.
#[derive(Default)]
struct Did {
    faults: usize,
    /// Steps in which the call was not reached: the step took fewer calls this time.
    missed: Vec<String>,
}

/// A life in which the k-th call of every step fails; it ends when no later step has so many calls. The longest
/// step decides how many lives there are, which is why those that are two things one after the other (a tenant,
/// then its instance) are two steps: their calls fail in the same lives.
async fn disturbed(base: &Client, reference: &Reference, k: usize, mode: Mode) -> Outcome<Did> {
    let mut life = Life::new(base, "life");
    let mut did = Did::default();
    let Some(mut last) = Step::ALL.iter().rposition(|s| k <= reference.calls[s]) else { return Ok(did) };
    // What a fault in a first half did is seen at the end of the second.
    while !Step::ALL[last].is_whole() {
        last += 1;
    }
    for step in Step::ALL.into_iter().take(last + 1) {
        let fault = (k <= reference.calls[&step]).then_some((k, mode));
        let place = |e: String| format!("{} {step:?} with {mode:?} at call {k}: {e}", life_name(k, mode));
        let drive = life.drive(step, fault).await.map_err(place)?;
        if step == Step::Create {
            life.work().await.map_err(place)?;
        }
        if fault.is_some() {
            match &drive.fired {
                Some(_) => did.faults += 1,
                None => did.missed.push(format!("{step:?}/{k}/{mode:?} ({} calls)", drive.calls)),
            }
        }
        let call = drive.fired.clone().unwrap_or_default();
        if let Some(picture) = reference.pictures.get(&step) {
            life.check(step, Some(picture)).await.map_err(|e| place(format!("({call}) {e}")))?;
        }
    }
    Ok(did)
}

fn life_name(k: usize, mode: Mode) -> String {
    format!("[{mode:?} {k}]")
}

/// With `TENANTRY_FAULTS_EVERY=n` only every n-th call fails, which is said; without it every call does.
pub fn every() -> usize {
    std::env::var("TENANTRY_FAULTS_EVERY").ok().and_then(|n| n.parse().ok()).unwrap_or(1).max(1)
}

#[test]
fn a_fault_at_any_call_of_a_whole_life_changes_neither_its_end_nor_its_ledger() {
    let _others_may_run = exclusive().read().unwrap_or_else(std::sync::PoisonError::into_inner);
    World::get();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(sweep());
}

async fn sweep() {
    let start = Instant::now();
    let base = client().await;
    println!("a life without a fault:");
    let reference = undisturbed(&base).await.unwrap_or_else(|e| panic!("{e}"));
    let again = undisturbed(&base).await.unwrap_or_else(|e| panic!("{e}"));
    for step in reference.pictures.keys() {
        same(&reference.pictures[step], &again.pictures[step])
            .unwrap_or_else(|e| panic!("{step:?} differs by itself: {e}"));
    }
    let mut neighbour = Life::new(&base, "neighbour");
    neighbour.drive(Step::Create, None).await.unwrap_or_else(|e| panic!("{e}"));
    neighbour.work().await.unwrap_or_else(|e| panic!("{e}"));
    let before = (versions(&neighbour).await.unwrap(), neighbour.picture().await.unwrap());

    let longest = reference.calls.values().copied().max().unwrap_or(0);
    let total: usize = reference.calls.values().sum();
    let modes: Vec<Mode> = match std::env::var("TENANTRY_FAULTS_MODE") {
        Ok(one) => KINDS.into_iter().filter(|m| format!("{m:?}") == one).collect(),
        Err(_) => KINDS.to_vec(),
    };
    let step = every();
    let first = 1 + usize::try_from(jiff::Timestamp::now().as_second()).unwrap_or(0) % step;
    let jobs: Vec<(usize, Mode)> =
        (first..=longest).step_by(step).flat_map(|k| modes.iter().map(move |m| (k, *m))).collect();
    let exact = if step == 1 && modes.len() == KINDS.len() {
        "every call, every kind of fault"
    } else {
        "SAMPLED: not every call or kind"
    };
    println!(
        "{total} calls in {} steps, {} kinds of fault: {} lives ({exact})",
        Step::ALL.len(),
        modes.len(),
        jobs.len()
    );

    let (reference, room, done) =
        (Arc::new(reference), Arc::new(Semaphore::new(AT_ONCE)), Arc::new(AtomicUsize::new(0)));
    let all = jobs.len();
    let mut running = JoinSet::new();
    for (k, mode) in jobs {
        let (base, reference, room, done) = (base.clone(), reference.clone(), room.clone(), done.clone());
        running.spawn(async move {
            let _turn = room.acquire().await;
            let outcome = disturbed(&base, &reference, k, mode).await;
            let n = done.fetch_add(1, Ordering::Relaxed) + 1;
            if n.is_multiple_of(20) || n == all {
                println!("  {n}/{all} lives, {} s", start.elapsed().as_secs());
            }
            outcome
        });
    }
    let (mut faults, mut missed, mut failures) = (0, Vec::new(), Vec::new());
    while let Some(outcome) = running.join_next().await {
        match outcome.map_err(|e| e.to_string()).and_then(|o| o) {
            Ok(did) => {
                faults += did.faults;
                missed.extend(did.missed);
            }
            Err(e) => {
                if failures.len() < TOLD {
                    println!("FAILED {e}");
                }
                failures.push(e);
            }
        }
    }
    println!("{faults} faults in {all} lives, {} s; calls not reached: {missed:?}", start.elapsed().as_secs());
    let after = (versions(&neighbour).await.unwrap(), neighbour.picture().await.unwrap());
    assert_eq!(before, after, "the neighbour was touched");
    assert!(failures.is_empty(), "{} of {all} lives failed; the first: {}", failures.len(), failures[0]);
    assert!(missed.is_empty(), "these faults were never injected, so nothing is known of them: {missed:?}");
}
