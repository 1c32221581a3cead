//! Conditions: set without touching `lastTransitionTime` unless the status changes. No I/O.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

pub use crate::condition_type::{ConditionType, ROAD, ROAD_OF_A_COPY};

/// Longest message of a condition in characters (the API's own limit is 32,768; people read less).
pub const MESSAGE_MAX: usize = 1_000;

/// What a condition says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// `Ready`, `Verified`, ...
    pub kind: ConditionType,
    /// True, False; none: Unknown.
    pub status: Option<bool>,
    /// One CamelCase word.
    pub reason: String,
    /// What happened, what is safe, which command helps.
    pub message: String,
}

impl Said {
    /// A condition that holds.
    #[must_use]
    pub fn yes(kind: ConditionType, reason: &str, message: impl Into<String>) -> Self {
        Self { kind, status: Some(true), reason: reason.into(), message: message.into() }
    }

    /// A condition that does not hold.
    #[must_use]
    pub fn no(kind: ConditionType, reason: &str, message: impl Into<String>) -> Self {
        Self { kind, status: Some(false), reason: reason.into(), message: message.into() }
    }

    /// A condition of which nothing is known yet.
    #[must_use]
    pub fn unknown(kind: ConditionType, reason: &str, message: impl Into<String>) -> Self {
        Self { kind, status: None, reason: reason.into(), message: message.into() }
    }
}

/// Puts `said` into `conditions`, keeping the time of the last transition unless the status differs.
pub fn set(conditions: &mut Vec<Condition>, said: Said, generation: Option<i64>, now: Timestamp) {
    let status = match said.status {
        Some(true) => "True",
        Some(false) => "False",
        None => "Unknown",
    };
    let message: String = said.message.chars().take(MESSAGE_MAX).collect();
    let mut made = Condition {
        type_: said.kind.word().into(),
        status: status.into(),
        reason: said.reason,
        message,
        observed_generation: generation,
        last_transition_time: Time(now),
    };
    match conditions.iter_mut().find(|c| c.type_ == said.kind.word()) {
        Some(old) => {
            if old.status == made.status {
                made.last_transition_time = old.last_transition_time.clone();
            }
            *old = made;
        }
        None => conditions.push(made),
    }
}

/// Whether the condition of that kind is True.
#[must_use]
pub fn holds(conditions: &[Condition], kind: impl AsRef<str>) -> bool {
    conditions.iter().any(|c| c.type_ == kind.as_ref() && c.status == "True")
}

/// The condition of that kind.
#[must_use]
pub fn find(conditions: &[Condition], kind: impl AsRef<str>) -> Option<&Condition> {
    conditions.iter().find(|c| c.type_ == kind.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_transition_is_kept_until_the_status_changes() {
        let at = |s| Timestamp::from_second(s).unwrap();
        let mut all = Vec::new();
        set(&mut all, Said::no(ConditionType::Ready, "Waiting", "a"), Some(1), at(10));
        set(&mut all, Said::no(ConditionType::Ready, "StillWaiting", "b"), Some(2), at(20));
        assert_eq!(all[0].last_transition_time.0, at(10));
        assert_eq!(all[0].reason, "StillWaiting");
        set(&mut all, Said::yes(ConditionType::Ready, "Verified", "c"), Some(2), at(30));
        assert_eq!(all[0].last_transition_time.0, at(30));
        assert!(holds(&all, "Ready"));
    }
}
