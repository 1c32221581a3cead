//! The CrmInstance controller: database, secrets, processes, verification, suspension, archive. Does I/O.

mod archive;
mod attempts;
mod copy;
mod database;
mod expiry;
mod host;
mod install;
mod integrations;
mod kept;
mod keys;
mod live;
mod observe;
mod place;
mod prepare;
mod processes;
mod reconcile;
mod referenced;
mod release;
mod status;
mod template;
mod verify;
mod volumes;

pub use reconcile::reconcile;
