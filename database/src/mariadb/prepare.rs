//! MariaDB: facts of the server, and the registry — does I/O.

use crate::REGISTRY;
use crate::error::{Error, Result};
use crate::generation::Rows;
use crate::model::{Engine, ServerFacts};
use crate::pool::Pool;
use crate::registry::Registry;
use crate::session::Session;

/// Whether the table of the registry exists.
pub(super) const REGISTRY_EXISTS: &str = "SELECT count(*) FROM information_schema.TABLES \
    WHERE TABLE_SCHEMA = 'tenantry_registry' AND TABLE_NAME = 'databases'";

/// Whether the registry has the table of generations, which older versions of this program did not make.
const GENERATIONS_EXIST: &str = "SELECT count(*) FROM information_schema.TABLES \
    WHERE TABLE_SCHEMA = 'tenantry_registry' AND TABLE_NAME = 'generations'";

/// `first` means that leftovers of older versions of this program are corrected as well.
pub(super) async fn prepare(pool: &Pool, first: bool) -> Result<ServerFacts> {
    let mut session = pool.session().await?;
    let facts = facts(pool, &mut session).await?;
    if !session.yes("registry table exists", REGISTRY_EXISTS).await? {
        session.run("create registry", format!("CREATE DATABASE IF NOT EXISTS {REGISTRY} CHARACTER SET ascii")).await?;
        session.run("create registry table", Registry(Engine::Mariadb).table_sql()).await?;
    }
    let rows = Rows(Engine::Mariadb);
    if first {
        if !session.yes("table of generations exists", GENERATIONS_EXIST).await? {
            session.run("create table of generations", rows.table_sql()).await?;
        }
        session.run("generations of an older version", rows.catch_up_sql()).await?;
    }
    Ok(facts)
}

async fn facts(pool: &Pool, session: &mut Session) -> Result<ServerFacts> {
    let version_text = session.text("server facts", "SELECT version()").await?.unwrap_or_default();
    let Some((major, minor)) = version(&version_text) else {
        let why = format!("{version_text:?} is not MariaDB 10.5 or newer");
        return Err(Error::Unsupported { server: pool.endpoint.to_string(), why });
    };
    if (major, minor) < (10, 5) {
        let why = format!("MariaDB {major}.{minor} is older than 10.5");
        return Err(Error::Unsupported { server: pool.endpoint.to_string(), why });
    }
    Ok(ServerFacts { version_major: major, version_text, open_to_all: Vec::new() })
}

fn version(text: &str) -> Option<(u32, u32)> {
    if !text.contains("MariaDB") {
        return None;
    }
    // Behind some proxies the text begins with a false "5.5.5-".
    let text = text.strip_prefix("5.5.5-").unwrap_or(text);
    let mut parts = text.split(['.', '-']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_mysql_is_told_apart() {
        assert_eq!(version("10.11.6-MariaDB-0+deb12u1"), Some((10, 11)));
        assert_eq!(version("5.5.5-11.4.2-MariaDB"), Some((11, 4)));
        assert_eq!(version("8.0.36"), None);
    }
}
