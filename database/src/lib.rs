//! tenantry-database: administration of the servers that hold tenants' databases — does I/O (SQL only).
//!
//! One trait, [`Administration`], two engines (PostgreSQL 13+, MariaDB 10.5+), one order of statements
//! ([`flow`]). Who owns which database is written into the server itself, in the database
//! `tenantry_registry`, BEFORE the database is made; nothing is dropped or altered before that record
//! is compared. Every statement passes a [`tenantry_core::calls::Gate`].

mod admin;
mod classify;
mod error;
mod flow;
mod mariadb;
mod model;
mod pool;
mod postgresql;
mod quote;
mod redact;
mod registry;
mod script;
mod server;
mod session;
mod verifier;
mod wire;

pub use admin::{Administration, connect};
pub use error::{Error, Result};
pub use model::{DatabaseRecord, Dropped, Endpoint, Engine, Login, NewDatabase, Page, ServerFacts, Source, State, Tls};
pub use script::{holds, query_text, run_as};

/// Name of the database, on every server, that records who owns which database.
pub const REGISTRY: &str = "tenantry_registry";
