//! Classes of errors. They decide the pauses between attempts, the condition's reason and the metric's label. No I/O.

/// What an error means for the next attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// Something is unavailable for a moment (server, network, conflict): try again with growing pauses.
    Transient,
    /// The request is not possible: wait until a person changes the object.
    Invalid,
    /// Something else must happen first (another object, space, a person): look again when it changes.
    Blocked,
    /// A mistake in this program: try again slowly and report it loudly.
    Bug,
}

impl ErrorClass {
    /// The label used in metrics and logs.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Invalid => "invalid",
            Self::Blocked => "blocked",
            Self::Bug => "bug",
        }
    }

    /// Seconds to wait before the `failures`-th repetition; the first failure is 1.
    ///
    /// Doubles from the first pause of the class to its longest pause.
    #[must_use]
    pub fn backoff_seconds(self, failures: u32) -> u64 {
        let (first, longest) = match self {
            Self::Transient => (1, 60),
            Self::Blocked => (5, 120),
            Self::Bug => (10, 300),
            // A changed object starts a reconcile by itself, so this is only a safety net for the watch.
            Self::Invalid => (300, 300),
        };
        let doubled = 1_u64.checked_shl(failures.saturating_sub(1)).unwrap_or(u64::MAX);
        longest.min(doubled.saturating_mul(first))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_below_the_longest() {
        assert_eq!(ErrorClass::Transient.backoff_seconds(1), 1);
        assert_eq!(ErrorClass::Transient.backoff_seconds(3), 4);
        assert_eq!(ErrorClass::Transient.backoff_seconds(200), 60);
        assert_eq!(ErrorClass::Bug.backoff_seconds(u32::MAX), 300);
    }
}
