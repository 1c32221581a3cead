//! The agent's reports: one JSON object on each line of stdout, read by people and by the operator. No I/O.

use serde::{Deserialize, Serialize};

/// Longest text of one report in characters. Longer output is cut, and the text says so.
pub const MESSAGE_MAX: usize = 2_000;

/// One line of progress.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Milliseconds since the agent started.
    pub at_ms: u64,
    /// Name of the step. An empty name means the whole run.
    pub step: String,
    /// What happened.
    pub event: Event,
    /// Output or explanation, without secrets, at most [`MESSAGE_MAX`] characters.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub message: String,
}

/// What happened to a step or to the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Event {
    /// It started.
    Started,
    /// The child printed a line.
    Output,
    /// It ended successfully.
    Finished,
    /// It ended with an error; the run stops here.
    Failed,
    /// It did not end in time and was killed; the run stops here.
    TimedOut,
}

/// The last failure in a job's log, for a condition's message. Lines that are not reports are skipped.
#[must_use]
pub fn last_failure(log: &str) -> Option<Report> {
    log.lines()
        .rev()
        .filter_map(|line| serde_json::from_str::<Report>(line).ok())
        .find(|r| matches!(r.event, Event::Failed | Event::TimedOut))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_failure_is_found_among_other_lines() {
        let log = "noise\n{\"atMs\":5,\"step\":\"init\",\"event\":\"failed\",\"message\":\"exit 1\"}\nmore noise";
        assert_eq!(last_failure(log).unwrap().message, "exit 1");
        assert_eq!(last_failure("all is well"), None);
    }
}
