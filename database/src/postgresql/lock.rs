//! PostgreSQL: the lock of a database's name, which a session holds until it ends or releases it — does I/O.

use crate::error::Result;
use crate::session::{ALONE, Session};

/// Releases all locks of the session.
pub(super) const UNLOCK: &str = "SELECT pg_advisory_unlock_all()";

/// Takes the lock. An advisory lock belongs to one database of the server, so this lock is taken in the registry, to
/// which all administering sessions connect. Its number is made from the name.
pub(super) async fn lock(session: &mut Session, name: &str) -> Result<()> {
    // The setting exists since PostgreSQL 14: a process that was paused for this long while it held the lock loses its
    // session, and the lock with it.
    let idle = format!(
        "SELECT CASE WHEN current_setting('server_version_num')::int >= 140000 \
         THEN set_config('idle_session_timeout', '{}s', false) END",
        ALONE.as_secs()
    );
    let sql = format!("{idle}; SELECT pg_advisory_lock({})", crate::session::lock_number(name));
    session.lock(name, sql).await.map(drop)
}
