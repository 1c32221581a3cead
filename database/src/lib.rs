//! tenantry-database: administration of the servers that hold tenants' databases — does I/O (SQL only).
//!
//! One trait, [`Administration`], two engines (PostgreSQL 13+, MariaDB 10.5+), one order of statements ([`flow`]). The
//! owner of each database is recorded on the server itself, in the database `tenantry_registry`, BEFORE the database is
//! created. Nothing is dropped or altered before that record is checked. Every statement passes a
//! [`tenantry_core::calls::Gate`].

mod admin;
mod classify;
mod connect;
mod error;
mod flow;
mod generation;
mod home;
mod limits;
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

pub use admin::Administration;
pub use connect::connect;
pub use error::{Error, Result};
pub use generation::{Change, Changed, GenerationRow, Generations, NewGeneration, Other, Overdue};
pub use model::{DatabaseRecord, Dropped, Endpoint, Engine, Login, NewDatabase, Page, ServerFacts, Source, State, Tls};
pub use script::{holds, query_text, run_as};

/// Name of the database, on every server, that records who owns which database.
pub const REGISTRY: &str = "tenantry_registry";
