//! The Archive controller: keeps archived data, and purges it when a person asks for that by name. Does I/O.

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

/// Objects per page when archives, or other objects of our own kinds, are listed. A page of the longest archives is
/// read in full before it is shortened, and must fit into memory beside everything else.
pub const PAGE: u32 = 50;
