//! MariaDB: accounts of tenants and of templates — does I/O.

use tenantry_core::secret::Secret;

use super::literal;
use crate::error::Result;
use crate::model::NewDatabase;
use crate::quote::{account, grant_pattern};
use crate::session::Session;
use crate::verifier;

/// Rights of a tenant in its own database. They are listed one by one instead of ALL: no TRIGGER (the tenant must not
/// be able to change the seat guard's triggers), no EVENT (an event would run unseen), no GRANT OPTION.
const RIGHTS: &str = "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, REFERENCES, INDEX, ALTER, \
                      CREATE TEMPORARY TABLES, LOCK TABLES, EXECUTE, CREATE VIEW, SHOW VIEW, CREATE ROUTINE, ALTER ROUTINE";

/// Whether an account of this name exists, for any host.
pub(super) async fn exists(session: &mut Session, role: &str) -> Result<bool> {
    let sql = format!("SELECT count(*) > 0 FROM mysql.user WHERE User = {}", literal(role));
    session.yes("role exists", sql).await
}

/// Creates the account or corrects it. The password is sent as its hash, so it cannot reach the server's log.
pub(super) async fn put(session: &mut Session, new: &NewDatabase) -> Result<()> {
    let verb = if exists(session, &new.role).await? { "ALTER USER" } else { "CREATE USER" };
    // 0 means not limited.
    let limit = new.connection_limit.unwrap_or(0);
    let sql = format!(
        "{verb} {} {} WITH MAX_USER_CONNECTIONS {limit} ACCOUNT UNLOCK",
        account(&new.role),
        identified(&new.password)
    );
    session.run("put role", sql).await.map(drop)
}

pub(super) async fn set_password(session: &mut Session, role: &str, password: &Secret) -> Result<()> {
    let sql = format!("ALTER USER {} {}", account(role), identified(password));
    session.run("set password", sql).await.map(drop)
}

pub(super) async fn grant(session: &mut Session, role: &str, database: &str) -> Result<()> {
    let sql = format!("GRANT {RIGHTS} ON {}.* TO {}", grant_pattern(database), account(role));
    session.run("grant database", sql).await.map(drop)
}

/// Locks the account and ends all its sessions. No session is left when this returns.
pub(super) async fn lock(session: &mut Session, role: &str) -> Result<()> {
    if !exists(session, role).await? {
        return Ok(());
    }
    session.run("lock role", format!("ALTER USER {} ACCOUNT LOCK", account(role))).await?;
    session.run("end sessions of role", format!("KILL HARD USER {}", account(role))).await?;
    let left = format!("SELECT count(*) > 0 FROM information_schema.PROCESSLIST WHERE USER = {}", literal(role));
    session.wait_until_no("sessions of role are gone", &left).await
}

fn identified(password: &Secret) -> String {
    format!("IDENTIFIED VIA mysql_native_password USING {}", literal(&verifier::mysql_native(password.reveal())))
}
