//! MariaDB: the steps of an administrator — does I/O.
//!
//! The engine has no templates and no transactions around DDL. So a copy is made by SQL inside the server (see `copy`),
//! and anything that a crash left incomplete is dropped and created again.

mod account;
mod copy;
mod copying;
mod definer;
mod lock;
mod prepare;
mod rights;
mod routines;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use tenantry_core::calls::Gate;
use tenantry_core::generation::Token;
use tenantry_core::secret::Secret;

use crate::error::Result;
use crate::model::{DatabaseRecord, Endpoint, Engine, Login, NewDatabase, ServerFacts};
use crate::pool::Pool;
use crate::quote;
use crate::registry::number;
use crate::server::{Frozen, Server};
use crate::session::Session;

/// A MariaDB server.
#[derive(Debug)]
pub(crate) struct Mariadb {
    pool: Pool,
    prepared: AtomicBool,
}

impl Mariadb {
    pub(crate) fn new(endpoint: Endpoint, admin: Login, gate: Arc<dyn Gate>) -> Self {
        Self { pool: Pool::new(endpoint, admin, gate, None), prepared: AtomicBool::new(false) }
    }
}

fn ident(name: &str) -> String {
    quote::ident(Engine::Mariadb, name)
}

fn literal(text: &str) -> String {
    quote::literal(Engine::Mariadb, text)
}

#[async_trait]
impl Server for Mariadb {
    fn pool(&self) -> &Pool {
        &self.pool
    }

    async fn prepare(&self) -> Result<ServerFacts> {
        let facts = prepare::prepare(&self.pool, !self.prepared()).await?;
        self.prepared.store(true, Ordering::Release);
        Ok(facts)
    }

    fn prepared(&self) -> bool {
        self.prepared.load(Ordering::Acquire)
    }

    async fn has_registry(&self) -> Result<bool> {
        let mut session = self.pool.session().await?;
        session.yes("registry table exists", prepare::REGISTRY_EXISTS).await
    }

    async fn database_exists(&self, session: &mut Session, name: &str) -> Result<bool> {
        let sql = format!("SELECT count(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = {}", literal(name));
        session.yes("database exists", sql).await
    }

    async fn role_exists(&self, session: &mut Session, role: &str) -> Result<bool> {
        account::exists(session, role).await
    }

    async fn lock(&self, session: &mut Session, name: &str) -> Result<()> {
        lock::lock(session, name).await
    }

    async fn unlock(&self, session: &mut Session) -> Result<()> {
        session.unlock("DO RELEASE_ALL_LOCKS()").await
    }

    async fn put_role(&self, session: &mut Session, new: &NewDatabase) -> Result<()> {
        account::put(session, new).await
    }

    async fn set_password(&self, session: &mut Session, role: &str, password: &Secret) -> Result<()> {
        account::set_password(session, role, password).await
    }

    async fn make_database(
        &self,
        session: &mut Session,
        new: &NewDatabase,
        template: Option<&DatabaseRecord>,
    ) -> Result<()> {
        let charset = literal(new.charset.as_deref().unwrap_or("utf8mb4"));
        let sql = format!("CREATE DATABASE {} CHARACTER SET {charset}", ident(&new.name));
        session.run("create database", sql).await?;
        // Before the copy, because views are checked against the rights of their definer, the tenant's role.
        account::grant(session, &new.role, &new.name).await?;
        if let Some(template) = template {
            copy::copy(&self.pool, session, template, new).await?;
        }
        Ok(())
    }

    async fn lock_role(&self, session: &mut Session, role: &str) -> Result<()> {
        account::lock(session, role).await
    }

    async fn unlock_role(&self, session: &mut Session, role: &str) -> Result<()> {
        session.run("unlock role", format!("ALTER USER {} ACCOUNT UNLOCK", quote::account(role))).await.map(drop)
    }

    /// Nothing to do: the account is locked already. Its rights must stay, because without them the views that run as
    /// the build role could not be read any more (SHOW CREATE VIEW returns names that do not resolve).
    async fn seal(&self, _session: &mut Session, _record: &DatabaseRecord) -> Result<()> {
        Ok(())
    }

    async fn drop_database(&self, session: &mut Session, name: &str, _role: &str) -> Result<()> {
        session.run("drop database", format!("DROP DATABASE IF EXISTS {}", ident(name))).await.map(drop)
    }

    async fn drop_role(&self, session: &mut Session, role: &str) -> Result<()> {
        session.run("drop role", format!("DROP USER IF EXISTS {}", quote::account(role))).await.map(drop)
    }

    /// The size according to the engine's own statistics, which are updated after a tenth of a table has changed.
    async fn size(&self, session: &mut Session, name: &str) -> Result<u64> {
        let sql = format!(
            "SELECT CAST(COALESCE(SUM(DATA_LENGTH + INDEX_LENGTH), 0) AS UNSIGNED) \
             FROM information_schema.TABLES WHERE TABLE_SCHEMA = {}",
            literal(name)
        );
        number("size", session.text("database size", sql).await?)
    }

    async fn total(&self, session: &mut Session) -> Result<u64> {
        let sql =
            "SELECT CAST(COALESCE(SUM(DATA_LENGTH + INDEX_LENGTH), 0) AS UNSIGNED) FROM information_schema.TABLES";
        number("size", session.text("size of all databases", sql.to_owned()).await?)
    }

    async fn take_rights(&self, session: &mut Session, frozen: &Frozen, token: Token) -> Result<bool> {
        rights::take(session, frozen, token).await
    }

    async fn end_writers(&self, session: &mut Session, frozen: &Frozen) -> Result<()> {
        rights::end_writers(session, frozen).await
    }

    async fn print(&self, session: &mut Session, frozen: &Frozen) -> Result<String> {
        rights::print(session, frozen).await
    }

    async fn give_back(&self, session: &mut Session, frozen: &Frozen, token: Token) -> Result<bool> {
        rights::give_back(session, frozen, token).await
    }

    async fn lock_retired(&self, session: &mut Session, frozen: &Frozen) -> Result<bool> {
        rights::lock(session, frozen).await
    }

    async fn unlock_current(&self, session: &mut Session, frozen: &Frozen) -> Result<bool> {
        rights::unlock(session, frozen).await
    }

    /// The role of a frozen generation can still read, and sees the routines that run as it. No other role does.
    async fn open_reader(
        &self,
        _session: &mut Session,
        _frozen: &Frozen,
        own: &Login,
        _password: &Secret,
    ) -> Result<Login> {
        Ok(own.clone())
    }

    async fn close_reader(&self, _session: &mut Session, _frozen: &Frozen) -> Result<()> {
        Ok(())
    }
}
