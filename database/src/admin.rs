//! The trait through which the operator administers a server, and how to get an implementation. No I/O by itself.

use std::collections::BTreeSet;

use async_trait::async_trait;
use tenantry_core::secret::Secret;

use crate::error::Result;
use crate::generation::Generations;
use crate::model::{DatabaseRecord, Dropped, NewDatabase, Page, ServerFacts, State};

/// Administration of one server. Every function can be called again after a crash at any statement.
#[async_trait]
pub trait Administration: Generations {
    /// Looks at the server and prepares the registry. Writes nothing if the registry is already prepared.
    async fn probe(&self) -> Result<ServerFacts>;

    /// A page of the registry, ordered by name.
    async fn records(&self, page: &Page) -> Result<Vec<DatabaseRecord>>;

    /// The record of one database.
    async fn record(&self, name: &str) -> Result<Option<DatabaseRecord>>;

    /// All records of an owner. Used to restore a placement whose status was lost.
    async fn find_by_owner(&self, owner: &str) -> Result<Vec<DatabaseRecord>>;

    /// All records of a tenant. They show whether a server holds anything of the tenant.
    async fn find_by_tenant(&self, tenant: &str) -> Result<Vec<DatabaseRecord>>;

    /// Names of all databases that are in the registry and exist on the server. One query, however many databases there
    /// are.
    async fn present(&self) -> Result<BTreeSet<String>>;

    /// Whether the server has a database of this name, whoever owns it.
    async fn exists(&self, name: &str) -> Result<bool>;

    /// Whether the server has a registry. Does not create one. A server that had a registry and has none any more has
    /// lost its data.
    async fn has_registry(&self) -> Result<bool>;

    /// Number of tenants' databases, without templates.
    async fn count(&self) -> Result<u32>;

    /// Creates the database and its role, up to the state [`State::Loaded`].
    ///
    /// If the database is already complete, only the password of its role is set, and only if the role cannot log in
    /// with it.
    ///
    /// # Errors
    /// [`crate::Error::Unknown`] and [`crate::Error::Foreign`] when the name belongs to somebody else. Nothing is
    /// changed then.
    async fn create(&self, new: &NewDatabase) -> Result<()>;

    /// Records the state of a database. `creating`, `template` and `dropping` cannot be set in this way.
    async fn set_state(&self, name: &str, owner: &str, state: State) -> Result<()>;

    /// Records the release that works with a database from now on. A database that is being created or dropped, a
    /// template and an archived database keep their release.
    async fn set_release(&self, name: &str, owner: &str, release_hash: &str) -> Result<()>;

    /// Ends the build role's log-in and makes the database a template to which nobody can connect.
    async fn seal_template(&self, name: &str, owner: &str) -> Result<()>;

    /// Drops the database, then its role, and finally its record, if the record names this owner.
    async fn drop_database(&self, name: &str, owner: &str) -> Result<Dropped>;

    /// Size of a database in bytes.
    async fn size_bytes(&self, name: &str) -> Result<u64>;

    /// Size in bytes of all databases on the server that this administrator may see, including templates.
    async fn total_bytes(&self) -> Result<u64>;

    /// Sets the password of the role of a database.
    async fn set_password(&self, name: &str, owner: &str, password: &Secret) -> Result<()>;

    /// Makes sure that the role of a database can log in with a password. Tries a log-in, and sets the password only if
    /// the log-in is refused.
    ///
    /// # Errors
    /// [`crate::Error::Authentication`] when the log-in is refused even then.
    async fn keep_password(&self, name: &str, owner: &str, password: &Secret) -> Result<()>;

    /// Forbids the role of a database to log in and ends its sessions.
    async fn lock_role(&self, name: &str, owner: &str) -> Result<()>;

    /// Lets the role of a database log in again.
    async fn unlock_role(&self, name: &str, owner: &str) -> Result<()>;
}
