//! PostgreSQL: roles of tenants and of templates — does I/O.

use tenantry_core::secret::Secret;

use super::{Admin, ident, literal, settings};
use crate::error::{Error, Result};
use crate::model::NewDatabase;
use crate::session::Session;
use crate::verifier;

pub(super) async fn exists(session: &mut Session, role: &str) -> Result<bool> {
    session.yes("role exists", format!("SELECT count(*) FROM pg_roles WHERE rolname = {}", literal(role))).await
}

/// Creates the role or corrects it. The password is sent as a verifier, so it cannot reach the server's log.
pub(super) async fn put(admin: Admin, session: &mut Session, new: &NewDatabase) -> Result<()> {
    let role = ident(&new.role);
    let limit = new.connection_limit.map_or(-1, i64::from);
    let password = literal(&verifier(&new.password)?);
    let sql = if exists(session, &new.role).await? {
        // NOSUPERUSER is left out here, because naming it needs a superuser even if it changes nothing.
        format!("ALTER ROLE {role} LOGIN CONNECTION LIMIT {limit} PASSWORD {password}")
    } else {
        format!(
            "CREATE ROLE {role} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION \
             CONNECTION LIMIT {limit} PASSWORD {password}"
        )
    };
    session.run("put role", sql + &settings::of(admin, &new.role)).await.map(drop)
}

pub(super) async fn set_password(session: &mut Session, role: &str, password: &Secret) -> Result<()> {
    let sql = format!("ALTER ROLE {} PASSWORD {}", ident(role), literal(&verifier(password)?));
    session.run("set password", sql).await.map(drop)
}

/// Sets NOLOGIN and ends all sessions of the role. No session is left when this returns.
pub(super) async fn lock(admin: Admin, session: &mut Session, role: &str) -> Result<()> {
    if !exists(session, role).await? {
        return Ok(());
    }
    session.run("lock role", format!("ALTER ROLE {} NOLOGIN", ident(role))).await?;
    end_sessions(admin, session, role).await
}

/// Ends all sessions of a role, and waits until they have gone. It may log in again.
pub(super) async fn end_sessions(admin: Admin, session: &mut Session, role: &str) -> Result<()> {
    join(admin, session, &[role]).await?;
    let of_role = format!("FROM pg_stat_activity WHERE usename = {}", literal(role));
    session.run("end sessions of role", format!("SELECT pg_terminate_backend(pid) {of_role}")).await?;
    session.wait_until_no("sessions of role are gone", &format!("SELECT count(*) > 0 {of_role}")).await?;
    leave(admin, session, &[role]).await
}

/// An administrator who is no superuser becomes a member of the roles whose objects or sessions it must change.
pub(super) async fn join(admin: Admin, session: &mut Session, roles: &[&str]) -> Result<()> {
    if admin.superuser {
        return Ok(());
    }
    let grants: Vec<_> = roles.iter().map(|r| format!("GRANT {} TO CURRENT_USER", ident(r))).collect();
    session.run("join roles", grants.join("; ")).await.map(drop)
}

/// Ends the membership, because memberships in thousands of roles would slow down every check of a right.
pub(super) async fn leave(admin: Admin, session: &mut Session, roles: &[&str]) -> Result<()> {
    if admin.superuser {
        return Ok(());
    }
    let revokes: Vec<_> = roles.iter().map(|r| format!("REVOKE {} FROM CURRENT_USER", ident(r))).collect();
    session.run("leave roles", revokes.join("; ")).await.map(drop)
}

pub(super) fn verifier(password: &Secret) -> Result<String> {
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).map_err(|_| Error::Registry { why: "no random bytes".into() })?;
    Ok(verifier::scram_sha_256(password.reveal(), &salt))
}
