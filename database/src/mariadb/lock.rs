//! MariaDB: the locks of a database's name, which a session holds until it ends or releases them — does I/O.
//!
//! There are two locks: one of the name, and one of the copy, which runs in a session of its own. An operation starts
//! by taking both.

use super::literal;
use crate::error::{Error, Result};
use crate::session::{ALONE, Session};

/// Longest wait for a lock, in seconds.
const WAIT: u32 = 10;

/// Name of a database's lock. It is a number, because names of locks have at most 64 characters, too few for our names.
fn of(name: &str) -> String {
    format!("tenantry/{:016x}", crate::session::lock_number(name))
}

fn of_copy(name: &str) -> String {
    format!("{}/copy", of(name))
}

/// A statement that waits for locks, as long as for any other lock, and returns false if it does not get them.
fn statement(names: &[String]) -> String {
    let gets: Vec<_> = names.iter().map(|name| format!("GET_LOCK({}, {WAIT}) <=> 1", literal(name))).collect();
    format!("SET SESSION wait_timeout = {}; SELECT {}", ALONE.as_secs(), gets.join(" AND "))
}

async fn take(session: &mut Session, name: &str, names: &[String]) -> Result<()> {
    if session.lock(name, statement(names)).await? {
        return Ok(());
    }
    let (server, what) = (session.server(), "sql lock name".into());
    Err(Error::Busy { server, what, message: format!("another process works on database {name}") })
}

/// Takes both locks.
pub(super) async fn lock(session: &mut Session, name: &str) -> Result<()> {
    take(session, name, &[of(name), of_copy(name)]).await
}

/// Passes the lock of the copy to the session that copies, which does nothing without it. Then checks that the first
/// session still exists, so that no other process can have taken a lock in between.
pub(super) async fn hand(from: &mut Session, to: &mut Session, name: &str) -> Result<()> {
    from.run("give lock of copy", format!("DO RELEASE_LOCK({})", literal(&of_copy(name)))).await?;
    take(to, name, &[of_copy(name)]).await?;
    from.run("still alone", "DO 0").await.map(drop)
}
