//! PostgreSQL: the rights of a generation's role during a freeze, and when it is retired — does I/O.
//!
//! The role is kept from logging in, and its sessions are ended: nobody writes as it, whatever it owns. Row and role are
//! both in what all databases of the server share, so that one statement in the registry changes both or neither.

use tenantry_core::generation::Token;
use tenantry_core::secret::Secret;

use super::{Admin, ident, literal, role, settings};
use crate::error::{Error, Result};
use crate::generation::Rows;
use crate::model::{Engine, Login};
use crate::pool::Pool;
use crate::server::Frozen;
use crate::session::{STATEMENT, Session};

const ROWS: Rows = Rows(Engine::Postgresql);
/// First major version whose write counters are complete as soon as a session has ended.
const COUNTS_SINCE: u32 = 15;
/// Connections of a role that only reads.
const READERS: u32 = 8;

/// The name of the role that reads a frozen generation.
pub(super) fn reader(role: &str) -> String {
    format!("{role}_r")
}

/// One statement that updates the row if it may, and only then changes the role.
fn both(set: &str, condition: &str, role: &str, what: &str) -> String {
    format!(
        "DO $tenantry$ BEGIN UPDATE {} SET {set}, updated_at = now() WHERE {condition}; \
         IF FOUND THEN ALTER ROLE {} {what}; END IF; END $tenantry$",
        ROWS.table(),
        ident(role)
    )
}

pub(super) async fn take(session: &mut Session, frozen: &Frozen, token: Token) -> Result<bool> {
    let of = ROWS.of(&frozen.owner, frozen.number);
    let condition = format!(
        "{of} AND standing = 'current' AND {} AND released < {token} AND COALESCE(taken, 0) <= {token}",
        ROWS.held(token)
    );
    session.run("take rights", both(&format!("taken = {token}"), &condition, &frozen.role, "NOLOGIN")).await?;
    ROWS.holds(session, "rights are taken", &format!("{of} AND standing = 'current' AND taken = {token}")).await
}

pub(super) async fn give_back(session: &mut Session, frozen: &Frozen, token: Token) -> Result<bool> {
    let of = ROWS.of(&frozen.owner, frozen.number);
    let condition =
        format!("{of} AND standing = 'current' AND taken = {token} AND NOT (is_frozen AND token = {token})");
    let set = format!("taken = NULL, released = GREATEST(released, {token})");
    // The role of an archived database stays locked, although nobody holds the freeze any more.
    let archived = format!(
        "{condition} AND EXISTS (SELECT FROM public.databases d WHERE d.name = database_name AND d.state = 'archived')"
    );
    ROWS.update(session, "rights of an archived database", &set, &archived).await?;
    session.run("give rights back", both(&set, &condition, &frozen.role, "LOGIN")).await?;
    ROWS.holds(session, "rights are given back", &format!("{of} AND released >= {token}")).await
}

pub(super) async fn lock(admin: Admin, session: &mut Session, frozen: &Frozen) -> Result<bool> {
    let of = ROWS.of(&frozen.owner, frozen.number);
    let condition = format!("{of} AND standing = 'retired'");
    session.run("lock retired role", both("taken = NULL", &condition, &frozen.role, "NOLOGIN")).await?;
    if !ROWS.holds(session, "generation is retired", &condition).await? {
        return Ok(false);
    }
    role::end_sessions(admin, session, &frozen.role).await?;
    Ok(true)
}

pub(super) async fn unlock(session: &mut Session, frozen: &Frozen) -> Result<bool> {
    let of = ROWS.of(&frozen.owner, frozen.number);
    let condition = format!("{of} AND standing = 'current' AND taken IS NULL");
    session.run("unlock current role", both("taken = NULL", &condition, &frozen.role, "LOGIN")).await?;
    ROWS.holds(session, "generation is current", &condition).await
}

/// Ends the sessions of the role. Then nothing may be left that can still commit: no prepared transaction, and no other
/// role's transaction that has written.
pub(super) async fn end_writers(admin: Admin, session: &mut Session, frozen: &Frozen) -> Result<()> {
    role::end_sessions(admin, session, &frozen.role).await?;
    let name = literal(&frozen.database);
    let prepared = format!("SELECT min(gid) FROM pg_prepared_xacts WHERE database = {name}");
    if let Some(gid) = session.text("prepared transactions", prepared).await? {
        let why = format!(
            "the prepared transaction {gid:?} can still be committed in it; end it with COMMIT PREPARED or ROLLBACK PREPARED"
        );
        return Err(Error::State { name: frozen.database.clone(), state: "written to".into(), why });
    }
    let writes =
        format!("SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = {name} AND backend_xid IS NOT NULL");
    session.wait_until_no("transactions that have written", &writes).await
}

/// Tables with their files and write counters, functions and schemas, each with owner and rights. The server's own
/// catalogs are left out: statistics are written there all the time.
pub(super) async fn print(pool: &Pool, admin: Admin, frozen: &Frozen) -> Result<String> {
    // Older versions deliver the counters of an ended session some time later.
    let counts =
        if admin.version_major >= COUNTS_SINCE { "s.n_tup_ins + s.n_tup_upd + s.n_tup_del" } else { "NULL::bigint" };
    let ours = "!~ '^(pg_|information_schema$)'";
    let sql = format!(
        "SELECT md5(COALESCE(string_agg(line, chr(10) ORDER BY line), '')) FROM ( \
         SELECT concat_ws(' ', 'r', c.oid, c.relname, c.relfilenode, c.relowner, c.relacl, {counts}) AS line \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname {ours} \
         LEFT JOIN pg_stat_all_tables s ON s.relid = c.oid \
         UNION ALL SELECT concat_ws(' ', 'p', p.oid, p.xmin, p.proowner, p.proacl) \
         FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace AND n.nspname {ours} \
         UNION ALL SELECT concat_ws(' ', 'n', nspname, nspowner, nspacl) FROM pg_namespace WHERE nspname {ours}) lines"
    );
    let mut inside = pool.own(Some(&frozen.database), STATEMENT, "connect to the frozen database").await?;
    let print = inside.text("print of what is frozen", sql).await?;
    inside.close().await;
    Ok(print.unwrap_or_default())
}

/// Makes a role that may read what the generation's own role may, in transactions that write nothing.
pub(super) async fn open_reader(
    admin: Admin,
    session: &mut Session,
    frozen: &Frozen,
    password: &Secret,
) -> Result<Login> {
    let name = reader(&frozen.role);
    let (quoted, verifier) = (ident(&name), literal(&role::verifier(password)?));
    let verb = if role::exists(session, &name).await? { "ALTER" } else { "CREATE" };
    let sql = format!(
        "{verb} ROLE {quoted} LOGIN CONNECTION LIMIT {READERS} PASSWORD {verifier}{}; \
         ALTER ROLE {quoted} SET default_transaction_read_only = on; GRANT {} TO {quoted}",
        settings::of(admin, &name),
        ident(&frozen.role)
    );
    session.run("open reader", sql).await?;
    Ok(Login { user: name, password: password.clone() })
}

pub(super) async fn close_reader(admin: Admin, session: &mut Session, frozen: &Frozen) -> Result<()> {
    let name = reader(&frozen.role);
    if role::exists(session, &name).await? {
        role::lock(admin, session, &name).await?;
        session.run("close reader", format!("DROP ROLE IF EXISTS {}", ident(&name))).await?;
    }
    Ok(())
}
