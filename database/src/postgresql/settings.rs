//! PostgreSQL: settings that tenants' roles cannot change, as far as the administrator may set them — does I/O.

use super::{Admin, ident, literal, lock};
use crate::REGISTRY;
use crate::error::{Error, Result};
use crate::session::Session;

/// Limits what a tenant's role writes into the server's log: no statement, no value, and no error message, because
/// error messages contain fragments of both ("unterminated quoted string at or near ..."). The application receives all
/// of it and has a log of its own. Only a superuser can set these settings, and only a superuser could reset them.
const SILENT: &[(&str, &str)] = &[
    ("log_min_messages", "log"),
    ("log_min_error_statement", "panic"),
    ("log_error_verbosity", "terse"),
    ("log_parameter_max_length", "0"),
];
/// Limit on the temporary files of one session, for servers that have no limit of their own. Only a superuser can set
/// it.
const FILES: (&str, &str) = ("temp_file_limit", "2GB");
/// How long a transaction may stay open without work: it keeps its locks and all dead rows. A role may change this
/// setting for itself.
const IDLE: (&str, &str) = ("idle_in_transaction_session_timeout", "30min");

/// The settings of every tenant's role on this server.
fn all(admin: Admin) -> Vec<(&'static str, &'static str)> {
    let silent = SILENT.iter().copied().filter(|_| admin.superuser);
    let files = Some(FILES).filter(|_| admin.superuser && !admin.bounds_files);
    silent.chain(files).chain([IDLE]).collect()
}

/// The statements that give a role these settings. Each begins with a separator.
pub(super) fn of(admin: Admin, role: &str) -> String {
    all(admin)
        .iter()
        .map(|(name, value)| format!("; ALTER ROLE {} SET {name} = {}", ident(role), literal(value)))
        .collect()
}

/// Corrects what older versions of this program left: roles without these settings, and comments on databases, which
/// every tenant can read. Checked once in each process, and a second time under the lock before anything is written.
pub(super) async fn catch_up(admin: Admin, registry: &mut Session) -> Result<()> {
    if left(admin, registry).await?.is_empty() {
        return Ok(());
    }
    lock::lock(registry, REGISTRY).await?;
    for sql in left(admin, registry).await? {
        match registry.attempt("catch up", sql).await {
            // The role or database may be about to be dropped, or belong to somebody else. That is no reason to report
            // the server as failed.
            Err(error @ (Error::Server { .. } | Error::Forbidden { .. })) => {
                tracing::warn!(%error, "a role or a comment of an older version stays as it is");
            }
            other => drop(other?),
        }
    }
    registry.unlock(lock::UNLOCK).await
}

/// The statements that correct these leftovers.
async fn left(admin: Admin, registry: &mut Session) -> Result<Vec<String>> {
    let wanted: Vec<_> = all(admin).iter().map(|(name, value)| literal(&format!("{name}={value}"))).collect();
    let sql = format!(
        "SELECT DISTINCT 'role', d.role FROM public.databases d JOIN pg_roles r ON r.rolname = d.role \
         LEFT JOIN pg_db_role_setting s ON s.setrole = r.oid AND s.setdatabase = 0 \
         WHERE NOT COALESCE(s.setconfig, '{{}}') @> ARRAY[{}] \
         UNION ALL SELECT 'comment', datname FROM pg_database \
         WHERE shobj_description(oid, 'pg_database') LIKE 'tenantry: %' AND pg_has_role(datdba, 'USAGE')",
        wanted.join(", ")
    );
    let rows = registry.run("what an older version left", sql).await?;
    let statement = |row: &Vec<Option<String>>| {
        let name = row.get(1)?.as_deref()?;
        Some(match row.first()?.as_deref()? {
            "role" => of(admin, name).trim_start_matches("; ").to_owned(),
            _ => format!("COMMENT ON DATABASE {} IS NULL", ident(name)),
        })
    };
    Ok(rows.iter().filter_map(statement).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_administrator_who_is_no_superuser_sets_only_what_he_may_and_a_bound_of_the_server_stands() {
        let admin = |superuser, bounds_files| Admin { superuser, version_major: 15, bounds_files };
        let names = |admin| all(admin).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(names(admin(false, false)), ["idle_in_transaction_session_timeout"]);
        assert!(names(admin(true, false)).contains(&"temp_file_limit"));
        assert!(!names(admin(true, true)).contains(&"temp_file_limit"));
        assert!(of(admin(true, true), "crm_a").contains("; ALTER ROLE \"crm_a\" SET log_min_messages = 'log'"));
    }
}
