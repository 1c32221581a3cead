//! PostgreSQL: the steps of an administrator, superuser or not (CREATEDB and CREATEROLE suffice) — does I/O.

mod database;
mod lock;
mod named;
mod prepare;
mod rights;
mod role;
mod settings;

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use tenantry_core::calls::Gate;
use tenantry_core::generation::Token;
use tenantry_core::secret::Secret;

use crate::error::{Error, Result};
use crate::limits::COPIES;
use crate::model::{DatabaseRecord, Endpoint, Engine, Login, NewDatabase, ServerFacts};
use crate::pool::Pool;
use crate::quote;
use crate::registry::number;
use crate::server::{Frozen, Server};
use crate::session::Session;

/// A PostgreSQL server.
#[derive(Debug)]
pub(crate) struct Postgresql {
    pool: Pool,
    admin: OnceLock<Admin>,
}

/// Facts about the administrator and the server, known after `prepare`.
#[derive(Debug, Clone, Copy)]
struct Admin {
    superuser: bool,
    version_major: u32,
    /// Whether the server itself limits the temporary files of a session.
    bounds_files: bool,
}

impl Postgresql {
    pub(crate) fn new(endpoint: Endpoint, admin: Login, gate: Arc<dyn Gate>) -> Self {
        Self { pool: Pool::new(endpoint, admin, gate, Some(crate::REGISTRY)), admin: OnceLock::new() }
    }

    fn admin(&self) -> Result<Admin> {
        self.admin.get().copied().ok_or_else(|| Error::Registry { why: "the server was not prepared".into() })
    }
}

fn ident(name: &str) -> String {
    quote::ident(Engine::Postgresql, name)
}

fn literal(text: &str) -> String {
    quote::literal(Engine::Postgresql, text)
}

#[async_trait]
impl Server for Postgresql {
    fn pool(&self) -> &Pool {
        &self.pool
    }

    async fn prepare(&self) -> Result<ServerFacts> {
        let (facts, admin) = prepare::prepare(&self.pool, !self.prepared()).await?;
        let _ = self.admin.set(admin);
        Ok(facts)
    }

    fn prepared(&self) -> bool {
        self.admin.get().is_some()
    }

    async fn has_registry(&self) -> Result<bool> {
        prepare::has_registry(&self.pool).await
    }

    async fn database_exists(&self, session: &mut Session, name: &str) -> Result<bool> {
        let sql = format!("SELECT count(*) FROM pg_database WHERE datname = {}", literal(name));
        session.yes("database exists", sql).await
    }

    async fn role_exists(&self, session: &mut Session, role: &str) -> Result<bool> {
        role::exists(session, role).await
    }

    async fn lock(&self, session: &mut Session, name: &str) -> Result<()> {
        lock::lock(session, name).await
    }

    async fn unlock(&self, session: &mut Session) -> Result<()> {
        session.unlock(lock::UNLOCK).await
    }

    async fn put_role(&self, session: &mut Session, new: &NewDatabase) -> Result<()> {
        role::put(self.admin()?, session, new).await
    }

    async fn set_password(&self, session: &mut Session, role: &str, password: &Secret) -> Result<()> {
        role::set_password(session, role, password).await
    }

    /// `CREATE DATABASE` takes a lock on its source that other copies may share, and nobody enters a sealed template,
    /// so copies can run side by side. An administrator who is no superuser runs them one by one, because he becomes a
    /// member of the template's role for the hand-over, and one copy would end the membership that another still needs.
    fn turns_of_a_copy(&self) -> u32 {
        match self.admin.get() {
            Some(Admin { superuser: true, .. }) => 1,
            _ => COPIES,
        }
    }

    async fn make_database(
        &self,
        session: &mut Session,
        new: &NewDatabase,
        template: Option<&DatabaseRecord>,
    ) -> Result<()> {
        database::make(&self.pool, self.admin()?, session, new, template).await
    }

    async fn lock_role(&self, session: &mut Session, role: &str) -> Result<()> {
        role::lock(self.admin()?, session, role).await
    }

    async fn unlock_role(&self, session: &mut Session, role: &str) -> Result<()> {
        session.run("unlock role", format!("ALTER ROLE {} LOGIN", ident(role))).await.map(drop)
    }

    async fn seal(&self, session: &mut Session, record: &DatabaseRecord) -> Result<()> {
        database::seal(session, record).await
    }

    async fn drop_database(&self, session: &mut Session, name: &str, role: &str) -> Result<()> {
        database::remove(self.admin()?, session, name, role).await
    }

    async fn drop_role(&self, session: &mut Session, role: &str) -> Result<()> {
        named::forget(&self.pool, self.admin()?, session, role).await?;
        let sql = format!("DROP ROLE IF EXISTS {}; DROP ROLE IF EXISTS {}", ident(&rights::reader(role)), ident(role));
        session.run("drop role", sql).await.map(drop)
    }

    async fn size(&self, session: &mut Session, name: &str) -> Result<u64> {
        let sql = format!("SELECT pg_database_size({})", literal(name));
        number("size", session.text("database size", sql).await?)
    }

    /// Counts only databases that the administrator may look at, because any other database would make the whole query
    /// fail.
    async fn total(&self, session: &mut Session) -> Result<u64> {
        let sql = "SELECT COALESCE(sum(pg_database_size(oid)), 0)::bigint FROM pg_database \
                   WHERE has_database_privilege(oid, 'CONNECT') OR pg_has_role('pg_read_all_stats', 'USAGE')";
        number("size", session.text("size of all databases", sql.to_owned()).await?)
    }

    async fn take_rights(&self, session: &mut Session, frozen: &Frozen, token: Token) -> Result<bool> {
        rights::take(session, frozen, token).await
    }

    async fn end_writers(&self, session: &mut Session, frozen: &Frozen) -> Result<()> {
        rights::end_writers(self.admin()?, session, frozen).await
    }

    async fn print(&self, _session: &mut Session, frozen: &Frozen) -> Result<String> {
        rights::print(&self.pool, self.admin()?, frozen).await
    }

    async fn give_back(&self, session: &mut Session, frozen: &Frozen, token: Token) -> Result<bool> {
        rights::give_back(session, frozen, token).await
    }

    async fn lock_retired(&self, session: &mut Session, frozen: &Frozen) -> Result<bool> {
        rights::lock(self.admin()?, session, frozen).await
    }

    async fn unlock_current(&self, session: &mut Session, frozen: &Frozen) -> Result<bool> {
        rights::unlock(session, frozen).await
    }

    async fn open_reader(
        &self,
        session: &mut Session,
        frozen: &Frozen,
        _own: &Login,
        password: &Secret,
    ) -> Result<Login> {
        rights::open_reader(self.admin()?, session, frozen, password).await
    }

    async fn close_reader(&self, session: &mut Session, frozen: &Frozen) -> Result<()> {
        rights::close_reader(self.admin()?, session, frozen).await
    }
}
