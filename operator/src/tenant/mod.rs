//! The Tenant controller: namespace, policies, quota, deletion protection. Does I/O.

mod archive;
mod live;
mod reconcile;
mod status;

pub use reconcile::reconcile;
