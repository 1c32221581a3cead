//! The SQL that makes and changes the registry's table of generations, the same table on both engines — does I/O through
//! a session.

use tenantry_core::generation::{Number, Progress, Role, Token};

use super::model::{NewGeneration, Other, PROGRESS, progress_text, role_text};
use crate::error::Result;
use crate::model::Engine;
use crate::quote::literal;
use crate::registry::number;
use crate::session::Session;

/// The table of generations in the dialect of an engine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rows(pub Engine);

impl Rows {
    /// Its name.
    pub(crate) fn table(self) -> &'static str {
        match self.0 {
            Engine::Postgresql => "public.generations",
            Engine::Mariadb => "tenantry_registry.generations",
        }
    }

    fn databases(self) -> &'static str {
        match self.0 {
            Engine::Postgresql => "public.databases",
            Engine::Mariadb => "tenantry_registry.`databases`",
        }
    }

    pub(crate) fn now(self) -> &'static str {
        match self.0 {
            Engine::Postgresql => "now()",
            Engine::Mariadb => "UTC_TIMESTAMP()",
        }
    }

    /// The statements that create the table. An owner has at most one current generation and one candidate on a server;
    /// the server itself sees to that.
    pub(crate) fn table_sql(self) -> String {
        let columns = |text: &str, long: &str, time: &str| {
            format!(
                "owner {text} NOT NULL, number bigint NOT NULL, database_name {text} NOT NULL, role {text} NOT NULL, \
                 standing {text} NOT NULL, progress {text} NOT NULL, \
                 fills bigint NOT NULL DEFAULT 0, filled_under bigint, supersedes bigint, \
                 supersedes_server {text}, successor bigint, successor_server {text}, operation {text}, \
                 token bigint NOT NULL DEFAULT 0, is_frozen boolean NOT NULL DEFAULT false, frozen_until {time}, \
                 is_fenced boolean NOT NULL DEFAULT false, taken bigint, released bigint NOT NULL DEFAULT 0, \
                 rights {long}, print {text}, created_at {time} NOT NULL, updated_at {time} NOT NULL, \
                 PRIMARY KEY (owner, number)"
            )
        };
        let table = self.table();
        match self.0 {
            Engine::Postgresql => {
                let columns = columns("text COLLATE \"C\"", "text", "timestamptz");
                let one = |what: &str| {
                    format!(
                        "CREATE UNIQUE INDEX IF NOT EXISTS generations_one_{what} ON {table} (owner) WHERE standing = '{what}'"
                    )
                };
                format!("CREATE TABLE IF NOT EXISTS {table} ({columns}); {}; {}", one("candidate"), one("current"))
            }
            Engine::Mariadb => {
                let columns = columns("varchar(200)", "mediumtext CHARACTER SET utf8mb4", "datetime");
                // The engine has no index over some rows only: rows of another standing have no value here.
                let one = |what: &str| {
                    format!(
                        "one_{what} varchar(200) AS (IF(standing = '{what}', owner, NULL)) PERSISTENT, UNIQUE KEY (one_{what})"
                    )
                };
                format!(
                    "CREATE TABLE IF NOT EXISTS {table} ({columns}, {}, {}) \
                     ENGINE=InnoDB DEFAULT CHARSET=ascii COLLATE=ascii_bin",
                    one("candidate"),
                    one("current")
                )
            }
        }
    }

    /// The statement that writes the rows of instances whose databases were made by an older version of this program. Of
    /// an owner that has several, none is chosen here.
    pub(crate) fn catch_up_sql(self) -> String {
        let (table, now) = (self.table(), self.now());
        let (insert, end) = self.insert();
        format!(
            "{insert} INTO {table} (owner, number, database_name, role, standing, progress, created_at, updated_at) \
             SELECT d.owner, d.generation, d.name, d.role, 'current', 'verified', {now}, {now} FROM {databases} d \
             WHERE d.owner LIKE 'instance/%' AND d.state IN ('personalised', 'archived') \
             AND NOT EXISTS (SELECT 1 FROM {table} g WHERE g.owner = d.owner) \
             AND NOT EXISTS (SELECT 1 FROM {databases} o WHERE o.owner = d.owner AND o.name <> d.name \
             AND o.state IN ('personalised', 'archived')){end}",
            databases = self.databases()
        )
    }

    /// How a row is written that may be there already.
    fn insert(self) -> (&'static str, &'static str) {
        match self.0 {
            Engine::Postgresql => ("INSERT", " ON CONFLICT DO NOTHING"),
            Engine::Mariadb => ("INSERT IGNORE", ""),
        }
    }

    /// A text as a literal.
    pub(crate) fn text(self, text: &str) -> String {
        literal(self.0, text)
    }

    fn maybe(self, text: Option<&str>) -> String {
        text.map_or_else(|| "NULL".to_owned(), |t| self.text(t))
    }

    /// The condition that names a row.
    pub(crate) fn of(self, owner: &str, number: Number) -> String {
        format!("owner = {} AND number = {number}", self.text(owner))
    }

    /// The condition that a freeze is held and not over.
    pub(crate) fn held(self, token: Token) -> String {
        format!("is_frozen AND token = {token} AND frozen_until > {}", self.now())
    }

    /// Runs an update and says whether a row was changed.
    pub(crate) async fn update(self, session: &mut Session, label: &str, set: &str, condition: &str) -> Result<bool> {
        let (table, now) = (self.table(), self.now());
        let update = format!("UPDATE {table} SET {set}, updated_at = {now} WHERE {condition}");
        let sql = match self.0 {
            Engine::Postgresql => format!("WITH changed AS ({update} RETURNING 1) SELECT count(*) > 0 FROM changed"),
            // In one message, so that nothing comes in between. The number of rows that match counts, for a row that
            // was updated in the same second has no new time.
            Engine::Mariadb => format!("{update}; SELECT ROW_COUNT() > 0"),
        };
        session.yes(label, sql).await
    }

    /// Whether a row exists for which a condition holds.
    pub(crate) async fn holds(self, session: &mut Session, label: &str, condition: &str) -> Result<bool> {
        session.yes(label, format!("SELECT count(*) > 0 FROM {} WHERE {condition}", self.table())).await
    }

    pub(crate) async fn begin(self, session: &mut Session, owner: &str, new: &NewGeneration) -> Result<bool> {
        let (insert, end) = self.insert();
        let (supersedes, server, under) = match &new.supersedes {
            Some((other, token)) => (other.number.to_string(), self.text(&other.server), token.to_string()),
            None => ("NULL".into(), "NULL".into(), "NULL".into()),
        };
        let sql = format!(
            "{insert} INTO {} (owner, number, database_name, role, standing, progress, filled_under, supersedes, \
             supersedes_server, operation, created_at, updated_at) VALUES ({}, {}, {database}, {database}, {}, {}, \
             {under}, {supersedes}, {server}, {}, {now}, {now}){end} RETURNING number",
            self.table(),
            self.text(owner),
            new.number,
            self.text(role_text(Role::Candidate)),
            self.text(progress_text(Progress::Filling)),
            self.maybe(new.operation.as_deref()),
            database = self.text(&new.database),
            now = self.now(),
        );
        if !session.run("begin generation", sql).await?.is_empty() {
            return Ok(true);
        }
        let there = format!(
            "{} AND standing = 'candidate' AND database_name = {} AND COALESCE(filled_under, 0) = COALESCE({under}, 0)",
            self.of(owner, new.number),
            self.text(&new.database)
        );
        self.holds(session, "generation was begun", &there).await
    }

    /// Counts a beginning of the filling of a candidate, and gives its number. A first generation may be filled again
    /// however far it is, because nobody works in it before it is current. None: it may not be filled (any more).
    pub(crate) async fn begin_fill(self, session: &mut Session, owner: &str, name: &str) -> Result<Option<u64>> {
        let condition = format!(
            "owner = {} AND database_name = {} AND standing = 'candidate' AND (progress = 'filling' OR supersedes IS NULL)",
            self.text(owner),
            self.text(name)
        );
        if !self.update(session, "begin to fill", "fills = fills + 1, progress = 'filling'", &condition).await? {
            return Ok(None);
        }
        let sql = format!("SELECT fills FROM {} WHERE {condition}", self.table());
        session.text("number of the beginning", sql).await?.map(|t| number("fills", Some(t))).transpose()
    }

    pub(crate) async fn progress(
        self,
        session: &mut Session,
        owner: &str,
        number: Number,
        to: Progress,
        fill: u64,
    ) -> Result<bool> {
        let before = PROGRESS.into_iter().filter(|p| *p <= to).map(|p| self.text(progress_text(p)));
        let condition = format!(
            "{} AND standing = 'candidate' AND fills = {fill} AND progress IN ({})",
            self.of(owner, number),
            before.collect::<Vec<_>>().join(", ")
        );
        let set = format!("progress = {}", self.text(progress_text(to)));
        self.update(session, "generation progress", &set, &condition).await
    }

    pub(crate) async fn freeze(
        self,
        session: &mut Session,
        owner: &str,
        number: Number,
        operation: &str,
        seconds: u64,
    ) -> Result<bool> {
        let until = match self.0 {
            Engine::Postgresql => format!("now() + interval '{seconds} seconds'"),
            Engine::Mariadb => format!("UTC_TIMESTAMP() + INTERVAL {seconds} SECOND"),
        };
        let set = format!(
            "token = token + 1, is_frozen = true, is_fenced = false, print = NULL, frozen_until = {until}, operation = {}",
            self.text(operation)
        );
        let condition =
            format!("{} AND standing = 'current' AND NOT is_frozen AND taken IS NULL", self.of(owner, number));
        self.update(session, "freeze", &set, &condition).await
    }

    pub(crate) async fn fenced(
        self,
        session: &mut Session,
        owner: &str,
        number: Number,
        token: Token,
        print: &str,
    ) -> Result<bool> {
        let set = format!("is_fenced = true, print = {}", self.text(print));
        let condition = format!(
            "{} AND standing = 'current' AND {} AND taken = {token} AND NOT is_fenced",
            self.of(owner, number),
            self.held(token)
        );
        self.update(session, "fence", &set, &condition).await
    }

    pub(crate) async fn clear_token(
        self,
        session: &mut Session,
        owner: &str,
        number: Number,
        token: Token,
    ) -> Result<bool> {
        let condition =
            format!("{} AND standing = 'current' AND is_frozen AND token = {token}", self.of(owner, number));
        self.update(session, "clear token", "is_frozen = false, is_fenced = false, print = NULL", &condition).await
    }

    pub(crate) async fn decide(
        self,
        session: &mut Session,
        owner: &str,
        number: Number,
        to: &Other,
        token: Token,
        print: &str,
    ) -> Result<bool> {
        let set = format!(
            "standing = 'retired', successor = {}, successor_server = {}, is_frozen = false",
            to.number,
            self.text(&to.server)
        );
        let stays_out = match self.0 {
            // Somebody may have let the role log in by hand.
            Engine::Postgresql => " AND NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = role AND r.rolcanlogin)",
            Engine::Mariadb => "",
        };
        let condition = format!(
            "{} AND standing = 'current' AND {} AND is_fenced AND taken = {token} AND print = {}{stays_out}",
            self.of(owner, number),
            self.held(token),
            self.text(print)
        );
        self.update(session, "decide", &set, &condition).await
    }

    /// Whether a freeze is held and fenced, and its print is another one.
    pub(crate) async fn differs(
        self,
        session: &mut Session,
        owner: &str,
        number: Number,
        token: Token,
        print: &str,
    ) -> Result<bool> {
        let (of, held, print) = (self.of(owner, number), self.held(token), self.text(print));
        let condition = format!("{of} AND {held} AND is_fenced AND taken = {token} AND print <> {print}");
        self.holds(session, "print differs", &condition).await
    }

    pub(crate) async fn make_current(
        self,
        session: &mut Session,
        owner: &str,
        number: Number,
        fill: u64,
    ) -> Result<bool> {
        // Tokens are never used again, on whichever generation of the instance.
        let set = "standing = 'current', progress = 'verified', token = GREATEST(token, COALESCE(filled_under, 0))";
        let condition = format!(
            "{} AND standing = 'candidate' AND fills = {fill} \
             AND (progress = 'verified' OR (progress = 'transformed' AND supersedes IS NULL))",
            self.of(owner, number)
        );
        self.update(session, "make current", set, &condition).await
    }

    pub(crate) async fn bury(self, session: &mut Session, owner: &str, number: Number) -> Result<bool> {
        let set = "standing = 'dropped', filled_under = NULL, is_frozen = false, taken = NULL, rights = NULL";
        let condition = format!("{} AND standing <> 'current'", self.of(owner, number));
        self.update(session, "bury generation", set, &condition).await
    }

    pub(crate) async fn forget(self, session: &mut Session, owner: &str) -> Result<()> {
        let sql = format!("DELETE FROM {} WHERE owner = {}", self.table(), self.text(owner));
        session.run("forget generations", sql).await.map(drop)
    }
}
