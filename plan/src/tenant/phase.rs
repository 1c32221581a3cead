//! The phase of a tenant, and what its condition `Ready` says. No I/O.

use tenantry_api::condition::{ConditionType, Said};
use tenantry_api::tenant::TenantPhase;
use tenantry_core::class::ErrorClass;

use super::Suspension;

/// The phase of a tenant whose reconcile stopped at a condition, either to wait (no class) or because something failed
/// (with its class). `set_up` is the phase of a tenant that has its namespace already: it keeps that phase.
#[must_use]
pub fn phase_when_halted(at: ConditionType, class: Option<ErrorClass>, set_up: Option<TenantPhase>) -> TenantPhase {
    match (at, class) {
        (ConditionType::Archived, _) => TenantPhase::Archiving,
        (_, Some(ErrorClass::Invalid)) => TenantPhase::Invalid,
        _ => set_up.unwrap_or(TenantPhase::Pending),
    }
}

impl Suspension {
    /// The phase of a tenant whose reconcile came to its end.
    #[must_use]
    pub fn phase(&self) -> TenantPhase {
        if self.suspended { TenantPhase::Suspended } else { TenantPhase::Active }
    }

    /// What the condition `Ready` says. `wanted` is whether a person wants the tenant to be suspended.
    #[must_use]
    pub fn ready(&self, wanted: bool) -> Said {
        let names = self.waits_for.join(", ");
        match (wanted, self.suspended) {
            (true, _) if !self.waits_for.is_empty() => {
                let text = format!("it is to be suspended, and waits until these instances have stopped: {names}");
                Said::no(ConditionType::Ready, "Stopping", text)
            }
            (false, true) => {
                let text = format!("it is resumed, and waits until one of these instances is back: {names}");
                Said::no(ConditionType::Ready, "Resuming", text)
            }
            _ => Said::yes(ConditionType::Ready, "SetUp", "ready for instances"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_that_is_set_up_keeps_its_phase_while_something_holds_it_up() {
        use ConditionType::{Archived, NamespaceReady, PlanKnown};
        use ErrorClass::{Blocked, Bug, Invalid, Transient};
        let suspended = Some(TenantPhase::Suspended);
        for (at, class, set_up, phase) in [
            (Archived, Some(Invalid), suspended, TenantPhase::Archiving),
            (Archived, None, None, TenantPhase::Archiving),
            (PlanKnown, Some(Invalid), suspended, TenantPhase::Invalid),
            (PlanKnown, Some(Blocked), suspended, TenantPhase::Suspended),
            (NamespaceReady, Some(Transient), Some(TenantPhase::Active), TenantPhase::Active),
            (NamespaceReady, Some(Bug), None, TenantPhase::Pending),
            (NamespaceReady, None, None, TenantPhase::Pending),
        ] {
            assert_eq!(phase_when_halted(at, class, set_up), phase, "{at} {class:?} {set_up:?}");
        }
    }

    #[test]
    fn a_tenant_says_which_instances_it_waits_for() {
        let suspension = |suspended, waits_for: &[&str]| Suspension {
            suspended,
            waits_for: waits_for.iter().map(|name| (*name).to_owned()).collect(),
        };
        for (suspension, wanted, phase, reason) in [
            (suspension(false, &[]), false, TenantPhase::Active, "SetUp"),
            (suspension(true, &[]), true, TenantPhase::Suspended, "SetUp"),
            (suspension(false, &["crm"]), true, TenantPhase::Active, "Stopping"),
            (suspension(true, &["crm"]), true, TenantPhase::Suspended, "Stopping"),
            (suspension(true, &["crm"]), false, TenantPhase::Suspended, "Resuming"),
            (suspension(false, &["crm"]), false, TenantPhase::Active, "SetUp"),
        ] {
            let said = suspension.ready(wanted);
            assert_eq!((suspension.phase(), said.reason.as_str()), (phase, reason), "{suspension:?} {wanted}");
            assert_eq!(said.status, Some(reason == "SetUp"));
            assert_eq!(said.message.contains("crm"), reason != "SetUp", "{}", said.message);
        }
    }
}
