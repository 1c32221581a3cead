//! What every command has at hand: the terminal, the cluster, the clock, and what Ctrl-C says. Does I/O.

use std::sync::{Arc, Mutex};

use jiff::Timestamp;

use crate::cluster::Cluster;
use crate::error::Problem;
use crate::output::Out;

/// At hand for every command that talks to the cluster.
#[derive(Clone)]
pub struct Session {
    /// The terminal.
    pub out: Out,
    /// The cluster.
    pub cluster: Cluster,
    /// What is said when the person leaves.
    pub leave: Leave,
}

impl Session {
    /// The time, read in one place.
    pub fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// What is said when the person leaves with Ctrl-C; commands fill it before they wait.
#[derive(Debug, Clone, Default)]
pub struct Leave(Arc<Mutex<Option<Problem>>>);

impl Leave {
    /// The work goes on; the command shows it.
    pub fn goes_on(&self, what: &str, remark: &str, command: &str) {
        self.set(Problem::left(format!("left; {what}")).next(remark, command));
    }

    /// Sets the whole text.
    pub fn set(&self, problem: Problem) {
        if let Ok(mut held) = self.0.lock() {
            *held = Some(problem);
        }
    }

    /// What to say now.
    pub fn problem(&self) -> Problem {
        let held = self.0.lock().ok().and_then(|mut h| h.take());
        held.unwrap_or_else(|| Problem::left("left"))
    }
}
