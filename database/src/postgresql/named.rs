//! PostgreSQL: what is left of a role in the databases of others, once its own is gone — does I/O.
//!
//! Any tenant may name its neighbour in a GRANT, a policy or default privileges of its own database, and PostgreSQL
//! drops no role that is named anywhere. Such a mention goes; nothing of the database that holds it does.

use super::{Admin, ident, literal, role};
use crate::REGISTRY;
use crate::error::{Error, Result};
use crate::pool::Pool;
use crate::session::{STATEMENT, Session};

/// A database that names the role.
struct Place {
    database: String,
    /// The role that works in it; none when it is not ours.
    tenant: Option<String>,
    enterable: bool,
}

/// Takes the role out of every database that names it. The role works in none any more: its own is dropped.
pub(super) async fn forget(pool: &Pool, admin: Admin, session: &mut Session, gone: &str) -> Result<()> {
    for place in places(session, gone).await? {
        if !place.enterable {
            let why = format!(
                "it names role {gone} in its rights, and nobody enters it; drop this template, and the rest goes on by itself"
            );
            return Err(Error::State { name: place.database, state: "sealed".into(), why });
        }
        // Rights are taken back in the name of who gave them.
        let roles: Vec<&str> = [gone].into_iter().chain(place.tenant.as_deref()).collect();
        role::join(admin, session, &roles).await?;
        let heir = place.tenant.as_deref().map_or_else(|| "CURRENT_USER".to_owned(), ident);
        let gone = ident(gone);
        // One transaction. What a neighbour gave to the role is the neighbour's: it gets it back before anything that
        // the role owns there is dropped, so that nothing is. What is left for DROP OWNED are rights, default rights
        // and places in policies.
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

/// As the server itself keeps it. Rights on what all databases share are told of the registry, which is always there.
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
