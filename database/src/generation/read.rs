//! Reads the registry's table of generations: the rows of an owner, and what a look at a server asks of all of them — does
//! I/O through a session.

use tenantry_core::generation::{Freeze, Rights, Role, Row, Token};

use super::model::{GenerationRow, Overdue, progress_of, role_of};
use super::rows::Rows;
use crate::error::{Error, Result};
use crate::model::Engine;
use crate::registry::number;
use crate::session::Session;

/// Rows of one answer.
const OVERDUE_MAX: u32 = 100;

impl Rows {
    /// The rows of an owner. One statement reads rows and rights, as of one moment.
    pub(crate) async fn read(self, session: &mut Session, owner: &str) -> Result<Vec<GenerationRow>> {
        let time = |column: &str| match self.0 {
            Engine::Postgresql => format!("to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"),
            Engine::Mariadb => format!("DATE_FORMAT({column}, '%Y-%m-%dT%H:%i:%sZ')"),
        };
        let logs_in = match self.0 {
            Engine::Postgresql => "COALESCE((SELECT r.rolcanlogin FROM pg_roles r WHERE r.rolname = g.role), false)",
            Engine::Mariadb => {
                "COALESCE((SELECT NOT COALESCE(JSON_VALUE(u.Priv, '$.account_locked'), 0) FROM mysql.global_priv u \
                 WHERE u.User = g.role AND u.Host = '%'), 0)"
            }
        };
        let sql = format!(
            "SELECT number, database_name, role, standing, progress, filled_under, supersedes, supersedes_server, \
             successor, successor_server, operation, token, is_frozen, frozen_until <= {}, is_fenced, taken, \
             rights IS NOT NULL, {logs_in}, fills, {}, {}, {} FROM {} g WHERE owner = {} ORDER BY number",
            self.now(),
            time("frozen_until"),
            time("created_at"),
            time("updated_at"),
            self.table(),
            self.text(owner),
        );
        let rows = session.run("generations", sql).await?;
        rows.into_iter().map(|row| self.parse(row)).collect()
    }

    fn parse(self, row: Vec<Option<String>>) -> Result<GenerationRow> {
        let mut columns = row.into_iter();
        let mut next = || columns.next().flatten();
        let unknown = |what: &str, text: &str| Error::Registry { why: format!("unknown {what} {text:?}") };
        let yes = |text: Option<String>| matches!(text.as_deref(), Some("t" | "1"));
        let optional = |what: &str, text: Option<String>| text.map(|t| number(what, Some(t))).transpose();
        let mut row = Row::new(number("number", next())?, Role::Candidate);
        let (database, role) = (next().unwrap_or_default(), next().unwrap_or_default());
        let (standing, progress) = (next().unwrap_or_default(), next().unwrap_or_default());
        row.role = role_of(&standing).ok_or_else(|| unknown("standing", &standing))?;
        row.progress = progress_of(&progress).ok_or_else(|| unknown("progress", &progress))?;
        row.filled_under = next().map(|t| number("filled_under", Some(t))).transpose()?;
        row.supersedes = next().map(|t| number("supersedes", Some(t))).transpose()?;
        let supersedes_server = next();
        row.successor = next().map(|t| number("successor", Some(t))).transpose()?;
        let (successor_server, operation) = (next(), next());
        let token: Token = number("token", next())?;
        let (is_frozen, is_over, is_fenced) = (yes(next()), yes(next()), yes(next()));
        row.freeze = is_frozen.then_some(Freeze { token, is_over, is_fenced });
        let taken: Option<Token> = optional("taken", next())?;
        let has_record = yes(next());
        let logs_in = yes(next());
        let fills = number("fills", next())?;
        let frozen_until = next().filter(|_| is_frozen);
        let (created_at, updated_at) = (next().unwrap_or_default(), next().unwrap_or_default());
        let rights = self.rights(taken, has_record, logs_in);
        Ok(GenerationRow {
            row,
            rights,
            fills,
            database,
            role,
            supersedes_server,
            successor_server,
            operation,
            frozen_until,
            created_at,
            updated_at,
        })
    }

    /// What a role may do. PostgreSQL takes rights by keeping the role from logging in, MariaDB by revoking them.
    fn rights(self, taken: Option<Token>, has_record: bool, logs_in: bool) -> Rights {
        match (self.0, taken, logs_in) {
            (Engine::Postgresql, Some(token), false) => Rights::Taken(token),
            (Engine::Mariadb, _, false) | (Engine::Postgresql, None, false) => Rights::Locked,
            (Engine::Mariadb, Some(token), true) => Rights::Taken(token),
            // Taking them was broken off half way. No freeze has the token 0, so that they are given back.
            (Engine::Mariadb, None, true) if has_record => Rights::Taken(0),
            // PostgreSQL: somebody let the role log in by hand, so that nothing may be believed of the freeze.
            (_, _, true) => Rights::Whole,
        }
    }

    /// First generations that are candidates: names of their databases.
    pub(crate) async fn unsettled(self, session: &mut Session) -> Result<Vec<String>> {
        let sql = format!(
            "SELECT database_name FROM {} WHERE standing = 'candidate' AND supersedes IS NULL AND progress = 'transformed'",
            self.table()
        );
        let rows = session.run("generations that are not settled", sql).await?;
        Ok(rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect())
    }

    /// Freezes that are over, and rights that are taken for nobody, of owners after this one. One statement reads both,
    /// as of one moment. An owner has one current generation on a server.
    pub(crate) async fn overdue(self, session: &mut Session, after: &str) -> Result<Vec<Overdue>> {
        let sql = format!(
            "SELECT owner, number, CASE WHEN is_frozen THEN token END, COALESCE(taken, CASE WHEN rights IS NOT NULL THEN 0 END) \
             FROM {} WHERE standing = 'current' AND ((is_frozen AND frozen_until <= {}) \
             OR (NOT is_frozen AND (taken IS NOT NULL OR rights IS NOT NULL))) AND owner > {} ORDER BY owner LIMIT {OVERDUE_MAX}",
            self.table(),
            self.now(),
            self.text(after)
        );
        let rows = session.run("overdue freezes", sql).await?;
        rows.into_iter()
            .map(|row| {
                let mut columns = row.into_iter();
                let mut next = || columns.next().flatten();
                Ok(Overdue {
                    owner: next().unwrap_or_default(),
                    number: number("number", next())?,
                    held: next().map(|t| number("token", Some(t))).transpose()?,
                    taken: next().map(|t| number("taken", Some(t))).transpose()?,
                })
            })
            .collect()
    }
}
