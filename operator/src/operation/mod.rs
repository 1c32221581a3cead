//! One-shot work that jobs do for an object: attempts with growing pauses, how far a job is, its message when it
//! failed, the Secrets that it works with. Does I/O.

pub mod attempt;
mod follow;
mod outcome;
pub mod secret;

pub use follow::{Followed, Work, follow, pods_of};
pub use outcome::{Outcome, outcome};
