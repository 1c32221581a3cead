//! Planning of a Tenant. No I/O.

mod build_limit_range;
mod build_namespace;
mod build_network_policy;
mod build_resource_quota;
mod build_role_binding;
mod phase;
mod suspension;
mod validate;

pub use build_network_policy::DatabaseAddress;
pub use phase::phase_when_halted;
pub use suspension::{STOPPED, Suspension};
pub use validate::{TenantWanted, validate};

use crate::Settings;
use crate::child::Child;

/// Everything that a tenant needs besides its instances, in the order in which it is applied.
#[must_use]
pub fn children(wanted: &TenantWanted, settings: &Settings, databases: &[DatabaseAddress]) -> Vec<Child> {
    let mut all = vec![
        build_namespace::build_namespace(wanted, settings),
        build_role_binding::build_role_binding(wanted, settings),
        build_resource_quota::build_resource_quota(wanted),
        build_limit_range::build_limit_range(wanted),
    ];
    all.extend(build_network_policy::build_network_policies(wanted, settings, databases));
    all
}
