//! The CrmInstance controller: database, secrets, processes, verification, suspension, archive. Does I/O.

mod archive;
mod copy;
pub(crate) mod database;
mod expiry;
mod found;
mod hide;
mod host;
mod inputs;
mod install;
mod integrations;
mod kept;
mod keys;
mod live;
mod made_with;
mod observe;
mod orphan;
mod pass;
mod personalise;
mod place;
mod prepare;
mod processes;
mod reach;
mod reconcile;
mod referenced;
mod release;
mod remains;
mod room;
mod status;
mod stop;
mod template;
mod turn;
mod verify;
mod volumes;

pub use reconcile::reconcile;
pub use turn::{call as call_next, known as know_turns};
