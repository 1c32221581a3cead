//! Classes of errors: they decide the backoff, the condition's reason and the metric's label. No I/O.

/// What an error means for what happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// The world is away for a moment (server, network, conflict): try again with growing pauses.
    Transient,
    /// What was asked for cannot be: wait until a person changes the object.
    Invalid,
    /// Something outside must happen first (another object, space, a person): look again when it changes.
    Blocked,
    /// A mistake of ours: try again slowly and say so loudly.
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

    /// Seconds to wait before the `failures`-th repetition (first failure: 1).
    ///
    /// Doubles from the class's own first pause to its own longest.
    #[must_use]
    pub fn backoff_seconds(self, failures: u32) -> u64 {
        let (first, longest) = match self {
            Self::Transient => (1, 60),
            Self::Blocked => (5, 120),
            Self::Bug => (10, 300),
            // A changed object starts a reconcile by itself; this is only a net below the watch.
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
