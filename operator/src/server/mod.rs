//! The DatabaseServer controller: runs managed servers, asks all of them how they are. Does I/O.

mod observe;
mod reconcile;
mod stuck;
mod templates;

pub use reconcile::reconcile;
