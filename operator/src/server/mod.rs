//! The DatabaseServer controller: runs managed servers, asks all of them how they are. Does I/O.

mod observe;
mod reconcile;
mod stuck;
mod sweep;
mod templates;
mod turn;
mod uses;

pub use reconcile::reconcile;
pub use uses::uses;
