//! Freezes whose time is over: they are lifted whatever became of the operation that held them. Does I/O (SQL).
//!
//! Each look at a server asks for them, also the first one of a new process, so that none outlives its deadline by more
//! than the pause between two looks.

use tenantry_database::Administration;

use crate::error::Result;

/// Lifts every freeze on a server that is over, and gives rights back that nobody holds any more. One that cannot be
/// lifted does not hold up the others.
///
/// # Errors
/// [`crate::error::Error`] of the server, when it cannot be asked.
pub async fn lift(server: &str, admin: &dyn Administration) -> Result<()> {
    for freeze in admin.overdue().await? {
        let (owner, generation) = (&freeze.owner, freeze.number);
        match admin.lift(&freeze).await {
            Ok(()) => tracing::warn!(server, owner, generation, "a freeze whose time was over was lifted"),
            Err(error) => tracing::warn!(server, owner, generation, %error, "a freeze cannot be lifted yet"),
        }
    }
    Ok(())
}
