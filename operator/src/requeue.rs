//! When an object that is held up is looked at again: with growing pauses. No I/O.

use std::time::Duration;

use tenantry_core::class::ErrorClass;

use crate::context::Ctx;
use crate::halt::Halt;

/// How long to wait after a halt: the pause that the halt asks for, or the growing pause of its class.
#[must_use]
pub fn pause(ctx: &Ctx, uid: &str, halt: &Halt) -> Duration {
    let Some(class) = halt.class else {
        return slower(halt.again.unwrap_or(Duration::from_secs(30)), ctx.memory.retries.waited(uid, &halt.reason));
    };
    // Called inside of the reconcile's own span.
    tracing::Span::current().record("tenantry.class", class.label());
    crate::runtime::traces::stopped(class);
    tracing::warn!(reason = %halt.reason, class = class.label(), message = %halt.message, "held up");
    let failures = ctx.memory.retries.failed(uid);
    match halt.again {
        // Only the looks for this reason count: earlier failures for another reason must not make the pause longer now.
        Some(again) => slower(again, ctx.memory.retries.waited(uid, &halt.reason)),
        None => after(class, failures),
    }
}

/// Number of looks after which the pauses of a wait begin to grow.
const SOON: u32 = 10;
/// Longest pause of a wait, unless the wait asks for a longer pause from the start.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The pause after the `looks`-th look at a wait that lasts: first the pause that the wait asks for, then doubled after
/// every few looks. A watch ends most waits long before. A wait that nothing ever ends must not be looked at every
/// second for ever.
fn slower(asks: Duration, looks: u32) -> Duration {
    let doubled = 1_u32.checked_shl(looks.saturating_sub(1) / SOON).unwrap_or(u32::MAX);
    asks.saturating_mul(doubled).min(asks.max(LONGEST_WAIT))
}

/// The pause after the `failures`-th failure in a row.
fn after(class: ErrorClass, failures: u32) -> Duration {
    // Most transient failures (a conflict, a binding that is not known yet) are over at once.
    if class == ErrorClass::Transient && failures == 1 {
        return Duration::from_millis(200);
    }
    Duration::from_secs(class.backoff_seconds(failures))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_that_nothing_ends_is_looked_at_less_and_less_but_never_never() {
        let seconds = Duration::from_secs;
        for (looks, pause) in [(1, 2), (10, 2), (11, 4), (21, 8), (51, 60), (u32::MAX, 60)] {
            assert_eq!(slower(seconds(2), looks), seconds(pause), "{looks}");
        }
        assert_eq!(slower(seconds(300), u32::MAX), seconds(300));
        let retries = crate::cluster::Retries::default();
        assert_eq!((retries.waited("a", "One"), retries.waited("a", "One"), retries.waited("b", "One")), (1, 2, 1));
        assert_eq!((retries.waited("a", "Two"), retries.waited("a", "One")), (1, 1), "it went on");
        retries.recovered("b");
        assert_eq!(retries.waited("b", "One"), 1);
    }

    #[test]
    fn a_pause_that_is_asked_for_grows_when_the_wait_lasts_but_a_long_one_is_kept() {
        let seconds = Duration::from_secs;
        for (looks, pause) in [(1, 5), (10, 5), (11, 10), (50, 60), (u32::MAX, 60)] {
            assert_eq!(slower(seconds(5), looks), seconds(pause), "{looks}");
        }
        // For example, the rest of the pause before the next attempt of a job.
        assert_eq!(slower(seconds(900), 50), seconds(900));
        assert_eq!(after(ErrorClass::Blocked, 50), seconds(120));
        assert_eq!(after(ErrorClass::Transient, 1), Duration::from_millis(200));
        assert_eq!(after(ErrorClass::Transient, 3), seconds(4));
    }
}
