//! Talking to Kubernetes: apply, read, patch. Does I/O.

mod apply;
mod ledger;
mod memory;
mod objects;
mod pods;
mod recorder;

pub use apply::Applied;
pub use ledger::{Stream, record};
pub use memory::{Memory, Seen};
pub use objects::{data_of, dynamic_api};
pub use pods::{Trouble, trouble};
pub use recorder::notice;
