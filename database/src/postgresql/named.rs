//! PostgreSQL: removes what other databases still say about a role whose own database is gone — does I/O.
//!
//! Any tenant may name its neighbour in a GRANT, a policy or default privileges of its own database, and PostgreSQL
//! drops no role that is named anywhere. The mention is removed; everything else in that database stays.

use super::{Admin, ident, literal, role};
use crate::REGISTRY;
use crate::error::{Error, Result};
use crate::pool::Pool;
use crate::session::{STATEMENT, Session};

/// A database that names the role.
struct Place {
    database: String,
    /// The role that works in the database. None means that the database is not ours.
    tenant: Option<String>,
    enterable: bool,
}

/// Removes the role from every database that names it. The role no longer works in any database, because its own is
/// dropped.
pub(super) async fn forget(pool: &Pool, admin: Admin, session: &mut Session, gone: &str) -> Result<()> {
    for place in places(session, gone).await? {
        if !place.enterable {
            let why = format!(
                "it names role {gone} in its rights, and nobody enters it; drop this template, and the rest goes on by itself"
            );
            return Err(Error::State { name: place.database, state: "sealed".into(), why });
        }
        // Rights must be revoked in the name of the role that granted them.
        let roles: Vec<&str> = [gone].into_iter().chain(place.tenant.as_deref()).collect();
        role::join(admin, session, &roles).await?;
        let heir = place.tenant.as_deref().map_or_else(|| "CURRENT_USER".to_owned(), ident);
        let gone = ident(gone);
        // One transaction. Objects that a neighbour gave to the role belong to the neighbour: it gets them back before
        // DROP OWNED, so that no object is dropped. What is left for DROP OWNED are rights, default rights and places
        // in policies.
        let sql = format!("REASSIGN OWNED BY {gone} TO {heir}; DROP OWNED BY {gone}");
        if place.database == REGISTRY {
            session.run("forget role", sql).await?;
        } else {
            let label = "connect to a database that names the role";
            let mut inside = pool.own(Some(&place.database), STATEMENT, label).await?;
            inside.run("forget role", sql).await?;
            inside.close().await;
        }
        role::leave(admin, session, &roles).await?;
    }
    Ok(())
}

/// The server's own list of databases that name the role. Rights on objects that all databases share are listed for the
/// registry, which always exists.
async fn places(session: &mut Session, gone: &str) -> Result<Vec<Place>> {
    let sql = format!(
        "SELECT DISTINCT d.datname, r.rolname, d.datallowconn FROM pg_shdepend s \
         JOIN pg_roles g ON g.oid = s.refobjid AND g.rolname = {} \
         JOIN pg_database d ON d.oid = s.dbid OR (s.dbid = 0 AND d.datname = '{REGISTRY}') \
         LEFT JOIN public.databases b ON b.name = d.datname LEFT JOIN pg_roles r ON r.rolname = b.role AND r.oid <> g.oid \
         WHERE s.refclassid = 'pg_authid'::regclass ORDER BY 1",
        literal(gone)
    );
    let rows = session.run("databases that name the role", sql).await?;
    let place = |row: Vec<Option<String>>| {
        let mut columns = row.into_iter();
        let mut next = || columns.next().flatten();
        let (database, tenant) = (next().unwrap_or_default(), next());
        Place { database, tenant, enterable: next().as_deref() == Some("t") }
    };
    Ok(rows.into_iter().map(place).collect())
}
