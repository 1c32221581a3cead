//! What this process knows about integrations, and when it asks again. No I/O.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tenantry_api::integration::IntegrationState;
use tenantry_core::request::Request;
use tokio::sync::Semaphore;

/// Checks that are made at once: a check that hangs must not hold up the others for long.
const AT_ONCE: usize = 8;
/// How often an integration that answers is asked, in seconds.
const EVERY: u32 = 3_600;
/// How often an integration that does not answer is asked, in seconds: people wait for it.
const AWAY: u32 = 600;
/// Seconds after which a check that has not ended no longer holds up a request for another check.
const LOST: i64 = 300;

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The known state.
    pub state: IntegrationState,
    /// Text for people. The same finding must give the same text, or the status would be written at each check.
    pub message: String,
}

impl Found {
    /// A finding.
    #[must_use]
    pub fn new(state: IntegrationState, message: impl Into<String>) -> Self {
        Self { state, message: message.into() }
    }
}

/// What a check is made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Changes with everything that the check depends on.
    pub key: String,
    /// A request for a check, whatever is known already.
    pub request: Option<Request>,
}

/// Whether a check is to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begun {
    /// Not now.
    No,
    /// Yes: this process has never made this check.
    First,
    /// Yes: something that the check depends on has changed since last time.
    Anew,
    /// Yes: the check is due.
    Again,
    /// Yes: somebody asks for it.
    Asked,
}

#[derive(Debug)]
struct Entry {
    /// What the newest check is or was made for.
    question: Question,
    due: Timestamp,
    /// Since when a check is under way.
    busy: Option<Timestamp>,
    /// Whether somebody asked while a check was under way.
    waits: bool,
    found: Option<Found>,
    /// The last request that was met.
    met: Option<Request>,
    /// Whether the finding is in the status, as far as this process knows.
    told: bool,
}

impl Entry {
    fn new(question: &Question, due: Timestamp, now: Timestamp) -> Self {
        let question = question.clone();
        Self { question, due, busy: Some(now), waits: false, found: None, met: None, told: true }
    }

    /// Notes that another check begins.
    fn begins(&mut self, question: &Question, due: Timestamp, now: Timestamp) {
        (self.due, self.busy, self.waits) = (due, Some(now), false);
        self.question.clone_from(question);
    }

    /// Whether a question has a request that no check was made for.
    fn is_request(&self, question: &Question) -> bool {
        question.request.is_some() && question.request != self.question.request && question.request != self.met
    }

    fn is_busy(&self, now: Timestamp) -> bool {
        self.busy.is_some_and(|since| now.duration_since(since) < SignedDuration::from_secs(LOST))
    }
}

/// What this process knows, by instance and integration. Losing this knowledge costs one check of each integration.
#[derive(Debug)]
pub struct Checks {
    all: Mutex<HashMap<String, BTreeMap<String, Entry>>>,
    /// Limits how many checks run at once.
    pub places: Arc<Semaphore>,
}

impl Default for Checks {
    fn default() -> Self {
        Self { all: Mutex::default(), places: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

impl Checks {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, BTreeMap<String, Entry>>> {
        // A panic elsewhere leaves the map intact: every change is one insert or remove.
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Decides whether a check is to be made and, if so, notes that it has begun. Each request leads to one check at
    /// most, and checks wait for each other: requests that are written in quick succession do not cause checks in quick
    /// succession.
    #[must_use]
    pub fn begin(&self, uid: &str, name: &str, question: &Question, now: Timestamp) -> Begun {
        let mut all = self.lock();
        let mine = all.entry(uid.to_owned()).or_default();
        let due = later(now, EVERY, uid);
        match mine.get_mut(name) {
            Some(entry) if entry.question.key != question.key => {
                *entry = Entry::new(question, due, now);
                Begun::Anew
            }
            Some(entry) if entry.due <= now => {
                entry.begins(question, due, now);
                Begun::Again
            }
            Some(entry) if entry.is_request(question) && entry.is_busy(now) => {
                // The check under way began before the request: it may have missed what was fixed meanwhile.
                entry.waits = true;
                Begun::No
            }
            Some(entry) if entry.is_request(question) => {
                entry.begins(question, due, now);
                Begun::Asked
            }
            Some(_) => Begun::No,
            None => {
                mine.insert(name.to_owned(), Entry::new(question, due, now));
                Begun::First
            }
        }
    }

    /// Notes what a check found. Returns whether that is news: another finding, a request that is met now, or a request
    /// that waits for the end of this check.
    pub fn end(&self, uid: &str, name: &str, question: &Question, found: Found, now: Timestamp) -> bool {
        let mut all = self.lock();
        // Something that the check depends on may have changed meanwhile: then another check is under way.
        let entry = all.get_mut(uid).and_then(|m| m.get_mut(name)).filter(|e| e.question == *question);
        let Some(entry) = entry else { return false };
        entry.busy = None;
        if found.state == IntegrationState::Unreachable {
            entry.due = later(now, AWAY, uid);
        }
        let met = question.request.is_some() && question.request != entry.met;
        if met {
            entry.met.clone_from(&question.request);
        }
        let news = met || entry.waits || entry.found.as_ref() != Some(&found);
        entry.found = Some(found);
        entry.told &= !news;
        news
    }

    /// The finding, and the last request that was met. The caller is about to write both into the status.
    #[must_use]
    pub fn tell(&self, uid: &str, name: &str, key: &str) -> Option<(Found, Option<Request>)> {
        let mut all = self.lock();
        let entry = all.get_mut(uid)?.get_mut(name).filter(|e| e.question.key == key)?;
        entry.told = true;
        entry.found.clone().map(|found| (found, entry.met.clone()))
    }

    /// Whether a pass is needed for a check: a check is due, or has found something that was not reported yet.
    #[must_use]
    pub fn wants(&self, uid: &str, now: Timestamp) -> bool {
        self.lock().get(uid).is_some_and(|mine| mine.values().any(|e| e.due <= now || !e.told))
    }

    /// How long until the next check of an instance is due.
    #[must_use]
    pub fn next(&self, uid: &str, now: Timestamp) -> Option<Duration> {
        let due = self.lock().get(uid)?.values().map(|e| e.due).min()?;
        Some(Duration::try_from(due.duration_since(now)).unwrap_or_default())
    }

    /// Forgets integrations that are not checked any more.
    pub fn keep_only(&self, uid: &str, names: &[&str]) {
        let mut all = self.lock();
        if let Some(mine) = all.get_mut(uid) {
            mine.retain(|name, _| names.contains(&name.as_str()));
            if mine.is_empty() {
                all.remove(uid);
            }
        }
    }

    /// Forgets an instance that is gone.
    pub fn forget(&self, uid: &str) {
        self.lock().remove(uid);
    }
}

/// A time `seconds` and up to a sixth more after now. It differs between instances, so that they do not all ask at
/// once.
fn later(now: Timestamp, seconds: u32, uid: &str) -> Timestamp {
    let spread = uid.bytes().fold(0_u32, |sum, b| sum.wrapping_mul(31).wrapping_add(u32::from(b))) % (seconds / 6);
    now.checked_add(SignedDuration::from_secs(i64::from(seconds + spread))).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn answers() -> Found {
        Found::new(IntegrationState::Answers, "fine")
    }

    fn away() -> Found {
        Found::new(IntegrationState::Unreachable, "away")
    }

    fn of(key: &str) -> Question {
        Question { key: key.into(), request: None }
    }

    /// A question with a request that was made at a time of day.
    fn asked(key: &str, hour: u8) -> Question {
        Question { key: key.into(), request: Request::parse(&format!("2026-11-21T{hour:02}:00:00Z")) }
    }

    /// Checks that know that the mail server does not answer, and have reported that.
    fn knowing(question: &Question) -> Checks {
        let checks = Checks::default();
        assert_eq!(checks.begin("u", "mail", question, at(0)), Begun::First);
        assert!(checks.end("u", "mail", question, away(), at(1)));
        assert_eq!(checks.tell("u", "mail", &question.key), Some((away(), question.request.clone())));
        assert!(!checks.wants("u", at(2)));
        checks
    }

    #[test]
    fn a_check_is_made_at_first_then_about_hourly_and_at_once_when_it_leads_elsewhere() {
        let checks = Checks::default();
        assert_eq!(checks.begin("u", "mail", &of("a"), at(0)), Begun::First);
        assert_eq!(checks.begin("u", "mail", &of("a"), at(1)), Begun::No, "under way");
        assert!(checks.end("u", "mail", &of("a"), answers(), at(2)));
        let next = checks.next("u", at(2)).unwrap().as_secs();
        assert!((3_598..=4_200).contains(&next), "{next}");
        assert!(checks.wants("u", at(2)), "it is not told yet");
        assert_eq!(checks.tell("u", "mail", "a"), Some((answers(), None)));
        assert!(!checks.wants("u", at(3)) && checks.wants("u", at(4_300)));
        assert_eq!(checks.begin("u", "mail", &of("a"), at(4_300)), Begun::Again);
        assert!(!checks.end("u", "mail", &of("a"), answers(), at(4_301)), "no news");
        assert!(!checks.wants("u", at(4_302)));
        assert_eq!(checks.begin("u", "mail", &of("b"), at(4_303)), Begun::Anew);
        assert_eq!(checks.tell("u", "mail", "b"), None);
        assert!(!checks.end("u", "mail", &of("a"), answers(), at(4_304)), "an answer to an old question");
    }

    #[test]
    fn what_does_not_answer_is_asked_again_sooner_and_what_is_gone_is_forgotten() {
        let checks = Checks::default();
        for name in ["mail", "sms"] {
            assert_eq!(checks.begin("u", name, &of("a"), at(0)), Begun::First);
        }
        assert!(checks.end("u", "mail", &of("a"), away(), at(0)));
        let next = checks.next("u", at(0)).unwrap().as_secs();
        assert!((600..=700).contains(&next), "{next}");
        checks.keep_only("u", &["sms"]);
        assert_eq!(checks.tell("u", "mail", "a"), None);
        checks.keep_only("u", &[]);
        assert!(checks.lock().is_empty());
    }

    #[test]
    fn a_request_is_met_by_one_check_and_is_news_even_when_the_finding_is_not() {
        let checks = knowing(&of("a"));
        let nine = asked("a", 9);
        assert_eq!(checks.begin("u", "mail", &nine, at(10)), Begun::Asked);
        assert_eq!(checks.tell("u", "mail", "a"), Some((away(), None)), "not met before it has ended");
        assert!(checks.end("u", "mail", &nine, away(), at(11)), "whoever asked is told");
        assert!(checks.wants("u", at(11)));
        assert_eq!(checks.tell("u", "mail", "a"), Some((away(), nine.request.clone())));
        for second in 12..100 {
            assert_eq!(checks.begin("u", "mail", &nine, at(second)), Begun::No);
        }
        // A request that is removed and written once more is still the same request.
        assert_eq!(checks.begin("u", "mail", &of("a"), at(100)), Begun::No);
        assert_eq!(checks.begin("u", "mail", &nine, at(101)), Begun::No);
        assert!(!checks.wants("u", at(102)));
    }

    #[test]
    fn a_request_that_stands_there_still_is_no_news_at_the_next_check() {
        let nine = asked("a", 9);
        let checks = knowing(&nine);
        assert_eq!(checks.begin("u", "mail", &nine, at(800)), Begun::Again);
        assert!(!checks.end("u", "mail", &nine, away(), at(801)));
        assert_eq!(checks.begin("u", "mail", &of("a"), at(1_600)), Begun::Again, "it was taken away");
        assert!(!checks.end("u", "mail", &of("a"), away(), at(1_601)));
        assert_eq!(checks.begin("u", "mail", &nine, at(1_602)), Begun::No, "it was met long ago");
    }

    #[test]
    fn who_asks_while_a_check_is_under_way_is_answered_by_the_next_one() {
        let checks = knowing(&of("a"));
        assert_eq!(checks.begin("u", "mail", &asked("a", 9), at(10)), Begun::Asked);
        for (second, hour) in [(11, 10), (12, 11), (13, 12)] {
            assert_eq!(checks.begin("u", "mail", &asked("a", hour), at(second)), Begun::No, "one after the other");
        }
        assert!(checks.end("u", "mail", &asked("a", 9), away(), at(20)));
        assert!(checks.wants("u", at(20)));
        assert_eq!(checks.begin("u", "mail", &asked("a", 12), at(21)), Begun::Asked, "the last one stands for all");
        assert!(checks.end("u", "mail", &asked("a", 12), answers(), at(22)));
        assert_eq!(checks.tell("u", "mail", "a"), Some((answers(), asked("a", 12).request)));
        assert_eq!(checks.begin("u", "mail", &asked("a", 12), at(23)), Begun::No);
    }

    #[test]
    fn a_request_that_came_while_the_same_finding_was_made_is_not_lost() {
        let checks = knowing(&of("a"));
        assert_eq!(checks.begin("u", "mail", &of("a"), at(800)), Begun::Again);
        assert_eq!(checks.begin("u", "mail", &asked("a", 9), at(801)), Begun::No);
        assert_eq!(checks.tell("u", "mail", "a"), Some((away(), None)));
        assert!(checks.end("u", "mail", &of("a"), away(), at(802)), "somebody waits");
        assert!(checks.wants("u", at(802)));
        assert_eq!(checks.begin("u", "mail", &asked("a", 9), at(803)), Begun::Asked);
    }

    #[test]
    fn a_check_that_never_ends_holds_nobody_up_for_ever_and_its_late_answer_counts_nothing() {
        let checks = knowing(&of("a"));
        assert_eq!(checks.begin("u", "mail", &asked("a", 9), at(10)), Begun::Asked);
        assert_eq!(checks.begin("u", "mail", &asked("a", 10), at(10 + LOST)), Begun::Asked);
        assert!(!checks.end("u", "mail", &asked("a", 9), answers(), at(11 + LOST)));
        assert!(checks.end("u", "mail", &asked("a", 10), away(), at(12 + LOST)));
        assert_eq!(checks.tell("u", "mail", "a"), Some((away(), asked("a", 10).request)));
    }

    #[test]
    fn other_settings_and_a_request_at_once_are_one_check() {
        let checks = knowing(&asked("a", 9));
        assert_eq!(checks.begin("u", "mail", &asked("b", 10), at(10)), Begun::Anew);
        assert_eq!(checks.begin("u", "mail", &asked("b", 10), at(11)), Begun::No);
        assert!(checks.end("u", "mail", &asked("b", 10), answers(), at(12)));
        assert_eq!(checks.tell("u", "mail", "b"), Some((answers(), asked("b", 10).request)));
        assert_eq!(checks.begin("u", "mail", &asked("b", 10), at(13)), Begun::No);
    }
}
