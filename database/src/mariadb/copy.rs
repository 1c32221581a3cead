//! MariaDB: the copy of a sealed template by SQL inside the server — does I/O.
//!
//! Nobody connects to a sealed template, so it does not change during the copy. Order: sequences and tables with their
//! keys (foreign keys unchecked), rows, then executable objects (routines, views, triggers, events). Not copied:
//! packages of Oracle mode, and historical rows of system-versioned tables.

use super::copying::Copy;
use super::{ident, literal, lock, routines};
use crate::error::{Error, Result};
use crate::model::{DatabaseRecord, NewDatabase};
use crate::pool::Pool;
use crate::session::{COPY, Session};

pub(super) async fn copy(pool: &Pool, alone: &mut Session, template: &DatabaseRecord, new: &NewDatabase) -> Result<()> {
    // The copy has a connection of its own, because its limit, its modes and its current database differ.
    let mut session = pool.own(Some(&new.name), COPY, "connect to copy").await?;
    lock::hand(alone, &mut session, &new.name).await?;
    let mut copy = Copy { session, from: &template.name, to: &new.name, build: &template.role, tenant: &new.role };
    // NO_AUTO_VALUE_ON_ZERO keeps a row's key of 0. Strict mode is off, so that the template's content is taken as it
    // is.
    let modes = "SET SESSION foreign_key_checks = 0, unique_checks = 0, sql_mode = 'NO_AUTO_VALUE_ON_ZERO'";
    copy.session.run("set modes of the copy", modes).await?;
    copy.database_defaults().await?;
    copy.sequences().await?;
    let tables = copy.names("BASE TABLE', 'SYSTEM VERSIONED").await?;
    for table in &tables {
        copy.structure(table).await?;
    }
    for table in &tables {
        copy.rows(table).await?;
    }
    routines::copy(&mut copy).await?;
    copy.session.close().await;
    Ok(())
}

impl Copy<'_> {
    async fn database_defaults(&mut self) -> Result<()> {
        let sql = format!(
            "SELECT DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA \
             WHERE SCHEMA_NAME = {}",
            literal(self.from)
        );
        let row = self.session.run("charset of the template", sql).await?.pop().unwrap_or_default();
        let [Some(charset), Some(collation)] = row.as_slice() else {
            return Err(Error::Absent { name: self.from.into() });
        };
        let (charset, collation) = (literal(charset), literal(collation));
        let sql = format!("ALTER DATABASE {} CHARACTER SET {charset} COLLATE {collation}", ident(self.to));
        self.session.run("charset of the database", sql).await.map(drop)
    }

    async fn sequences(&mut self) -> Result<()> {
        for name in self.names("SEQUENCE").await? {
            let (from, name) = (ident(self.from), ident(&name));
            let create = self.shown("show sequence", format!("SHOW CREATE SEQUENCE {from}.{name}"), 1).await?;
            self.session.run("create sequence", create).await?;
            let next = format!("SELECT next_not_cached_value FROM {from}.{name}");
            if let Some(next) = self.session.text("read sequence", next).await? {
                let next: i64 = crate::registry::number("sequence", Some(next))?;
                self.session.run("set sequence", format!("SELECT SETVAL({name}, {next}, 0)")).await?;
            }
        }
        Ok(())
    }

    async fn structure(&mut self, table: &str) -> Result<()> {
        let sql = format!("SHOW CREATE TABLE {}.{}", ident(self.from), ident(table));
        // The statement names the table without its database, so the table is created in the current one.
        // AUTO_INCREMENT is part of the statement.
        let create = self.shown("show table", sql, 1).await?;
        self.session.run("create table", create).await.map(drop)
    }

    async fn rows(&mut self, table: &str) -> Result<()> {
        let sql = format!(
            "SELECT COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {} \
             AND IS_GENERATED = 'NEVER' ORDER BY ORDINAL_POSITION",
            literal(self.from),
            literal(table)
        );
        let columns = self.column("list columns", sql).await?;
        if columns.is_empty() {
            return Ok(());
        }
        let columns = columns.iter().map(|c| ident(c)).collect::<Vec<_>>().join(", ");
        let (from, to, table) = (ident(self.from), ident(self.to), ident(table));
        let sql = format!("INSERT INTO {to}.{table} ({columns}) SELECT {columns} FROM {from}.{table}");
        self.session.run("copy rows", sql).await.map(drop)
    }
}
