//! The phase of an instance. No I/O.

use tenantry_api::condition::ConditionType;
use tenantry_api::crm_instance::InstancePhase;
use tenantry_core::class::ErrorClass;

/// The phase of an instance whose reconcile came to its end.
#[must_use]
pub fn phase_when_well(suspended: bool) -> InstancePhase {
    if suspended { InstancePhase::Suspended } else { InstancePhase::Ready }
}

/// The phase of an instance whose reconcile stopped at a condition, either to wait (no class) or because something
/// failed (with its class). `installed` means that the instance was Ready once.
#[must_use]
pub fn phase_when_halted(at: ConditionType, class: Option<ErrorClass>, installed: bool) -> InstancePhase {
    use ConditionType::{Archived, Copied, DatabaseReady, Installed, Neutralised, ProcessesReady, Verified};
    match (at, class) {
        (Archived, _) => InstancePhase::Archiving,
        (_, Some(ErrorClass::Invalid)) => InstancePhase::Invalid,
        _ if installed => InstancePhase::Degraded,
        (DatabaseReady | Installed | Copied | Neutralised, None | Some(ErrorClass::Transient)) => {
            InstancePhase::Installing
        }
        (ProcessesReady, None) => InstancePhase::Starting,
        (Verified, _) => InstancePhase::Verifying,
        (_, Some(ErrorClass::Bug)) => InstancePhase::Failed,
        (Installed | ProcessesReady | Copied | Neutralised, Some(ErrorClass::Blocked)) => InstancePhase::Failed,
        _ => InstancePhase::Pending,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_says_how_far_an_instance_is_and_whether_a_person_must_do_something() {
        use ConditionType::{Archived, DatabaseReady, HostClaimed, Installed, ProcessesReady, SpecValid, Verified};
        use ErrorClass::{Blocked, Bug, Invalid, Transient};
        for (at, class, installed, phase) in [
            (Archived, Some(Invalid), true, InstancePhase::Archiving),
            (Archived, None, false, InstancePhase::Archiving),
            (SpecValid, Some(Invalid), true, InstancePhase::Invalid),
            (ProcessesReady, None, true, InstancePhase::Degraded),
            (HostClaimed, Some(Blocked), false, InstancePhase::Pending),
            (DatabaseReady, Some(Blocked), false, InstancePhase::Pending),
            (DatabaseReady, Some(Transient), false, InstancePhase::Installing),
            (Installed, None, false, InstancePhase::Installing),
            (Installed, Some(Blocked), false, InstancePhase::Failed),
            (ProcessesReady, None, false, InstancePhase::Starting),
            (ProcessesReady, Some(Transient), false, InstancePhase::Pending),
            (Verified, Some(Transient), false, InstancePhase::Verifying),
            (SpecValid, Some(Bug), false, InstancePhase::Failed),
        ] {
            assert_eq!(phase_when_halted(at, class, installed), phase, "{at} {class:?} {installed}");
        }
    }
}
