//! Attempts of a job: their numbers, the pauses between them, and what the build of a template does next. No I/O.

use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;
use tenantry_database::State;

/// Seconds before a failed attempt is made again, doubled by every attempt.
const FIRST_PAUSE: u64 = 30;
/// Longest pause in seconds.
const LONGEST_PAUSE: u64 = 900;

/// The newest of some attempts with its number, the last part of its name. Failed jobs go after a day, so
/// their count says nothing.
#[must_use]
pub fn newest(jobs: Vec<Job>) -> Option<(u32, Job)> {
    let number = |job: &Job| -> u32 { job.name_any().rsplit_once('-').and_then(|(_, n)| n.parse().ok()).unwrap_or(0) };
    jobs.into_iter().map(|job| (number(&job), job)).max_by_key(|(n, _)| *n)
}

/// Seconds between the failure of an attempt and the next one.
#[must_use]
pub fn pause(attempt: u32) -> u64 {
    FIRST_PAUSE.saturating_mul(1 << attempt.min(6)).min(LONGEST_PAUSE)
}

/// What the build of a template does next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<'a, J> {
    /// Looks after the job of this attempt.
    Follow(u32, &'a J),
    /// Begins this attempt.
    Start(u32),
    /// Drops what an earlier attempt left, then begins this one.
    Anew(u32),
}

/// Decides it from the server's record of the template (its state, and the attempt that made it) and the newest
/// job. Only the job that belongs to the database there is counts: another one knows nothing of this database.
#[must_use]
pub fn next<J>(record: Option<(State, u32)>, newest: Option<&(u32, J)>) -> Next<'_, J> {
    let attempt = newest.map_or(1, |(attempt, _)| attempt.saturating_add(1));
    match (record, newest) {
        (None | Some((State::Creating, _)), _) => Next::Start(attempt),
        (Some((State::Installing, made_by)), Some((attempt, job))) if made_by == *attempt => {
            Next::Follow(*attempt, job)
        }
        _ => Next::Anew(attempt),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(name: &str, age: &str) -> Job {
        let job = serde_json::json!({"metadata": {"name": name, "creationTimestamp": age}});
        serde_json::from_value(job).unwrap()
    }

    #[test]
    fn the_newest_attempt_is_the_one_with_the_highest_number_when_older_ones_are_gone() {
        let jobs = vec![
            job("x-personalise-g1-9", "2026-01-01T00:00:00Z"),
            job("x-personalise-g1-11", "2026-01-01T00:00:00Z"),
            job("x-personalise-g1-10", "2026-01-02T00:00:00Z"),
        ];
        assert_eq!(newest(jobs).unwrap().0, 11);
        assert_eq!(newest(Vec::new()), None);
        assert_eq!((pause(1), pause(5), pause(400)), (60, 900, 900));
    }

    #[test]
    fn a_template_that_was_being_dropped_is_dropped_and_built_again() {
        assert_eq!(next(Some((State::Dropping, 1)), Some(&(1, ()))), Next::Anew(2));
        assert_eq!(next::<()>(Some((State::Dropping, 1)), None), Next::Anew(1));
        assert_eq!(next(Some((State::Loaded, 2)), Some(&(1, ()))), Next::Anew(2));
        assert_eq!(next::<()>(Some((State::Installing, 3)), None), Next::Anew(1));
    }

    #[test]
    fn a_job_of_another_attempt_says_nothing_of_the_database_there_is() {
        assert_eq!(next(Some((State::Installing, 1)), Some(&(1, ()))), Next::Follow(1, &()));
        // The server lost its data after the first attempt succeeded, and its job is still there.
        assert_eq!(next(None, Some(&(1, ()))), Next::Start(2));
        assert_eq!(next(Some((State::Creating, 2)), Some(&(1, ()))), Next::Start(2));
        assert_eq!(next(Some((State::Installing, 2)), Some(&(1, ()))), Next::Anew(2));
    }
}
