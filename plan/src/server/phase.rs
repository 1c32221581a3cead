//! The phase of a database server whose reconcile cannot go on. No I/O.

use tenantry_api::database_server::DatabaseServerPhase;
use tenantry_core::class::ErrorClass;

/// The phase of a server whose reconcile stopped, either to wait (no class) or because something failed (with its
/// class). `answers` means that the server answers; `was` is its phase so far.
///
/// If only maintenance fails while the server answers, it is Ready: the CRMs on it work. Only a server that answered
/// once can be unreachable.
#[must_use]
pub fn phase_when_halted(class: Option<ErrorClass>, answers: bool, was: DatabaseServerPhase) -> DatabaseServerPhase {
    use DatabaseServerPhase::{Invalid, Pending, Ready, Unreachable};
    match (class, was) {
        (Some(ErrorClass::Invalid), _) => Invalid,
        _ if answers => Ready,
        (_, Ready | Unreachable) => Unreachable,
        (_, Invalid | Pending) => Pending,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_answers_is_ready_and_one_that_answered_once_is_unreachable() {
        use DatabaseServerPhase::{Invalid, Pending, Ready, Unreachable};
        let blocked = Some(ErrorClass::Blocked);
        for (class, answers, was, phase) in [
            (Some(ErrorClass::Invalid), true, Ready, Invalid),
            (blocked, true, Ready, Ready),
            (blocked, true, Pending, Ready),
            (None, true, Unreachable, Ready),
            (blocked, false, Ready, Unreachable),
            (Some(ErrorClass::Transient), false, Unreachable, Unreachable),
            (None, false, Pending, Pending),
            (blocked, false, Invalid, Pending),
        ] {
            assert_eq!(phase_when_halted(class, answers, was), phase, "{class:?} {answers} {was:?}");
        }
    }
}
