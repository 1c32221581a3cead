//! The vocabulary of this crate: endpoints, log-ins, databases and their records. No I/O.

use std::fmt;

use tenantry_core::secret::Secret;

pub use tenantry_core::database_state::State;
pub use tenantry_core::engine::Engine;

/// Protection of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Tls {
    /// Plain text.
    Disable,
    /// Encrypted. If there is a CA (PEM), the server's certificate and name are checked as well.
    Require {
        /// The certificate authority, in PEM.
        ca: Option<String>,
    },
}

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// The name under which people know the server. Errors show it beside the address.
    pub name: Option<String>,
    /// Its engine.
    pub engine: Engine,
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Protection of the connection.
    pub tls: Tls,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, engine, host, port, .. } = self;
        match name {
            Some(name) => write!(f, "{name:?} ({}, {host}:{port})", engine.word()),
            None => write!(f, "{}://{host}:{port}", engine.word()),
        }
    }
}

/// The role that logs in, with its password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// Name of the role.
    pub user: String,
    /// Its password.
    pub password: Secret,
}

/// The result of probing a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFacts {
    /// Major version (15, 16; 10, 11).
    pub version_major: u32,
    /// The server's own version text.
    pub version_text: String,
    /// The server's own databases that every role may still enter, because the administrator does not own them and so
    /// cannot close them (external servers). They contain nothing of a tenant.
    pub open_to_all: Vec<String>,
}

/// Source of the content of a new database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// No content.
    Empty,
    /// A copy of a sealed template database on the same server.
    Template {
        /// Name of the template database.
        name: String,
    },
}

/// A database to be created.
#[derive(Debug, Clone)]
pub struct NewDatabase {
    /// Its name: `[a-z][a-z0-9_]{0,62}`.
    pub name: String,
    /// Its owner in the record (`instance/<id>`, `template/<blueprint>/<hash>`).
    pub owner: String,
    /// Id of the tenant; empty for templates.
    pub tenant: String,
    /// Generation of the instance's data.
    pub generation: u32,
    /// Role that works in it. It is created with the database and dropped with it.
    pub role: String,
    /// Password of the role.
    pub password: Secret,
    /// Maximum number of connections of the role at the same time. None means not limited.
    pub connection_limit: Option<u32>,
    /// Source of its content.
    pub source: Source,
    /// Pinned hash of the release, for the record.
    pub release_hash: String,
    /// Extensions that the administrator creates (PostgreSQL only).
    pub extensions: Vec<String>,
    /// Encoding (PostgreSQL, default `UTF8`) or character set (MariaDB, default `utf8mb4`).
    pub charset: Option<String>,
}

/// A row of the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseRecord {
    /// Name of the database.
    pub name: String,
    /// Its owner.
    pub owner: String,
    /// Id of the tenant; empty for templates.
    pub tenant: String,
    /// Generation of the instance's data.
    pub generation: u32,
    /// Role that works in it.
    pub role: String,
    /// Its state.
    pub state: State,
    /// The template that it was copied from.
    pub template: Option<String>,
    /// Pinned hash of the release.
    pub release_hash: String,
    /// When the row was written (UTC, RFC 3339).
    pub created_at: String,
    /// When it last changed (UTC, RFC 3339).
    pub updated_at: String,
}

/// A page of the registry, ordered by name and limited in size.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// Only names with this prefix. An empty prefix means all names.
    pub prefix: String,
    /// Only names after this one: the last name of the previous page.
    pub after: Option<String>,
    /// Maximum number of rows. 0 and everything above 1000 mean 1000.
    pub limit: u32,
}

/// The result of a drop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dropped {
    /// The database existed and is dropped.
    Dropped,
    /// The database did not exist.
    Absent,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn a_server_is_shown_by_the_name_that_people_know_and_its_address() {
        let bare = Endpoint {
            name: None,
            engine: Engine::Postgresql,
            host: "10.96.207.83".into(),
            port: 5432,
            tls: Tls::Disable,
        };
        assert_eq!(bare.to_string(), "postgresql://10.96.207.83:5432");
        let named = Endpoint { name: Some("pg-shared-1".into()), ..bare };
        assert_eq!(named.to_string(), "\"pg-shared-1\" (postgresql, 10.96.207.83:5432)");
        let full = Error::DiskFull { server: named.to_string(), what: "sql create database".into() };
        let text = full.to_string();
        assert!(text.starts_with("the disk of database server \"pg-shared-1\" (postgresql, "), "{text}");
    }

    #[test]
    fn a_password_does_not_show_in_debug() {
        let login = Login { user: "u".into(), password: Secret::new("hunter2") };
        assert!(!format!("{login:?}").contains("hunter2"));
    }
}
