//! MariaDB: the locks of a database's name, which a session holds until it ends or gives them back — does I/O.
//!
//! There are two: of the name, and of the copy that runs in a session of its own. Whoever begins takes both.

use super::literal;
use crate::error::{Error, Result};
use crate::session::{ALONE, Session};

/// Longest wait for a lock, in seconds.
const WAIT: u32 = 10;

/// Names of locks have at most 64 characters, too few for ours.
fn of(name: &str) -> String {
    format!("tenantry/{:016x}", crate::session::lock_number(name))
}

fn of_copy(name: &str) -> String {
    format!("{}/copy", of(name))
}

/// A statement that waits for locks and fails, as for any other lock, where it does not get them.
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

/// Both locks.
pub(super) async fn lock(session: &mut Session, name: &str) -> Result<()> {
    take(session, name, &[of(name), of_copy(name)]).await
}

/// Gives the lock of the copy to the session that copies, which does nothing without it. The first one is asked
/// whether it is still there, so that no lock was taken by others between the two.
pub(super) async fn hand(from: &mut Session, to: &mut Session, name: &str) -> Result<()> {
    from.run("give lock of copy", format!("DO RELEASE_LOCK({})", literal(&of_copy(name)))).await?;
    take(to, name, &[of_copy(name)]).await?;
    from.run("still alone", "DO 0").await.map(drop)
}
