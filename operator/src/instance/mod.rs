//! The CrmInstance controller: database, secrets, processes, verification, suspension, archive. Does I/O.

mod archive;
mod attempts;
mod copy;
mod database;
mod expiry;
mod hide;
mod host;
mod install;
mod integrations;
mod job_secrets;
mod keys;
mod live;
mod observe;
mod orphan;
mod place;
mod prepare;
mod processes;
mod reconcile;
mod referenced;
mod release;
mod room;
mod status;
mod template;
mod verify;

pub use reconcile::reconcile;
