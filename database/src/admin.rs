//! The trait through which the operator administers a server, and how one gets it. No I/O by itself.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use tenantry_core::calls::Gate;
use tenantry_core::secret::Secret;

use crate::error::Result;
use crate::flow::Flow;
use crate::mariadb::Mariadb;
use crate::model::{DatabaseRecord, Dropped, Endpoint, Engine, Login, NewDatabase, Page, ServerFacts, State};
use crate::postgresql::Postgresql;

/// Administration of one server. Every function can be called again after a crash at any statement.
#[async_trait]
pub trait Administration: Send + Sync + std::fmt::Debug {
    /// Looks at the server and prepares the registry; writes nothing when it is prepared.
    async fn probe(&self) -> Result<ServerFacts>;

    /// A page of the registry, in the order of names.
    async fn records(&self, page: &Page) -> Result<Vec<DatabaseRecord>>;

    /// The record of one database.
    async fn record(&self, name: &str) -> Result<Option<DatabaseRecord>>;

    /// All records of an owner: rebuilds a placement whose status was lost.
    async fn find_by_owner(&self, owner: &str) -> Result<Vec<DatabaseRecord>>;

    /// All records of a tenant: tells whether a server holds anything of it.
    async fn find_by_tenant(&self, tenant: &str) -> Result<Vec<DatabaseRecord>>;

    /// Names of all databases that the registry knows and that are there: one question, however many there are.
    async fn present(&self) -> Result<BTreeSet<String>>;

    /// Whether the server has a database of this name, whosoever it is.
    async fn exists(&self, name: &str) -> Result<bool>;

    /// Whether the server has a registry; makes none. A server that had one and has it no more lost its data.
    async fn has_registry(&self) -> Result<bool>;

    /// Number of tenants' databases; templates are not counted.
    async fn count(&self) -> Result<u32>;

    /// Makes the database and its role, up to the state [`State::Loaded`].
    ///
    /// When it is already made, only the password of the role is set, and only if it does not log in.
    ///
    /// # Errors
    /// [`crate::Error::Unknown`] and [`crate::Error::Foreign`] when the name is not ours: nothing is touched.
    async fn create(&self, new: &NewDatabase) -> Result<()>;

    /// Records how far a database is. `creating`, `template` and `dropping` are not set this way.
    async fn set_state(&self, name: &str, owner: &str, state: State) -> Result<()>;

    /// Records the release that works with a database from now on. One that is being made or dropped, a template and
    /// an archived one keep theirs.
    async fn set_release(&self, name: &str, owner: &str, release_hash: &str) -> Result<()>;

    /// Ends the build role's log-in and makes the database a template that nobody enters.
    async fn seal_template(&self, name: &str, owner: &str) -> Result<()>;

    /// Drops the database, its role, and last its record, if the record has this owner.
    async fn drop_database(&self, name: &str, owner: &str) -> Result<Dropped>;

    /// Bytes of a database.
    async fn size_bytes(&self, name: &str) -> Result<u64>;

    /// Bytes of all databases of the server that this administrator may see, templates included.
    async fn total_bytes(&self) -> Result<u64>;

    /// Sets the password of the role of a database.
    async fn set_password(&self, name: &str, owner: &str, password: &Secret) -> Result<()>;

    /// Makes sure that the role of a database logs in with a password, by a log-in: set only when that is refused.
    ///
    /// # Errors
    /// [`crate::Error::Authentication`] when it is refused all the same.
    async fn keep_password(&self, name: &str, owner: &str, password: &Secret) -> Result<()>;

    /// Forbids the role of a database to log in and ends its sessions.
    async fn lock_role(&self, name: &str, owner: &str) -> Result<()>;

    /// Lets the role of a database log in again.
    async fn unlock_role(&self, name: &str, owner: &str) -> Result<()>;
}

/// Makes the administration of a server. Connects at the first call, not here.
///
/// At most four operations run at a time, each with at most two connections; connecting is bounded by
/// 5 s, a statement by 60 s, the copy of a database by 300 s.
///
/// # Errors
/// [`crate::Error::Invalid`] when the endpoint cannot be one.
pub fn connect(endpoint: Endpoint, admin: Login, gate: Arc<dyn Gate>) -> Result<Box<dyn Administration>> {
    if endpoint.host.is_empty() || endpoint.port == 0 {
        return Err(crate::Error::invalid("endpoint", "host or port is missing"));
    }
    Ok(match endpoint.engine {
        Engine::Postgresql => Box::new(Flow::new(Postgresql::new(endpoint, admin, gate))),
        Engine::Mariadb => Box::new(Flow::new(Mariadb::new(endpoint, admin, gate))),
    })
}
