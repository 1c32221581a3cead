//! The DatabaseServer controller: runs managed servers, and checks that all servers answer. Does I/O.

mod freezes;
mod observe;
mod reconcile;
mod stuck;
mod sweep;
mod templates;
mod turn;
mod uses;

pub use reconcile::reconcile;
pub use uses::uses;
