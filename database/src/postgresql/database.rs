//! PostgreSQL: creates databases, hands them over, seals and drops them — does I/O.
//!
//! A clone is closed to everybody while it is being created (`ALLOW_CONNECTIONS false`). It is opened only in the same
//! transaction that takes CONNECT from PUBLIC, so that a neighbour can never enter.

use super::{Admin, ident, literal, role};
use crate::error::Result;
use crate::model::{DatabaseRecord, NewDatabase};
use crate::pool::Pool;
use crate::session::{COPY, STATEMENT, Session};

/// How a template is copied from PostgreSQL 15 on.
///
/// Measured with a template of 44 MB (150 tables) on two busy cores, PostgreSQL 15, five copies each, medians:
/// `WAL_LOG` 1.9 s, `FILE_COPY` 2.7 s; while another database was written to, 1.3 s and 2.1 s. `FILE_COPY` makes two
/// checkpoints of the whole server, so that neighbours are slowed down as well.
const STRATEGY: &str = "WAL_LOG";
/// The value of `datconnlimit` with which PostgreSQL marks a database whose files may be partly gone.
const TORN: i32 = -2;
/// First major version with strategies.
const STRATEGY_SINCE: u32 = 15;

pub(super) async fn make(
    pool: &Pool,
    admin: Admin,
    session: &mut Session,
    new: &NewDatabase,
    template: Option<&DatabaseRecord>,
) -> Result<()> {
    let name = ident(&new.name);
    let tenant = ident(&new.role);
    copy(admin, session, new, template).await?;
    let sql = format!("REVOKE ALL ON DATABASE {name} FROM PUBLIC; ALTER DATABASE {name} ALLOW_CONNECTIONS true");
    session.run("close database to the public", sql).await?;

    let build = template.map(|t| t.role.as_str());
    let roles: Vec<&str> = build.into_iter().chain([new.role.as_str()]).collect();
    if build.is_some() {
        role::join(admin, session, &roles).await?;
    }
    inside(pool, new, build).await?;
    if build.is_some() {
        role::leave(admin, session, &roles).await?;
    }
    // The database gets no comment with its owner, because every tenant can read the comments of all databases. The
    // registry has the owner.
    let sql = format!("GRANT CONNECT, TEMPORARY ON DATABASE {name} TO {tenant}");
    session.run("open database to its role", sql).await.map(drop)
}

async fn copy(admin: Admin, session: &mut Session, new: &NewDatabase, template: Option<&DatabaseRecord>) -> Result<()> {
    let source = match template {
        None => {
            let encoding = literal(new.charset.as_deref().unwrap_or("UTF8"));
            format!("TEMPLATE template0 ENCODING {encoding}")
        }
        Some(t) if admin.version_major >= STRATEGY_SINCE => format!("TEMPLATE {} STRATEGY {STRATEGY}", ident(&t.name)),
        Some(t) => format!("TEMPLATE {}", ident(&t.name)),
    };
    let sql = format!("CREATE DATABASE {} {source} ALLOW_CONNECTIONS false IS_TEMPLATE false", ident(&new.name));
    // Run by the session that holds the lock of the name, with another limit, so that nobody else can have dropped the
    // database meanwhile.
    session.set_limit(COPY, format!("SET statement_timeout = {}", COPY.as_millis())).await?;
    session.run("create database", sql).await?;
    session.set_limit(STATEMENT, "RESET statement_timeout".to_owned()).await
}

/// Sets up the new database from within: extensions, the schema's rights, and the objects of the template's build role.
///
/// Runs in a session of its own, which holds no lock. A process that is late here repeats what was done before, for the
/// roles that the same record names, and changes nothing in a complete database.
async fn inside(pool: &Pool, new: &NewDatabase, build: Option<&str>) -> Result<()> {
    let tenant = ident(&new.role);
    let mut session = pool.own(Some(&new.name), COPY, "connect to the new database").await?;
    for extension in &new.extensions {
        session.run("create extension", format!("CREATE EXTENSION IF NOT EXISTS {}", ident(extension))).await?;
    }
    // Before PostgreSQL 15 the schema belongs to the bootstrap superuser, and everybody has both rights.
    let has = format!(
        "SELECT has_schema_privilege({role}, 'public', 'CREATE') AND has_schema_privilege({role}, 'public', 'USAGE')",
        role = literal(&new.role)
    );
    if !session.yes("rights on schema", has).await? {
        session.run("grant schema", format!("GRANT CREATE, USAGE ON SCHEMA public TO {tenant}")).await?;
    }
    if let Some(build) = build {
        let build = ident(build);
        // The build role owns no database and has no right on one, so nothing outside this database changes. DROP OWNED
        // removes its rights and default rights inside; otherwise the role could never be dropped.
        let sql = format!("REASSIGN OWNED BY {build} TO {tenant}; DROP OWNED BY {build}");
        session.run("hand over", sql).await?;
    }
    session.close().await;
    Ok(())
}

/// In one transaction: nobody can connect any more, the build role loses its rights on the database, and copies may be
/// made.
pub(super) async fn seal(session: &mut Session, record: &DatabaseRecord) -> Result<()> {
    let name = ident(&record.name);
    let sql = format!(
        "REVOKE ALL ON DATABASE {name} FROM {role}; ALTER DATABASE {name} ALLOW_CONNECTIONS false IS_TEMPLATE true",
        role = ident(&record.role)
    );
    session.run("seal database", sql).await.map(drop)
}

/// Closes the database, ends its sessions and drops it. Nothing happens if it does not exist.
pub(super) async fn remove(admin: Admin, session: &mut Session, name: &str, role_name: &str) -> Result<()> {
    let sql = format!("SELECT count(*) FROM pg_database WHERE datname = {}", literal(name));
    if !session.yes("database exists", sql).await? {
        return Ok(());
    }
    let quoted = ident(name);
    // A database whose drop was interrupted can neither be changed nor entered any more. It can only be dropped again.
    let whole =
        format!("SELECT count(*) FROM pg_database WHERE datname = {} AND datconnlimit <> {TORN}", literal(name));
    if session.yes("database is whole", whole).await? {
        session
            .run("close database", format!("ALTER DATABASE {quoted} ALLOW_CONNECTIONS false IS_TEMPLATE false"))
            .await?;
    }
    if admin.superuser {
        return session.run("drop database", format!("DROP DATABASE IF EXISTS {quoted} WITH (FORCE)")).await.map(drop);
    }
    // For administrators who are not superusers, FORCE is refused while autovacuum is in the database (its worker has
    // no role that one could be a member of). A plain DROP ends autovacuum by itself and waits some seconds.
    let member = role::exists(session, role_name).await?;
    if member {
        role::join(admin, session, &[role_name]).await?;
    }
    let end = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = {} AND usename IN (current_user, {})",
        literal(name),
        literal(role_name)
    );
    session.run("end sessions in database", end).await?;
    session.run("drop database", format!("DROP DATABASE IF EXISTS {quoted}")).await?;
    if member {
        role::leave(admin, session, &[role_name]).await?;
    }
    Ok(())
}
