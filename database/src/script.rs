//! Runs a blueprint's SQL as the instance's own role in one transaction — does I/O.

use std::sync::Arc;
use std::time::Duration;

use tenantry_core::calls::Gate;

use crate::error::{Error, Result};
use crate::model::{Endpoint, Login};
use crate::quote;
use crate::session::{STATEMENT, Session};

/// Runs a script of one or more statements in one transaction, with this log-in.
///
/// The script goes to the server in one message (the server splits it, so bodies with semicolons are safe). The first
/// statement that fails undoes all of it, as far as the engine can: on MariaDB, statements like CREATE and ALTER commit
/// by themselves.
///
/// # Errors
/// [`Error::Script`] with the number of the refused statement and the server's message, never with the statement's
/// text, which may contain secrets.
pub async fn run_as(
    endpoint: &Endpoint,
    login: &Login,
    database: &str,
    sql_script: &str,
    gate: &Arc<dyn Gate>,
    timeout: Duration,
) -> Result<()> {
    quote::name("database", database)?;
    let mut session = Session::open(endpoint, login, Some(database), timeout, gate, "connect as the role").await?;
    session.run("begin", "BEGIN").await?;
    session.counted("run script", sql_script.to_owned()).await.map_err(|(error, done)| of_script(error, done))?;
    // A deferred constraint may fail only now.
    session.run("commit", "COMMIT").await.map_err(|error| of_script(error, 0))?;
    session.close().await;
    Ok(())
}

/// Runs one query with this log-in. Returns the first column of the first row.
///
/// # Errors
/// As [`run_as`].
pub async fn query_text(
    endpoint: &Endpoint,
    login: &Login,
    database: &str,
    sql: &str,
    gate: &Arc<dyn Gate>,
) -> Result<Option<String>> {
    quote::name("database", database)?;
    let mut session = Session::open(endpoint, login, Some(database), STATEMENT, gate, "connect as the role").await?;
    let rows = session.counted("query", sql.to_owned()).await.map_err(|(error, done)| of_script(error, done))?;
    session.close().await;
    Ok(rows.into_iter().next().and_then(|row| row.into_iter().next()).flatten())
}

/// Whether an assertion holds: the first column of its first row is true. Without a row or a value it does not hold.
///
/// # Errors
/// As [`run_as`].
pub async fn holds(
    endpoint: &Endpoint,
    login: &Login,
    database: &str,
    sql: &str,
    gate: &Arc<dyn Gate>,
) -> Result<bool> {
    Ok(query_text(endpoint, login, database, sql, gate).await?.is_some_and(|value| is_true(&value)))
}

/// True in the spelling of both engines and of people.
fn is_true(value: &str) -> bool {
    matches!(value.trim().to_ascii_lowercase().as_str(), "t" | "true" | "1")
}

/// Errors that elsewhere would be a mistake of this program are a mistake of the script here.
fn of_script(error: Error, done: u64) -> Error {
    match error {
        Error::Server { code, message, .. } => Error::Script { statement: done + 1, code, message },
        Error::Forbidden { message, .. } => Error::Script { statement: done + 1, code: "forbidden".into(), message },
        other => other,
    }
}
