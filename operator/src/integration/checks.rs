//! What this process knows of integrations, and when it asks again. No I/O.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tenantry_api::integration::IntegrationState;
use tokio::sync::Semaphore;

/// Checks that are made at once: one that hangs must not hold up the others for long.
const AT_ONCE: usize = 8;
/// How often what answers is asked, in seconds.
const EVERY: u32 = 3_600;
/// How often what does not answer is asked, in seconds: people wait for it.
const AWAY: u32 = 600;

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What is known.
    pub state: IntegrationState,
    /// For people; the same for the same finding, or the status would be written at each check.
    pub message: String,
}

impl Found {
    /// A finding.
    #[must_use]
    pub fn new(state: IntegrationState, message: impl Into<String>) -> Self {
        Self { state, message: message.into() }
    }
}

/// Whether a check is to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begun {
    /// Not now.
    No,
    /// Yes; this process never made it.
    First,
    /// Yes; something that it depends on is another than last time.
    Anew,
    /// Yes; its time has come.
    Again,
}

#[derive(Debug)]
struct Entry {
    key: String,
    due: Timestamp,
    found: Option<Found>,
    /// Whether what was found stands in the status, as far as this process knows.
    told: bool,
}

/// What this process knows, by instance and integration. Losing it costs one check of each.
#[derive(Debug)]
pub struct Checks {
    all: Mutex<HashMap<String, BTreeMap<String, Entry>>>,
    /// Places for checks.
    pub places: Arc<Semaphore>,
}

impl Default for Checks {
    fn default() -> Self {
        Self { all: Mutex::default(), places: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

impl Checks {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, BTreeMap<String, Entry>>> {
        // A panic elsewhere leaves the map whole: every change is one insert or remove.
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks whether a check is to be made, and notes that it is being made. `key` changes with all it depends on.
    #[must_use]
    pub fn begin(&self, uid: &str, name: &str, key: &str, now: Timestamp) -> Begun {
        let mut all = self.lock();
        let mine = all.entry(uid.to_owned()).or_default();
        let due = later(now, EVERY, uid);
        match mine.get_mut(name) {
            Some(entry) if entry.key != key => {
                *entry = Entry { key: key.to_owned(), due, found: None, told: true };
                Begun::Anew
            }
            Some(entry) if entry.due <= now => {
                entry.due = due;
                Begun::Again
            }
            Some(_) => Begun::No,
            None => {
                mine.insert(name.to_owned(), Entry { key: key.to_owned(), due, found: None, told: true });
                Begun::First
            }
        }
    }

    /// Notes what a check found. Returns whether it is news.
    pub fn end(&self, uid: &str, name: &str, key: &str, found: Found, now: Timestamp) -> bool {
        let mut all = self.lock();
        // Something that it depends on may have changed meanwhile: then another check is under way.
        let Some(entry) = all.get_mut(uid).and_then(|m| m.get_mut(name)).filter(|e| e.key == key) else { return false };
        if found.state == IntegrationState::Unreachable {
            entry.due = later(now, AWAY, uid);
        }
        let news = entry.found.as_ref() != Some(&found);
        entry.found = Some(found);
        entry.told &= !news;
        news
    }

    /// What was found; it is about to be written into the status.
    #[must_use]
    pub fn tell(&self, uid: &str, name: &str, key: &str) -> Option<Found> {
        let mut all = self.lock();
        let entry = all.get_mut(uid)?.get_mut(name).filter(|e| e.key == key)?;
        entry.told = true;
        entry.found.clone()
    }

    /// Whether a pass is needed for a check: one is due, or has found something that was not told yet.
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

    /// Forgets what is not checked any more.
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

/// A time `seconds` and up to a sixth more after now, other for each instance, so that they do not all ask at once.
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

    #[test]
    fn a_check_is_made_at_first_then_about_hourly_and_at_once_when_it_leads_elsewhere() {
        let checks = Checks::default();
        assert_eq!(checks.begin("u", "mail", "a", at(0)), Begun::First);
        assert_eq!(checks.begin("u", "mail", "a", at(1)), Begun::No, "under way");
        assert!(checks.end("u", "mail", "a", answers(), at(2)));
        let next = checks.next("u", at(2)).unwrap().as_secs();
        assert!((3_598..=4_200).contains(&next), "{next}");
        assert!(checks.wants("u", at(2)), "it is not told yet");
        assert_eq!(checks.tell("u", "mail", "a"), Some(answers()));
        assert!(!checks.wants("u", at(3)) && checks.wants("u", at(4_300)));
        assert_eq!(checks.begin("u", "mail", "a", at(4_300)), Begun::Again);
        assert!(!checks.end("u", "mail", "a", answers(), at(4_301)), "no news");
        assert!(!checks.wants("u", at(4_302)));
        assert_eq!(checks.begin("u", "mail", "b", at(4_303)), Begun::Anew);
        assert_eq!(checks.tell("u", "mail", "b"), None);
        assert!(!checks.end("u", "mail", "a", answers(), at(4_304)), "an answer to an old question");
    }

    #[test]
    fn what_does_not_answer_is_asked_again_sooner_and_what_is_gone_is_forgotten() {
        let checks = Checks::default();
        for name in ["mail", "sms"] {
            assert_eq!(checks.begin("u", name, "a", at(0)), Begun::First);
        }
        assert!(checks.end("u", "mail", "a", Found::new(IntegrationState::Unreachable, "away"), at(0)));
        let next = checks.next("u", at(0)).unwrap().as_secs();
        assert!((600..=700).contains(&next), "{next}");
        checks.keep_only("u", &["sms"]);
        assert_eq!(checks.tell("u", "mail", "a"), None);
        checks.keep_only("u", &[]);
        assert!(checks.lock().is_empty());
    }
}
