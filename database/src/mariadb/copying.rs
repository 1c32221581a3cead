//! MariaDB: a copy of a template that is running, and what its steps ask of the server — does I/O.

use super::literal;
use crate::error::{Error, Result};
use crate::session::Session;

/// A running copy: two databases, one session, and the names of the roles.
pub(super) struct Copy<'a> {
    pub session: Session,
    pub from: &'a str,
    pub to: &'a str,
    pub build: &'a str,
    pub tenant: &'a str,
}

impl Copy<'_> {
    /// Tables of some kinds, ordered by name.
    pub(super) async fn names(&mut self, kinds: &str) -> Result<Vec<String>> {
        let sql = format!(
            "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} AND TABLE_TYPE IN ('{kinds}') \
             ORDER BY TABLE_NAME",
            literal(self.from)
        );
        self.column("list tables", sql).await
    }

    /// The first column of all rows of a result.
    pub(super) async fn column(&mut self, label: &str, sql: String) -> Result<Vec<String>> {
        let rows = self.session.run(label, sql).await?;
        Ok(rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect())
    }

    /// One column of `SHOW CREATE ...`, by its position.
    pub(super) async fn shown(&mut self, label: &str, sql: String, column: usize) -> Result<String> {
        let row = self.session.run(label, sql).await?.pop().unwrap_or_default();
        let text = row.into_iter().nth(column).flatten();
        text.ok_or_else(|| Error::Registry { why: format!("the administrator may not see the definition ({label})") })
    }
}
