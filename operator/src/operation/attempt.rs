//! Attempts: their numbers, the pauses between them, and what the build of a template does next. No I/O.

use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;
use tenantry_database::State;

/// Seconds before a failed attempt is made again, doubled by every attempt.
const FIRST_PAUSE: u64 = 30;
/// Longest pause in seconds.
const LONGEST_PAUSE: u64 = 900;

/// The newest attempt among jobs, with its number, which is the last part of the job's name. Failed jobs are deleted
/// after a day, so the number of jobs does not give the number of the attempt.
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

/// What is left of the pause after an attempt that failed this long ago. None means that the pause is over.
#[must_use]
pub fn pause_left(attempt: u32, ago: Duration) -> Option<Duration> {
    Duration::from_secs(pause(attempt)).checked_sub(ago).filter(|left| !left.is_zero())
}

/// What the build of a template by a job does next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<'a, J> {
    /// Follows the job of this attempt.
    Follow(u32, &'a J),
    /// Begins this attempt.
    Start(u32),
    /// Drops what an earlier attempt left, then begins this attempt.
    Anew(u32),
}

/// Decides what the build does next from the server's record of the template (its state, and the attempt that made it)
/// and the newest job. Only the job that belongs to the existing database counts: another job knows nothing about this
/// database.
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

/// The next attempt of a build by SQL, and whether the remains of an earlier attempt must be dropped first. An attempt
/// whose template is neither sealed nor only recorded was broken off or has failed. It is never continued, because not
/// every engine undoes half a step.
#[must_use]
pub fn next_by_sql(record: Option<(State, u32)>) -> (u32, bool) {
    match record {
        None => (1, false),
        Some((State::Creating, attempt)) => (attempt, false),
        Some((_, attempt)) => (attempt.saturating_add(1), true),
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
    fn a_build_by_sql_begins_anew_after_whatever_broke_it_off() {
        assert_eq!(next_by_sql(None), (1, false));
        assert_eq!(next_by_sql(Some((State::Creating, 3))), (3, false));
        for state in [State::Loaded, State::Installing, State::Dropping] {
            assert_eq!(next_by_sql(Some((state, 3))), (4, true), "{state}");
        }
    }

    #[test]
    fn a_pause_grows_with_the_attempts_and_ends() {
        let seconds = Duration::from_secs;
        assert_eq!(pause_left(1, seconds(0)), Some(seconds(60)));
        assert_eq!(pause_left(2, seconds(60)), Some(seconds(60)));
        assert_eq!(pause_left(9, seconds(899)), Some(seconds(1)));
        for ago in [60, 61, 100_000] {
            assert_eq!(pause_left(1, seconds(ago)), None, "{ago}");
        }
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
        // The server lost its data after the first attempt succeeded, and the job of that attempt still exists.
        assert_eq!(next(None, Some(&(1, ()))), Next::Start(2));
        assert_eq!(next(Some((State::Creating, 2)), Some(&(1, ()))), Next::Start(2));
        assert_eq!(next(Some((State::Installing, 2)), Some(&(1, ()))), Next::Anew(2));
    }
}
