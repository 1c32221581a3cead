//! tenantry-core: the vocabulary and the rules of Tenantry, without any I/O.
//!
//! No Kubernetes client, no tokio, no sqlx and no clock: time, ids and random bytes come in as
//! arguments, so that every decision can be tested and repeated.

pub mod address;
pub mod bounds;
pub mod calls;
pub mod class;
pub mod cron;
pub mod database_state;
pub mod engine;
pub mod generation;
pub mod hash;
pub mod host;
pub mod id;
pub mod ledger;
mod listed;
pub mod names;
pub mod password;
pub mod pattern;
pub mod placement;
pub mod progress;
pub mod proxy;
pub mod quantity;
pub mod request;
pub mod secret;
pub mod smtp;
pub mod steps;
pub mod template;
pub mod verify;
pub mod yaml;
pub mod zone;
