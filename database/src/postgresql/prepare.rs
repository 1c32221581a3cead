//! PostgreSQL: facts of the server, closing of its own databases to the public, the registry — does I/O.

use super::{Admin, ident, settings};
use crate::REGISTRY;
use crate::error::{Error, Result};
use crate::generation::Rows;
use crate::model::{Engine, ServerFacts};
use crate::pool::Pool;
use crate::registry::{Registry, number};
use crate::session::{STATEMENT, Session};

/// Oldest supported major version.
const OLDEST: u32 = 13;

/// Whether the table of the registry exists. Asked in the registry's database.
const TABLE_EXISTS: &str = "SELECT to_regclass('public.databases') IS NOT NULL";

/// Whether the registry has the table of generations, which older versions of this program did not make.
const GENERATIONS_EXIST: &str = "SELECT to_regclass('public.generations') IS NOT NULL";

/// Whether the server has a registry. Does not create one.
pub(super) async fn has_registry(pool: &Pool) -> Result<bool> {
    let mut session = pool.own(Some("postgres"), STATEMENT, "connect to look for the registry").await?;
    // A registry that is still being created does not allow connections.
    let sql = format!("SELECT count(*) FROM pg_database WHERE datname = '{REGISTRY}' AND datallowconn");
    let database = session.yes("registry exists", sql).await?;
    session.close().await;
    if !database {
        return Ok(false);
    }
    pool.session().await?.yes("registry table exists", TABLE_EXISTS).await
}

/// `first` means that leftovers of older versions of this program are corrected as well.
pub(super) async fn prepare(pool: &Pool, first: bool) -> Result<(ServerFacts, Admin)> {
    // Connects to the maintenance database, which always exists, because the registry may not exist yet.
    let mut session = pool.own(Some("postgres"), STATEMENT, "connect to prepare").await?;
    let (mut facts, admin) = facts(&mut session).await?;
    if facts.version_major < OLDEST {
        let why = format!("PostgreSQL {} is older than {OLDEST}", facts.version_major);
        return Err(Error::Unsupported { server: pool.endpoint.to_string(), why });
    }
    facts.open_to_all = close_to_public(&mut session).await?;
    session.close().await;
    let mut registry = pool.session().await?;
    if !registry.yes("registry table exists", TABLE_EXISTS).await? {
        registry.run("create registry table", Registry(Engine::Postgresql).table_sql()).await?;
    }
    let rows = Rows(Engine::Postgresql);
    if first {
        if !registry.yes("table of generations exists", GENERATIONS_EXIST).await? {
            registry.run("create table of generations", rows.table_sql()).await?;
        }
        registry.run("generations of an older version", rows.catch_up_sql()).await?;
        settings::catch_up(admin, &mut registry).await?;
    }
    Ok((facts, admin))
}

async fn facts(session: &mut Session) -> Result<(ServerFacts, Admin)> {
    let sql = "SELECT current_setting('server_version_num')::int / 10000, version(), \
               (SELECT rolsuper FROM pg_roles WHERE rolname = current_user), \
               (SELECT reset_val <> '-1' FROM pg_settings WHERE name = 'temp_file_limit')";
    let mut row = session.run("server facts", sql).await?.pop().unwrap_or_default().into_iter();
    let mut next = || row.next().flatten();
    let facts = ServerFacts {
        version_major: number("version", next())?,
        version_text: next().unwrap_or_default(),
        open_to_all: Vec::new(),
    };
    let mut yes = || next().as_deref() == Some("t");
    let admin = Admin { superuser: yes(), version_major: facts.version_major, bounds_files: yes() };
    Ok((facts, admin))
}

/// Closes `postgres`, `template1` and the registry to the public. Returns the names of databases that belong to
/// somebody else and so cannot be closed.
async fn close_to_public(session: &mut Session) -> Result<Vec<String>> {
    let sql = "SELECT datname, has_database_privilege('public', oid, 'CONNECT') OR \
               has_database_privilege('public', oid, 'TEMPORARY'), pg_has_role(datdba, 'USAGE'), datallowconn \
               FROM pg_database WHERE datname IN ('postgres', 'template1', 'tenantry_registry') ORDER BY datname";
    let mut open = Vec::new();
    let mut registry = false;
    for row in session.run("databases of the server", sql).await? {
        let name = row.first().cloned().flatten().unwrap_or_default();
        let is = |column: usize| row.get(column).and_then(Option::as_deref) == Some("t");
        let (public, ours, enterable) = (is(1), is(2), is(3));
        if name == REGISTRY {
            registry = true;
            if !ours {
                return Err(Error::Unknown { kind: "database", name });
            }
            if public || !enterable {
                open_registry(session).await?;
            }
        } else if public && ours {
            let (name, revoke) = (ident(&name), "REVOKE CONNECT, TEMPORARY ON DATABASE");
            // The administrator can still connect.
            let sql = format!("GRANT CONNECT ON DATABASE {name} TO CURRENT_USER; {revoke} {name} FROM PUBLIC");
            session.run("close a database of the server", sql).await?;
        } else if public {
            open.push(name);
        }
    }
    if !registry {
        let sql = format!("CREATE DATABASE {REGISTRY} TEMPLATE template0 ENCODING 'UTF8' ALLOW_CONNECTIONS false");
        session.run("create registry", sql).await?;
        open_registry(session).await?;
    }
    Ok(open)
}

/// Opens the registry to the administrator, but only after it is closed to everybody else.
async fn open_registry(session: &mut Session) -> Result<()> {
    let sql =
        format!("REVOKE ALL ON DATABASE {REGISTRY} FROM PUBLIC; ALTER DATABASE {REGISTRY} ALLOW_CONNECTIONS true");
    session.run("open registry to the administrator", sql).await.map(drop)
}
