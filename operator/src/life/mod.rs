//! The life of an object of any of our kinds: its id and finalizer, the claim of its id, the archive that it takes
//! over, its stream of billing events, the archive that remains of it. Does I/O.

pub mod adopt;
mod archive;
pub mod claim;
mod ledger;
mod metadata;
mod refusal;

pub use archive::store;
pub use ledger::{Stream, record, recorded_of, replay, whole};
pub use metadata::{metadata, release};
pub use refusal::{ID_TAKEN, refuse};
