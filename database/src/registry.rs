//! The SQL of the registry, the same table on both engines — does I/O through a session.

use std::collections::BTreeSet;

use crate::error::{Error, Result};
use crate::generation::Rows;
use crate::model::{DatabaseRecord, Engine, NewDatabase, Page, Source, State};
use crate::quote::literal;
use crate::session::Session;

/// Maximum number of rows of a page.
const PAGE_MAX: u32 = 1000;

/// The registry in the dialect of an engine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Registry(pub Engine);

impl Registry {
    fn table(self) -> &'static str {
        match self.0 {
            Engine::Postgresql => "public.databases",
            Engine::Mariadb => "tenantry_registry.`databases`",
        }
    }

    fn now(self) -> &'static str {
        match self.0 {
            Engine::Postgresql => "now()",
            Engine::Mariadb => "UTC_TIMESTAMP()",
        }
    }

    /// The statement that creates the table. Names compare byte by byte, so that pages have the same order everywhere.
    pub(crate) fn table_sql(self) -> String {
        let (text, time, end) = match self.0 {
            Engine::Postgresql => ("text COLLATE \"C\"", "timestamptz", ""),
            Engine::Mariadb => ("varchar(200)", "datetime", " ENGINE=InnoDB DEFAULT CHARSET=ascii COLLATE=ascii_bin"),
        };
        format!(
            "CREATE TABLE IF NOT EXISTS {} (name {text} NOT NULL PRIMARY KEY, owner {text} NOT NULL, tenant {text} NOT NULL, \
             generation bigint NOT NULL, role {text} NOT NULL, state {text} NOT NULL, template {text}, \
             release_hash {text} NOT NULL, created_at {time} NOT NULL, updated_at {time} NOT NULL){end}",
            self.table()
        )
    }

    fn text(self, text: &str) -> String {
        literal(self.0, text)
    }

    fn select(self, rest: &str) -> String {
        let time = |column: &str| match self.0 {
            Engine::Postgresql => format!("to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"),
            Engine::Mariadb => format!("DATE_FORMAT({column}, '%Y-%m-%dT%H:%i:%sZ')"),
        };
        format!(
            "SELECT name, owner, tenant, generation, role, state, template, release_hash, {}, {} FROM {} {rest}",
            time("created_at"),
            time("updated_at"),
            self.table()
        )
    }

    async fn read(self, session: &mut Session, label: &str, rest: &str) -> Result<Vec<DatabaseRecord>> {
        session.run(label, self.select(rest)).await?.into_iter().map(record).collect()
    }

    pub(crate) async fn row(self, session: &mut Session, name: &str) -> Result<Option<DatabaseRecord>> {
        let rest = format!("WHERE name = {}", self.text(name));
        Ok(self.read(session, "registry row", &rest).await?.pop())
    }

    /// All rows with this value in a column, read page by page.
    async fn all_of(
        self,
        session: &mut Session,
        label: &str,
        column: &str,
        value: &str,
    ) -> Result<Vec<DatabaseRecord>> {
        let mut all: Vec<DatabaseRecord> = Vec::new();
        loop {
            let (value, after) = (self.text(value), self.text(all.last().map_or("", |row| &row.name)));
            let rest = format!("WHERE {column} = {value} AND name > {after} ORDER BY name LIMIT {PAGE_MAX}");
            let page = self.read(session, label, &rest).await?;
            let is_last = page.len() < PAGE_MAX as usize;
            all.extend(page);
            if is_last {
                return Ok(all);
            }
        }
    }

    pub(crate) async fn of_owner(self, session: &mut Session, owner: &str) -> Result<Vec<DatabaseRecord>> {
        self.all_of(session, "registry rows of an owner", "owner", owner).await
    }

    pub(crate) async fn of_tenant(self, session: &mut Session, tenant: &str) -> Result<Vec<DatabaseRecord>> {
        self.all_of(session, "registry rows of a tenant", "tenant", tenant).await
    }

    pub(crate) async fn of_role(self, session: &mut Session, role: &str) -> Result<Vec<DatabaseRecord>> {
        self.all_of(session, "registry rows of a role", "role", role).await
    }

    pub(crate) async fn page(self, session: &mut Session, page: &Page) -> Result<Vec<DatabaseRecord>> {
        let after = page.after.as_deref().unwrap_or_default();
        let limit = if page.limit == 0 { PAGE_MAX } else { page.limit.min(PAGE_MAX) };
        let rest = format!(
            "WHERE left(name, {}) = {} AND name > {} ORDER BY name LIMIT {limit}",
            page.prefix.len(),
            self.text(&page.prefix),
            self.text(after)
        );
        self.read(session, "registry page", &rest).await
    }

    /// Names in the registry for which the server has a database. Registry and databases are read by one query, so a
    /// database that is created or dropped meanwhile can at most be missing from the result, but never wrongly be in
    /// it.
    pub(crate) async fn present(self, session: &mut Session) -> Result<BTreeSet<String>> {
        let there = match self.0 {
            Engine::Postgresql => "SELECT datname FROM pg_database",
            Engine::Mariadb => "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA",
        };
        let sql = format!("SELECT name FROM {} WHERE name IN ({there})", self.table());
        let rows = session.run("names of the databases there are", sql).await?;
        Ok(rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect())
    }

    pub(crate) async fn count(self, session: &mut Session) -> Result<u32> {
        let sql = format!("SELECT count(*) FROM {} WHERE owner NOT LIKE 'template/%'", self.table());
        number("count", session.text("registry count", sql).await?)
    }

    pub(crate) async fn insert(self, session: &mut Session, new: &NewDatabase) -> Result<()> {
        let template = match &new.source {
            Source::Empty => "NULL".to_owned(),
            Source::Template { name } => self.text(name),
        };
        let sql = format!(
            "INSERT INTO {} (name, owner, tenant, generation, role, state, template, release_hash, created_at, updated_at) \
             VALUES ({}, {}, {}, {}, {}, {}, {template}, {}, {now}, {now})",
            self.table(),
            self.text(&new.name),
            self.text(&new.owner),
            self.text(&new.tenant),
            new.generation,
            self.text(&new.role),
            self.text(State::Creating.as_str()),
            self.text(&new.release_hash),
            now = self.now(),
        );
        session.run("registry insert", sql).await.map(drop)
    }

    /// Updates a row that is still `creating` to the current request, because nothing was created for it yet.
    pub(crate) async fn rewrite(self, session: &mut Session, new: &NewDatabase) -> Result<()> {
        let template = match &new.source {
            Source::Empty => "NULL".to_owned(),
            Source::Template { name } => self.text(name),
        };
        let sql = format!(
            "UPDATE {} SET tenant = {}, generation = {}, template = {template}, release_hash = {}, updated_at = {} \
             WHERE name = {} AND owner = {} AND state = {}",
            self.table(),
            self.text(&new.tenant),
            new.generation,
            self.text(&new.release_hash),
            self.now(),
            self.text(&new.name),
            self.text(&new.owner),
            self.text(State::Creating.as_str()),
        );
        session.run("registry rewrite", sql).await.map(drop)
    }

    pub(crate) async fn set_state(self, session: &mut Session, name: &str, owner: &str, state: State) -> Result<()> {
        let sql = format!(
            "UPDATE {} SET state = {}, updated_at = {} WHERE name = {} AND owner = {} AND state <> {}",
            self.table(),
            self.text(state.as_str()),
            self.now(),
            self.text(name),
            self.text(owner),
            self.text(state.as_str()),
        );
        session.run(&format!("registry state {state}"), sql).await.map(drop)
    }

    /// Notes that a database is being dropped, unless people work in it: then the row of its generation is current. One
    /// that is archived is dropped all the same, by a purge; what is being dropped is dropped to the end.
    pub(crate) async fn begin_drop(self, session: &mut Session, name: &str, owner: &str, rows: Rows) -> Result<bool> {
        let (dropping, name, owner) = (self.text(State::Dropping.as_str()), self.text(name), self.text(owner));
        let sql = format!(
            "UPDATE {table} SET state = {dropping}, updated_at = {now} WHERE name = {name} AND owner = {owner} \
             AND state <> {dropping} AND (state NOT IN ('loaded', 'installing', 'personalised') OR NOT EXISTS \
             (SELECT 1 FROM {generations} g WHERE g.owner = {owner} AND g.database_name = {name} AND g.standing = 'current'))",
            table = self.table(),
            now = self.now(),
            generations = rows.table(),
        );
        session.run("registry state dropping", sql).await?;
        let dropped = format!("SELECT count(*) > 0 FROM {} WHERE name = {name} AND state = {dropping}", self.table());
        session.yes("database is being dropped", dropped).await
    }

    pub(crate) async fn set_release(self, session: &mut Session, name: &str, owner: &str, hash: &str) -> Result<()> {
        let sql = format!(
            "UPDATE {} SET release_hash = {}, updated_at = {} WHERE name = {} AND owner = {}",
            self.table(),
            self.text(hash),
            self.now(),
            self.text(name),
            self.text(owner),
        );
        session.run("registry release", sql).await.map(drop)
    }

    pub(crate) async fn delete(self, session: &mut Session, name: &str, owner: &str) -> Result<()> {
        let sql =
            format!("DELETE FROM {} WHERE name = {} AND owner = {}", self.table(), self.text(name), self.text(owner));
        session.run("registry delete", sql).await.map(drop)
    }
}

/// Reads a number from a server's answer.
pub(crate) fn number<T: std::str::FromStr>(what: &str, text: Option<String>) -> Result<T> {
    let text = text.unwrap_or_default();
    text.trim().parse().map_err(|_| Error::Registry { why: format!("{what} is not a number: {text:?}") })
}

fn record(row: Vec<Option<String>>) -> Result<DatabaseRecord> {
    let mut columns = row.into_iter();
    let mut next = || columns.next().flatten();
    Ok(DatabaseRecord {
        name: next().unwrap_or_default(),
        owner: next().unwrap_or_default(),
        tenant: next().unwrap_or_default(),
        generation: number("generation", next())?,
        role: next().unwrap_or_default(),
        state: next().unwrap_or_default().parse()?,
        template: next(),
        release_hash: next().unwrap_or_default(),
        created_at: next().unwrap_or_default(),
        updated_at: next().unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_with_an_unknown_state_is_an_error_and_no_panic() {
        let row = |state: &str| {
            ["a", "o", "t", "1", "r", state]
                .into_iter()
                .map(|c| Some(c.to_owned()))
                .chain([None, None, None, None])
                .collect()
        };
        assert_eq!(record(row("loaded")).unwrap().state, State::Loaded);
        assert!(matches!(record(row("dancing")), Err(Error::Registry { .. })));
    }
}
