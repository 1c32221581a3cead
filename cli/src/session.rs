//! What every command has at hand: the terminal, the cluster, the clock, and what Ctrl-C says. Does I/O.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use jiff::Timestamp;

use crate::cluster::Cluster;
use crate::error::Problem;
use crate::output::Out;

/// What every command that talks to the cluster needs.
#[derive(Clone)]
pub struct Session {
    /// The terminal.
    pub out: Out,
    pub cluster: Cluster,
    /// What is printed when the person leaves.
    pub leave: Leave,
}

impl Session {
    /// The time, read in one place.
    pub fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// What is printed when the person leaves with Ctrl-C; commands fill it before they wait.
#[derive(Debug, Clone, Default)]
pub struct Leave {
    text: Arc<Mutex<Option<Problem>>>,
    held: Arc<AtomicBool>,
}

impl Leave {
    /// The next Ctrl-C belongs to the command, which listens for it itself and clears up; the one after it ends
    /// the program.
    pub fn hold(&self) {
        self.held.store(true, Ordering::SeqCst);
    }

    /// Whether this Ctrl-C belongs to the command. Asked once for each.
    pub fn passes(&self) -> bool {
        self.held.swap(false, Ordering::SeqCst)
    }

    /// Says that the work goes on, with the command that shows it.
    pub fn goes_on(&self, what: &str, remark: &str, command: &str) {
        self.set(Problem::left(format!("left; {what}")).next(remark, command));
    }

    /// Sets the whole text.
    pub fn set(&self, problem: Problem) {
        if let Ok(mut held) = self.text.lock() {
            *held = Some(problem);
        }
    }

    /// What to say now.
    pub fn problem(&self) -> Problem {
        let held = self.text.lock().ok().and_then(|mut h| h.take());
        held.unwrap_or_else(|| Problem::left("left"))
    }
}
