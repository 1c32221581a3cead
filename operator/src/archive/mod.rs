//! The Archive controller: keeps, and purges what was asked for by name. Does I/O.

mod blank;
mod entry;
pub mod orphans;
mod pace;
mod purge;
mod reconcile;
mod volumes;

pub use entry::{Entry, EntrySpec};
pub use reconcile::{reconcile, turn};
pub use volumes::{set_policy, set_reclaim_policy};

/// Archives, and other objects of our own, that are listed at once. A page of the longest archives is read whole before
/// it is shortened, and must fit beside everything else.
pub const PAGE: u32 = 50;
