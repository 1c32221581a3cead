//! What an engine must be able to do, as single steps; the order of the steps is in `flow`. No I/O by itself.

use async_trait::async_trait;
use tenantry_core::secret::Secret;

use crate::error::Result;
use crate::model::{DatabaseRecord, NewDatabase, ServerFacts};
use crate::pool::Pool;
use crate::session::Session;

/// The single steps of an engine. Each step may be repeated.
#[async_trait]
pub(crate) trait Server: Send + Sync + std::fmt::Debug + 'static {
    /// The administrator's connections, which lead to the database that holds the registry.
    fn pool(&self) -> &Pool;

    /// Prepares the registry if necessary, and closes the server's own databases to the public.
    async fn prepare(&self) -> Result<ServerFacts>;

    /// Whether [`Self::prepare`] succeeded in this process.
    fn prepared(&self) -> bool;

    /// Whether the server has a registry. Does not create one.
    async fn has_registry(&self) -> Result<bool>;

    /// Whether a database of this name exists.
    async fn database_exists(&self, session: &mut Session, name: &str) -> Result<bool>;

    /// Whether a role of this name exists.
    async fn role_exists(&self, session: &mut Session, role: &str) -> Result<bool>;

    /// Takes the lock of a database's name among all processes that administer this server, or reports that it is busy.
    /// The session that holds the lock does everything about the database. So a process that was paused meanwhile, and
    /// lost the lease, has lost this session before another process gets the lock.
    async fn lock(&self, session: &mut Session, name: &str) -> Result<()>;

    /// Releases the lock.
    async fn unlock(&self, session: &mut Session) -> Result<()>;

    /// Creates the role, or changes it to what is requested. The role may log in afterwards.
    async fn put_role(&self, session: &mut Session, new: &NewDatabase) -> Result<()>;

    /// Sets the password of an existing role. A locked role stays locked.
    async fn set_password(&self, session: &mut Session, role: &str, password: &Secret) -> Result<()>;

    /// Number of a template's turns, out of [`crate::limits::COPIES`], that one copy takes. It takes all of them if
    /// copies of one template cannot run side by side.
    fn turns_of_a_copy(&self) -> u32 {
        crate::limits::COPIES
    }

    /// Creates the database with its content and rights. No database of this name exists before.
    async fn make_database(
        &self,
        session: &mut Session,
        new: &NewDatabase,
        template: Option<&DatabaseRecord>,
    ) -> Result<()>;

    /// Locks the role and ends its sessions. A missing role is no error.
    async fn lock_role(&self, session: &mut Session, role: &str) -> Result<()>;

    /// Lets the role log in again.
    async fn unlock_role(&self, session: &mut Session, role: &str) -> Result<()>;

    /// Closes a template, whose role is already locked.
    async fn seal(&self, session: &mut Session, record: &DatabaseRecord) -> Result<()>;

    /// Drops a database if it exists, even if it is sealed or has sessions.
    async fn drop_database(&self, session: &mut Session, name: &str, role: &str) -> Result<()>;

    /// Drops a role if it exists.
    async fn drop_role(&self, session: &mut Session, role: &str) -> Result<()>;

    /// Size of an existing database in bytes.
    async fn size(&self, session: &mut Session, name: &str) -> Result<u64>;

    /// Size of all databases together in bytes.
    async fn total(&self, session: &mut Session) -> Result<u64>;
}
