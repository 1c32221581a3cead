//! Talking to Kubernetes: apply, read, patch. Does I/O.

mod apply;
mod manager;
mod memory;
mod objects;
mod pods;
mod recorder;
mod turns;
mod volumes;

pub use apply::Applied;
pub use manager::{FIELD_MANAGER, apply_params, patch_params, post_params};
pub use memory::{Memory, Retries};
pub use objects::{data_of, dynamic_api, typed};
pub use pods::{Trouble, refused, trouble};
pub use recorder::notice;
pub use turns::Turns;
pub use volumes::{keep, look_at_growth, lost};
