//! Which generation of an instance's data is current, and how far a new one is, as the registry of its database server
//! says. Does I/O (SQL).
//!
//! `tenantry_core::generation` has the rules, `tenantry_database::Generations` the writes. The first generation of an
//! instance, an install or a copy, is begun, filled, transformed, verified and made current here. The road of the instance
//! gives the order; `tenantry_core::generation::next` has no caller in the operator yet.

mod dispute;
mod first;

pub use dispute::{check, current, described};
pub use first::{begin, candidate, changed, filled, settle, settle_late, transformed};
