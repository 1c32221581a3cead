//! The Archive controller: keeps, and purges what was asked for by name. Does I/O.

mod blank;
pub mod orphans;
mod purge;
mod reconcile;
mod volumes;

pub use reconcile::reconcile;
pub use volumes::{set_policy, set_reclaim_policy};
