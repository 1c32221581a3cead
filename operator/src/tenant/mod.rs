//! The Tenant controller: namespace, policies, quota, deletion protection. Does I/O.

pub(crate) mod adopt;
pub(crate) mod archive;
pub(crate) mod claim;
mod live;
mod prepare;
mod reconcile;
pub(crate) mod status;

pub use live::recorded_of;
pub use prepare::{metadata, release};
pub use reconcile::reconcile;
