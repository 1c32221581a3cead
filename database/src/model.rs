//! The words of this crate: endpoints, log-ins, databases and their records. No I/O.

use std::fmt;
use std::str::FromStr;

use tenantry_core::secret::Secret;

use crate::error::Error;

pub use tenantry_core::engine::Engine;

/// How the connection is protected.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Tls {
    /// Plain text.
    Disable,
    /// Encrypted. With a CA (PEM) the server's certificate and name are checked as well.
    Require {
        /// The certificate authority, in PEM.
        ca: Option<String>,
    },
}

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// How people know the server; errors show it beside the address.
    pub name: Option<String>,
    /// Its kind.
    pub engine: Engine,
    /// Name or address.
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

/// Who logs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// Name of the role.
    pub user: String,
    /// Its password.
    pub password: Secret,
}

/// What a probe of a server finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFacts {
    /// Major version (15, 16; 10, 11).
    pub version_major: u32,
    /// The server's own version text.
    pub version_text: String,
    /// Most connections it takes.
    pub max_connections: u32,
    /// Connections open now.
    pub connections_used: u32,
    /// Databases of the server's own that every role may still enter, because the administrator does not
    /// own them and so cannot close them (external servers). They hold nothing of a tenant.
    pub open_to_all: Vec<String>,
}

/// Where the content of a new database comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Nothing in it.
    Empty,
    /// A copy of a sealed template database on the same server.
    Template {
        /// Name of the template database.
        name: String,
    },
}

/// A database to be made.
#[derive(Debug, Clone)]
pub struct NewDatabase {
    /// Its name: `[a-z][a-z0-9_]{0,62}`.
    pub name: String,
    /// Its owner for the record (`instance/<id>`, `template/<blueprint>/<hash>`).
    pub owner: String,
    /// Id of the tenant; empty for templates.
    pub tenant: String,
    /// Generation of the instance's data.
    pub generation: u32,
    /// Role that works in it; made here, dropped with it.
    pub role: String,
    /// Password of the role.
    pub password: Secret,
    /// Most connections of the role at a time; none: not limited.
    pub connection_limit: Option<u32>,
    /// Where its content comes from.
    pub source: Source,
    /// Pinned hash of the release, for the record.
    pub release_hash: String,
    /// Extensions made by the administrator (PostgreSQL only).
    pub extensions: Vec<String>,
    /// Encoding (PostgreSQL, default `UTF8`) or character set (MariaDB, default `utf8mb4`).
    pub charset: Option<String>,
}

/// How far a database is. Kept in the server's registry as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Written down, perhaps half made; nothing was ever served from it.
    Creating,
    /// Made, with the content of its source.
    Loaded,
    /// The blueprint's installation runs in it.
    Installing,
    /// Sealed: nobody connects, copies are made from it.
    Template,
    /// The blueprint's own steps for this instance are done.
    Personalised,
    /// Its owner is archived; the role is locked.
    Archived,
    /// Being dropped; perhaps half gone.
    Dropping,
}

impl State {
    /// All states.
    pub const ALL: [Self; 7] = [
        Self::Creating,
        Self::Loaded,
        Self::Installing,
        Self::Template,
        Self::Personalised,
        Self::Archived,
        Self::Dropping,
    ];

    /// The text form kept in the registry.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Loaded => "loaded",
            Self::Installing => "installing",
            Self::Template => "template",
            Self::Personalised => "personalised",
            Self::Archived => "archived",
            Self::Dropping => "dropping",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for State {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|s| s.as_str() == text)
            .ok_or_else(|| Error::Registry { why: format!("unknown state {text:?}") })
    }
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
    /// How far it is.
    pub state: State,
    /// The template it was copied from.
    pub template: Option<String>,
    /// Pinned hash of the release.
    pub release_hash: String,
    /// When the row was written (UTC, RFC 3339).
    pub created_at: String,
    /// When it last changed (UTC, RFC 3339).
    pub updated_at: String,
}

/// A bounded page of the registry, in the order of names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// Only names that begin so; empty: all.
    pub prefix: String,
    /// Only names after this one: the last of the page before.
    pub after: Option<String>,
    /// Most rows; 0 and everything above 1000 mean 1000.
    pub limit: u32,
}

/// What a drop found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dropped {
    /// It was there and is gone.
    Dropped,
    /// There was nothing.
    Absent,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_comes_back_from_its_text_and_unknown_text_is_an_error() {
        for state in State::ALL {
            assert_eq!(state.as_str().parse::<State>().unwrap(), state);
        }
        assert!("sleeping".parse::<State>().unwrap_err().to_string().contains("sleeping"));
    }

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
