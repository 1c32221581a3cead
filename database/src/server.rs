//! What an engine must be able to do, as single steps; the order of the steps is in `flow`. No I/O by itself.

use async_trait::async_trait;
use tenantry_core::generation::{Number, Token};
use tenantry_core::secret::Secret;

use crate::error::Result;
use crate::model::{DatabaseRecord, Login, NewDatabase, ServerFacts};
use crate::pool::Pool;
use crate::session::Session;

/// A generation whose rights are taken or given back.
#[derive(Debug, Clone)]
pub(crate) struct Frozen {
    /// Its owner.
    pub owner: String,
    /// Its number.
    pub number: Number,
    /// Name of its database.
    pub database: String,
    /// The role that works in it.
    pub role: String,
}

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

    /// Takes the rights to write, while this freeze is held. One statement of the server looks at the row and takes
    /// them. Returns whether they are taken for this freeze.
    async fn take_rights(&self, session: &mut Session, frozen: &Frozen, token: Token) -> Result<bool>;

    /// Ends all sessions that may have begun to write before the rights were taken, and waits until they have gone.
    /// Never changes the rights themselves: a process that is late here disturbs, and breaks nothing.
    async fn end_writers(&self, session: &mut Session, frozen: &Frozen) -> Result<()>;

    /// A text that changes with every write and every change of a definition or right in the database.
    async fn print(&self, session: &mut Session, frozen: &Frozen) -> Result<String>;

    /// Gives the rights back that were taken for this freeze, as they were. Returns whether it did so.
    async fn give_back(&self, session: &mut Session, frozen: &Frozen, token: Token) -> Result<bool>;

    /// Keeps the role of a retired generation from logging in, and ends its sessions. Returns whether it is retired.
    async fn lock_retired(&self, session: &mut Session, frozen: &Frozen) -> Result<bool>;

    /// Lets the role of a current generation log in. Returns whether it is current and no rights are taken.
    async fn unlock_current(&self, session: &mut Session, frozen: &Frozen) -> Result<bool>;

    /// A log-in that reads all of a frozen generation. `own` is the log-in of the generation's own role.
    async fn open_reader(
        &self,
        session: &mut Session,
        frozen: &Frozen,
        own: &Login,
        password: &Secret,
    ) -> Result<Login>;

    /// Drops the role that [`Self::open_reader`] made, if there is one.
    async fn close_reader(&self, session: &mut Session, frozen: &Frozen) -> Result<()>;
}
