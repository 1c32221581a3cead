//! A connection behind the gate: statements are announced and limited in time, their failures translated — does I/O.

use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tenantry_core::calls::Gate;

use crate::classify::{self, Place};
use crate::error::{Error, Result};
use crate::home::Home;
use crate::model::{Endpoint, Login};
use crate::wire::{self, Rows, Wire};

/// Maximum wait for a connection.
pub(crate) const CONNECT: Duration = Duration::from_secs(5);
/// Maximum duration of a statement.
pub(crate) const STATEMENT: Duration = Duration::from_secs(60);
/// Maximum duration of a statement that copies a whole database or table.
pub(crate) const COPY: Duration = Duration::from_secs(300);
/// The server ends a statement itself at its limit. We stop waiting for the answer this much later.
const GRACE: Duration = Duration::from_secs(2);
/// How long a session that holds a lock may be idle before the server ends it. Longer than any step that runs beside
/// it.
pub(crate) const ALONE: Duration = Duration::from_secs(900);
/// Maximum wait until ended sessions are gone.
const PATIENCE: Duration = Duration::from_secs(10);

/// The number of the lock that belongs to a name.
pub(crate) fn lock_number(name: &str) -> i64 {
    let hash: [u8; 32] = Sha256::digest(format!("tenantry/{name}")).into();
    hash[..8].iter().fold(0, |number, byte| (number << 8) | i64::from(*byte))
}

/// An open connection. After any failure it is discarded and never used again.
#[derive(Debug)]
pub(crate) struct Session {
    wire: Option<Box<dyn Wire>>,
    gate: Arc<dyn Gate>,
    place: Place,
    limit: Duration,
    tolerant: bool,
    home: Option<Home>,
    /// Whether the session holds a lock of the server. Such a session is never lent to anybody else.
    locked: bool,
}

impl Session {
    /// Opens a new connection for one purpose.
    pub(crate) async fn open(
        endpoint: &Endpoint,
        login: &Login,
        database: Option<&str>,
        limit: Duration,
        gate: &Arc<dyn Gate>,
        label: &str,
    ) -> Result<Self> {
        let label = format!("sql {label}");
        gate.before(&label)?;
        let opened = Self::open_quietly(endpoint, login, database, limit, gate, &label).await;
        gate.after(&label)?;
        opened
    }

    /// Opens a connection without asking the gate, because the pool has asked it.
    pub(crate) async fn open_quietly(
        endpoint: &Endpoint,
        login: &Login,
        database: Option<&str>,
        limit: Duration,
        gate: &Arc<dyn Gate>,
        label: &str,
    ) -> Result<Self> {
        let place = Place { engine: endpoint.engine, server: endpoint.to_string(), user: login.user.clone() };
        let wire = match tokio::time::timeout(CONNECT, wire::open(endpoint, login, database, limit)).await {
            Err(_) => {
                return Err(Error::Timeout { server: place.server, what: label.into(), seconds: CONNECT.as_secs() });
            }
            Ok(Err(error)) => return Err(classify::failure(&place, label, &error)),
            Ok(Ok(wire)) => wire,
        };
        Ok(Self { wire: Some(wire), gate: Arc::clone(gate), place, limit, tolerant: false, home: None, locked: false })
    }

    /// A connection that the pool lends.
    pub(crate) fn lent(wire: Box<dyn Wire>, gate: &Arc<dyn Gate>, place: Place, home: Home) -> Self {
        Self {
            wire: Some(wire),
            gate: Arc::clone(gate),
            place,
            limit: STATEMENT,
            tolerant: false,
            home: Some(home),
            locked: false,
        }
    }

    pub(crate) fn take_wire(&mut self) -> Option<Box<dyn Wire>> {
        self.wire.take()
    }

    /// Runs statements under a label that holds no secret.
    pub(crate) async fn run(&mut self, label: &str, sql: impl Into<String>) -> Result<Rows> {
        self.counted(label, sql.into()).await.map_err(|(error, _)| error)
    }

    /// Like [`Self::run`], but an error comes with the number of statements that succeeded before it.
    #[tracing::instrument(
        target = "tenantry::trace", level = "debug", name = "sql", skip_all,
        fields(otel.name = %format_args!("sql {label}"), otel.kind = "client", server.address = %self.place.server)
    )]
    pub(crate) async fn counted(&mut self, label: &str, sql: String) -> Result<Rows, (Error, u64)> {
        let label = format!("sql {label}");
        let Some(mut wire) = self.wire.take() else {
            let (server, what) = (self.place.server.clone(), label);
            return Err((Error::Unreachable { server, what, why: "the connection failed before".into() }, 0));
        };
        self.gate.before(&label).map_err(|fault| (fault.into(), 0))?;
        let mut done = 0;
        let limit = self.limit + GRACE;
        let answer = tokio::time::timeout(limit, wire.run(sql, &mut done)).await;
        self.gate.after(&label).map_err(|fault| (fault.into(), 0))?;
        match answer {
            Err(_) => {
                let (server, seconds) = (self.place.server.clone(), limit.as_secs());
                Err((Error::Timeout { server, what: label, seconds }, done))
            }
            Ok(Err(error)) => {
                if self.tolerant && matches!(error, sqlx::Error::Database(_)) {
                    self.wire = Some(wire);
                }
                Err((classify::failure(&self.place, &label, &error), done))
            }
            Ok(Ok(rows)) => {
                self.wire = Some(wire);
                Ok(rows)
            }
        }
    }

    /// Like [`Self::run`], but the connection stays usable if the server refuses the statement (no transaction is
    /// open).
    pub(crate) async fn attempt(&mut self, label: &str, sql: String) -> Result<Rows> {
        self.tolerant = true;
        let answer = self.run(label, sql).await;
        self.tolerant = false;
        answer
    }

    /// The first column of the first row.
    pub(crate) async fn text(&mut self, label: &str, sql: impl Into<String>) -> Result<Option<String>> {
        let rows = self.run(label, sql).await?;
        Ok(rows.into_iter().next().and_then(|row| row.into_iter().next()).flatten())
    }

    /// Whether the first column of the first row is true (`t`, `1`).
    pub(crate) async fn yes(&mut self, label: &str, sql: impl Into<String>) -> Result<bool> {
        Ok(matches!(self.text(label, sql).await?.as_deref(), Some("t" | "1")))
    }

    /// Repeats a query, as one call of the gate, until its answer is no (first column `f`, `0`).
    pub(crate) async fn wait_until_no(&mut self, label: &str, sql: &str) -> Result<()> {
        let label = format!("sql {label}");
        self.gate.before(&label)?;
        // Taken out of the session, so that a cancelled wait does not leave a connection in the middle of an answer.
        let Some(mut wire) = self.wire.take() else {
            let server = self.place.server.clone();
            return Err(Error::Unreachable { server, what: label, why: "the connection failed before".into() });
        };
        let wait = async {
            loop {
                let rows = wire.run(sql.to_owned(), &mut 0).await?;
                let answer = rows.first().and_then(|row| row.first()).and_then(Option::as_deref);
                if !matches!(answer, Some("t" | "1")) {
                    return Ok::<(), sqlx::Error>(());
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let answer = tokio::time::timeout(PATIENCE, wait).await;
        self.gate.after(&label)?;
        match answer {
            Err(_) => {
                Err(Error::Timeout { server: self.place.server.clone(), what: label, seconds: PATIENCE.as_secs() })
            }
            Ok(Err(error)) => Err(classify::failure(&self.place, &label, &error)),
            Ok(Ok(())) => {
                self.wire = Some(wire);
                Ok(())
            }
        }
    }

    /// Takes the lock of a name. Until [`Self::unlock`] the lock ends with the connection, whatever happens. Returns
    /// the server's answer, if it is a yes or no.
    pub(crate) async fn lock(&mut self, name: &str, sql: String) -> Result<bool> {
        self.locked = true;
        self.yes("lock name", sql).await.map_err(|error| match error {
            Error::Busy { server, what, .. } => {
                Error::Busy { server, what, message: format!("another process works on database {name}") }
            }
            other => other,
        })
    }

    /// The server's name in errors.
    pub(crate) fn server(&self) -> String {
        self.place.server.clone()
    }

    /// Releases all locks.
    pub(crate) async fn unlock(&mut self, sql: &str) -> Result<()> {
        self.run("unlock name", sql).await?;
        self.locked = false;
        Ok(())
    }

    /// Sets another time limit for statements. [`STATEMENT`] must be set again before the session is lent to others.
    pub(crate) async fn set_limit(&mut self, limit: Duration, sql: String) -> Result<()> {
        self.run("set limit", sql).await?;
        self.limit = limit;
        Ok(())
    }

    /// Ends a connection that belongs to no pool.
    pub(crate) async fn close(mut self) {
        if let Some(wire) = self.wire.take() {
            wire.close().await;
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let (Some(wire), Some(home), false) = (self.wire.take(), self.home.take(), self.locked) {
            home.take_back(wire);
        }
    }
}
