//! A real API server and a real PostgreSQL, and a fault at every call. Does I/O.
//!
//! `tests/faults` brings the cluster up and runs this; by hand: KUBECONFIG must name a cluster without an operator.

// A test that cannot go on says so and ends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod copies;
mod gate;
mod generations;
mod hosts;
mod installs;
mod jobs;
mod leftovers;
mod life;
mod lost;
mod managers;
mod mended;
mod nodes;
mod origins;
mod picture;
mod pinned;
mod promises;
mod pull;
mod purges;
mod put_back;
mod reads;
mod rebuild;
mod refusals;
mod replicas;
mod retention;
mod scenarios;
mod servers;
mod settings;
mod site;
mod staging;
mod stuck;
mod suspended;
mod sweep;
mod takeover;
mod templates;
mod unfinished;
mod volumes;
mod waves;
mod world;

use std::sync::{OnceLock, RwLock};

/// Tests that disturb a database server take it alone, all others together.
pub fn exclusive() -> &'static RwLock<()> {
    static LOCK: OnceLock<RwLock<()>> = OnceLock::new();
    LOCK.get_or_init(RwLock::default)
}
