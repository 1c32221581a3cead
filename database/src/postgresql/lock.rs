//! PostgreSQL: the lock of a database's name, which a session holds until it ends or gives it back — does I/O.

use crate::error::Result;
use crate::session::{ALONE, Session};

/// Gives all locks of the session back.
pub(super) const UNLOCK: &str = "SELECT pg_advisory_unlock_all()";

/// Advisory locks belong to a database of the server: this one is taken in the registry, where all sessions are that
/// administer. The number is made of the name.
pub(super) async fn lock(session: &mut Session, name: &str) -> Result<()> {
    // Known since PostgreSQL 14: who was paused for so long with the lock loses it with the session.
    let idle = format!(
        "SELECT CASE WHEN current_setting('server_version_num')::int >= 140000 \
         THEN set_config('idle_session_timeout', '{}s', false) END",
        ALONE.as_secs()
    );
    let sql = format!("{idle}; SELECT pg_advisory_lock({})", crate::session::lock_number(name));
    session.lock(name, sql).await.map(drop)
}
