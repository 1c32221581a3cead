//! One connection in the text protocol, the same for both engines — does I/O.
//!
//! The text protocol is used (no prepared statements) because most statements here take no parameters (CREATE, GRANT),
//! and because several statements in one message are one transaction on PostgreSQL. The driver never logs statements,
//! because they contain verifiers, and a blueprint's statements even secrets.

use std::time::Duration;

use async_trait::async_trait;
use futures::TryStreamExt;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlSslMode};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Either, Row};

use crate::model::{Endpoint, Engine, Login, Tls};

/// Rows of text values.
pub(crate) type Rows = Vec<Vec<Option<String>>>;

/// One connection.
#[async_trait]
pub(crate) trait Wire: Send + std::fmt::Debug {
    /// Runs one or more statements. Returns the rows of all, and counts in `done` the statements that succeeded.
    async fn run(&mut self, sql: String, done: &mut u64) -> Result<Rows, sqlx::Error>;

    /// Closes the connection, with a good-bye to the server.
    async fn close(self: Box<Self>);
}

macro_rules! wire {
    ($name:ident, $connection:ty) => {
        #[derive(Debug)]
        struct $name($connection);

        #[async_trait]
        impl Wire for $name {
            async fn run(&mut self, sql: String, done: &mut u64) -> Result<Rows, sqlx::Error> {
                let mut rows = Rows::new();
                let mut stream = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_many(&mut self.0);
                while let Some(item) = stream.try_next().await? {
                    match item {
                        Either::Left(_) => *done += 1,
                        Either::Right(row) => {
                            let texts = (0..row.len()).map(|i| row.try_get_unchecked::<Option<String>, _>(i));
                            rows.push(texts.collect::<Result<_, _>>()?);
                        }
                    }
                }
                Ok(rows)
            }

            async fn close(self: Box<Self>) {
                // Limited in time, because a server that hangs must not delay us with the good-bye.
                let _ = tokio::time::timeout(Duration::from_secs(1), self.0.close()).await;
            }
        }
    };
}

wire!(Pg, PgConnection);
wire!(My, MySqlConnection);

/// Opens a connection. `limit` is the server's own limit for a statement.
pub(crate) async fn open(
    endpoint: &Endpoint,
    login: &Login,
    database: Option<&str>,
    limit: Duration,
) -> Result<Box<dyn Wire>, sqlx::Error> {
    match endpoint.engine {
        Engine::Postgresql => {
            let options = pg_options(endpoint, login, database.unwrap_or("postgres"), limit);
            Ok(Box::new(Pg(options.connect().await?)))
        }
        Engine::Mariadb => {
            let mut wire = Box::new(My(my_options(endpoint, login, database).connect().await?));
            wire.run(my_session(limit), &mut 0).await?;
            Ok(wire)
        }
    }
}

fn pg_options(endpoint: &Endpoint, login: &Login, database: &str, limit: Duration) -> PgConnectOptions {
    let options = PgConnectOptions::new_without_pgpass()
        .host(&endpoint.host)
        .port(endpoint.port)
        .username(&login.user)
        .password(login.password.reveal())
        .database(database)
        .options([
            ("statement_timeout", limit.as_millis().to_string()),
            ("lock_timeout", "10s".into()),
            ("idle_in_transaction_session_timeout", "60s".into()),
        ])
        .statement_cache_capacity(0)
        .disable_statement_logging();
    match &endpoint.tls {
        Tls::Disable => options.ssl_mode(PgSslMode::Disable),
        Tls::Require { ca: None } => options.ssl_mode(PgSslMode::Require),
        Tls::Require { ca: Some(pem) } => {
            options.ssl_mode(PgSslMode::VerifyFull).ssl_root_cert_from_pem(pem.as_bytes().to_vec())
        }
    }
}

fn my_options(endpoint: &Endpoint, login: &Login, database: Option<&str>) -> MySqlConnectOptions {
    let mut options = MySqlConnectOptions::new()
        .host(&endpoint.host)
        .port(endpoint.port)
        .username(&login.user)
        .password(login.password.reveal())
        .charset("utf8mb4")
        .pipes_as_concat(false)
        .no_engine_substitution(false)
        .statement_cache_capacity(0)
        .disable_statement_logging();
    if let Some(database) = database {
        options = options.database(database);
    }
    match &endpoint.tls {
        Tls::Disable => options.ssl_mode(MySqlSslMode::Disabled),
        Tls::Require { ca: None } => options.ssl_mode(MySqlSslMode::Required),
        Tls::Require { ca: Some(pem) } => {
            options.ssl_mode(MySqlSslMode::VerifyIdentity).ssl_ca_from_pem(pem.as_bytes().to_vec())
        }
    }
}

/// Sets the server's own limits. Also sets that backslashes are escapes, on which [`crate::quote::literal`] relies.
fn my_session(limit: Duration) -> String {
    format!(
        "SET SESSION max_statement_time = {}, lock_wait_timeout = 10, \
         sql_mode = REPLACE(@@sql_mode, 'NO_BACKSLASH_ESCAPES', '')",
        limit.as_secs().max(1)
    )
}
