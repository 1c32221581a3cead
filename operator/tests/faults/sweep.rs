//! Every call of a tenant's whole life fails once in each way, and the end is always the same. Does I/O.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use kube::Client;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::exclusive;
use crate::gate::{Mode, Nth, Planned, is_change};
use crate::life::{Life, Outcome, Step};
use crate::picture::{Picture, same, versions};
use crate::world::{World, client};

/// Lives at the same time.
const AT_ONCE: usize = 16;
/// Kinds of fault. A crash before a call leaves the same as a crash after the call before it, and a crash after a read
/// of Kubernetes the same as one after the change before that; a read whose answer is lost is one that failed.
const KINDS: [Mode; 3] = [Mode::Error, Mode::Timeout, Mode::CrashAfter];
/// Failures that are told in full.
const TOLD: usize = 12;

/// What an undisturbed life looks like.
struct Reference {
    /// Calls of each step, by name.
    calls: BTreeMap<Step, Vec<String>>,
    pictures: BTreeMap<Step, Picture>,
}

impl Reference {
    /// The faults of a step: each call fails once; each that does more than read also by a lost answer, and by a
    /// crash after it.
    fn faults(&self, step: Step, kinds: &[Mode]) -> Vec<Planned> {
        let all = self.calls[&step].len();
        let changes = self.calls[&step].iter().filter(|call| is_change(call)).count();
        let of = |mode: &Mode| {
            let mode = *mode;
            let nths: Vec<Nth> = match mode {
                Mode::Error | Mode::CrashBefore => (1..=all).map(Nth::Call).collect(),
                Mode::Timeout => (1..=changes).map(Nth::Change).collect(),
                // After the first of all calls as well: a new process, which knows nothing, makes the first change.
                Mode::CrashAfter => std::iter::once(Nth::Call(1)).chain((1..=changes).map(Nth::Change)).collect(),
            };
            nths.into_iter().map(move |nth| Planned { nth, mode })
        };
        kinds.iter().flat_map(of).collect()
    }
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
        println!(
            "  {step:?}: {} calls in {} rounds, {} ms",
            drive.calls.len(),
            drive.rounds,
            start.elapsed().as_millis()
        );
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

/// A life in which the n-th fault of every step happens; it ends when no later step has so many. The step with the most
/// decides how many lives there are, which is why those that are two things one after the other (a tenant, then its
/// instance) are two steps: their calls fail in the same lives.
async fn disturbed(
    base: &Client,
    reference: &Reference,
    faults: &BTreeMap<Step, Vec<Planned>>,
    n: usize,
) -> Outcome<Did> {
    let mut life = Life::new(base, "life");
    let mut did = Did::default();
    let Some(mut last) = Step::ALL.iter().rposition(|s| n < faults[s].len()) else { return Ok(did) };
    // What a fault in a first half did is seen at the end of the second.
    while !Step::ALL[last].is_whole() {
        last += 1;
    }
    for step in Step::ALL.into_iter().take(last + 1) {
        let fault = faults[&step].get(n).copied();
        let place = |e: String| format!("[life {n}] {step:?} with {fault:?}: {e}");
        let drive = life.drive(step, fault).await.map_err(place)?;
        if step == Step::Create {
            life.work().await.map_err(place)?;
        }
        if let Some(fault) = fault {
            match &drive.fired {
                Some(_) => did.faults += 1,
                None if is_longer(fault, &drive.calls) => {
                    return Err(place(format!("there were {} calls, and none failed", drive.calls.len())));
                }
                None => did.missed.push(format!("{step:?} {fault:?} ({} calls)", drive.calls.len())),
            }
        }
        let call = drive.fired.clone().unwrap_or_default();
        if let Some(picture) = reference.pictures.get(&step) {
            life.check(step, Some(picture)).await.map_err(|e| place(format!("({call}) {e}")))?;
        }
    }
    Ok(did)
}

/// Whether a road had the call that was to fail.
fn is_longer(fault: Planned, calls: &[String]) -> bool {
    match fault.nth {
        Nth::Call(k) => calls.len() >= k,
        Nth::Change(k) => calls.iter().filter(|call| is_change(call)).count() >= k,
    }
}

/// With `TENANTRY_FAULTS_EVERY=n` only every n-th call fails, which is said; without it every call does.
fn every() -> usize {
    std::env::var("TENANTRY_FAULTS_EVERY").ok().and_then(|n| n.parse().ok()).unwrap_or(1).max(1)
}

/// The first of the calls that fail. `TENANTRY_FAULTS_PART` chooses it; the scripts make that of the commit's hash, so
/// that each commit tries another part, and the same one again and again.
fn part() -> usize {
    std::env::var("TENANTRY_FAULTS_PART").ok().and_then(|n| n.parse::<usize>().ok()).unwrap_or(0) % every()
}

/// The part of these calls, or ways to fail, that is tried.
pub fn sampled<T>(all: impl Iterator<Item = T>) -> impl Iterator<Item = T> {
    all.skip(part()).step_by(every())
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
    let mut reference = undisturbed(&base).await.unwrap_or_else(|e| panic!("{e}"));
    let again = undisturbed(&base).await.unwrap_or_else(|e| panic!("{e}"));
    for step in reference.pictures.keys() {
        same(&reference.pictures[step], &again.pictures[step])
            .unwrap_or_else(|e| panic!("{step:?} differs by itself: {e}"));
    }
    // How many rounds a step waits for the controllers of Kubernetes differs: the shorter road has all that is ours.
    for (step, calls) in again.calls {
        if reference.calls.get(&step).is_some_and(|known| calls.len() < known.len()) {
            reference.calls.insert(step, calls);
        }
    }
    let mut neighbour = Life::new(&base, "neighbour");
    neighbour.drive(Step::Create, None).await.unwrap_or_else(|e| panic!("{e}"));
    neighbour.work().await.unwrap_or_else(|e| panic!("{e}"));
    let before = (versions(&neighbour).await.unwrap(), neighbour.picture().await.unwrap());

    let kinds: Vec<Mode> = match std::env::var("TENANTRY_FAULTS_MODE") {
        Ok(one) => KINDS.into_iter().filter(|m| format!("{m:?}") == one).collect(),
        Err(_) => KINDS.to_vec(),
    };
    let planned: BTreeMap<Step, Vec<Planned>> =
        Step::ALL.into_iter().map(|step| (step, reference.faults(step, &kinds))).collect();
    let longest = planned.values().map(Vec::len).max().unwrap_or(0);
    let jobs: Vec<usize> = sampled(0..longest).collect();
    let exact = if every() == 1 && kinds.len() == KINDS.len() {
        "every call, every kind of fault".to_owned()
    } else {
        format!("SAMPLED: not every call or kind; one of {}, from number {}", every(), part())
    };
    println!(
        "{} calls and {} faults in {} steps: {} lives ({exact})",
        reference.calls.values().map(Vec::len).sum::<usize>(),
        planned.values().map(Vec::len).sum::<usize>(),
        Step::ALL.len(),
        jobs.len()
    );

    let shared = Arc::new((reference, planned));
    let (room, done) = (Arc::new(Semaphore::new(AT_ONCE)), Arc::new(AtomicUsize::new(0)));
    let all = jobs.len();
    let mut running = JoinSet::new();
    for life in jobs {
        let (base, shared, room, done) = (base.clone(), shared.clone(), room.clone(), done.clone());
        running.spawn(async move {
            let _turn = room.acquire().await;
            let outcome = disturbed(&base, &shared.0, &shared.1, life).await;
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
    // A road that waited fewer rounds still has fewer calls than the shortest of before; that must stay rare.
    let rare = missed.len() * 100 <= faults;
    assert!(rare, "these faults were never injected, so nothing is known of them: {missed:?}");
}
