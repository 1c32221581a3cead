//! What an engine must be able to do, in single steps; the order of the steps is in `flow`. No I/O by itself.

use async_trait::async_trait;
use tenantry_core::secret::Secret;

use crate::error::Result;
use crate::model::{DatabaseRecord, NewDatabase, ServerFacts};
use crate::pool::Pool;
use crate::session::Session;

/// The single steps. Each may be repeated.
#[async_trait]
pub(crate) trait Server: Send + Sync + std::fmt::Debug + 'static {
    /// The administrator's connections (to where the registry is).
    fn pool(&self) -> &Pool;

    /// Prepares the registry if it is not, and closes the server's own databases to the public.
    async fn prepare(&self) -> Result<ServerFacts>;

    /// Whether [`Self::prepare`] ended well in this process.
    fn prepared(&self) -> bool;

    /// Whether there is a registry; makes none.
    async fn has_registry(&self) -> Result<bool>;

    /// Whether a database of this name exists.
    async fn database_exists(&self, session: &mut Session, name: &str) -> Result<bool>;

    /// Whether a role of this name exists.
    async fn role_exists(&self, session: &mut Session, role: &str) -> Result<bool>;

    /// Takes the lock of a database's name among all processes that administer this server, or says that it is busy.
    /// Everything about a database is done by the session that holds it: whoever was paused meanwhile, and lost the
    /// lease, has lost this session before another gets the lock.
    async fn lock(&self, session: &mut Session, name: &str) -> Result<()>;

    /// Gives the lock back.
    async fn unlock(&self, session: &mut Session) -> Result<()>;

    /// Makes the role, or sets it to what is asked for; it may log in afterwards.
    async fn put_role(&self, session: &mut Session, new: &NewDatabase) -> Result<()>;

    /// Sets the password of an existing role; a locked role stays locked.
    async fn set_password(&self, session: &mut Session, role: &str, password: &Secret) -> Result<()>;

    /// Turns of a template, out of [`crate::flow::COPIES`], that one copy takes: all of them where copies of one
    /// template cannot run side by side.
    fn turns_of_a_copy(&self) -> u32 {
        crate::flow::COPIES
    }

    /// Makes the database (none of this name exists) with its content and rights.
    async fn make_database(
        &self,
        session: &mut Session,
        new: &NewDatabase,
        template: Option<&DatabaseRecord>,
    ) -> Result<()>;

    /// Locks the role and ends its sessions; a missing role is no error.
    async fn lock_role(&self, session: &mut Session, role: &str) -> Result<()>;

    /// Lets the role log in again.
    async fn unlock_role(&self, session: &mut Session, role: &str) -> Result<()>;

    /// Closes a template (its role is locked already).
    async fn seal(&self, session: &mut Session, record: &DatabaseRecord) -> Result<()>;

    /// Drops a database if it exists, also a sealed one, also with sessions in it.
    async fn drop_database(&self, session: &mut Session, name: &str, role: &str) -> Result<()>;

    /// Drops a role if it exists.
    async fn drop_role(&self, session: &mut Session, role: &str) -> Result<()>;

    /// Bytes of an existing database.
    async fn size(&self, session: &mut Session, name: &str) -> Result<u64>;

    /// Bytes of all databases together.
    async fn total(&self, session: &mut Session) -> Result<u64>;
}
