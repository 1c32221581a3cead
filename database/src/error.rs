//! What can go wrong, in one enum; each error has a class. Never holds statements or passwords. No I/O.

use tenantry_core::calls::Injected;
use tenantry_core::class::ErrorClass;

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a database could not be administered. `what` is the label of the statement, never its text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A test made this call fail.
    #[error(transparent)]
    Fault(#[from] Injected),
    /// The server cannot be reached, or the connection broke.
    #[error("database server {server} cannot be reached ({what}): {why}")]
    Unreachable {
        /// Its endpoint, by name.
        server: String,
        /// The step.
        what: String,
        /// The reason.
        why: String,
    },
    /// The server did not answer in time.
    #[error("database server {server} did not answer within {seconds} s ({what})")]
    Timeout {
        /// Its endpoint, by name.
        server: String,
        /// The step.
        what: String,
        /// The limit that passed.
        seconds: u64,
    },
    /// TLS could not be agreed on, or the certificate is not the expected one.
    #[error("no TLS connection to database server {server}: {why}; check `tls` and its CA")]
    Tls {
        /// Its endpoint, by name.
        server: String,
        /// The reason.
        why: String,
    },
    /// The server refuses the log-in.
    #[error(
        "database server {server} refuses the log-in of role {role}: its Secret does not hold the server's password, or the role is locked"
    )]
    Authentication {
        /// Its endpoint, by name.
        server: String,
        /// The role.
        role: String,
    },
    /// The server's disk is full.
    #[error(
        "the disk of database server {server} is full ({what}): free space or enlarge its volume; it is retried with growing pauses"
    )]
    DiskFull {
        /// Its endpoint, by name.
        server: String,
        /// The step.
        what: String,
    },
    /// The administrator lacks a right.
    #[error("the administrator of database server {server} lacks a right ({what}): {message}")]
    Forbidden {
        /// Its endpoint, by name.
        server: String,
        /// The step.
        what: String,
        /// The server's words.
        message: String,
    },
    /// Busy, out of connections, shutting down, deadlock: later it works.
    #[error("database server {server} is busy ({what}): {message}")]
    Busy {
        /// Its endpoint, by name.
        server: String,
        /// The step.
        what: String,
        /// The server's words.
        message: String,
    },
    /// A database or role of that name exists, but no record says that it is ours.
    #[error("{kind} {name} exists on the server but is not in its registry {registry}: it was left alone; rename or remove it, or adopt it", registry = crate::REGISTRY)]
    Unknown {
        /// `database` or `role`.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// The record names another owner.
    #[error("database {name} belongs to {owner}, not to {wanted}: it was left alone")]
    Foreign {
        /// Name of the database (or role).
        name: String,
        /// The recorded owner.
        owner: String,
        /// The owner that asked.
        wanted: String,
    },
    /// There is no such record.
    #[error("database {name} is not in the registry of the server")]
    Absent {
        /// Its name.
        name: String,
    },
    /// The database is in a state in which this cannot be done.
    #[error("database {name} is {state}: {why}")]
    State {
        /// Its name.
        name: String,
        /// The recorded state.
        state: String,
        /// What is needed.
        why: String,
    },
    /// An argument cannot be.
    #[error("{what} is invalid: {why}")]
    Invalid {
        /// The argument.
        what: String,
        /// Why not.
        why: String,
    },
    /// The server is of a kind or version that is not served.
    #[error("database server {server} cannot be used: {why}")]
    Unsupported {
        /// Its endpoint, by name.
        server: String,
        /// Why not.
        why: String,
    },
    /// A script of a blueprint was refused.
    #[error("statement {statement} of the script was refused ({code}): {message}")]
    Script {
        /// Which statement, counted from 1.
        statement: u64,
        /// The server's code.
        code: String,
        /// The server's words, without quoted fragments of the script.
        message: String,
    },
    /// The registry holds something that this version does not understand.
    #[error("the registry of the server is damaged or newer than this program: {why}")]
    Registry {
        /// What was found.
        why: String,
    },
    /// The server refused a statement of ours.
    #[error("database server {server} refused a statement ({what}, {code}): {message}")]
    Server {
        /// Its endpoint, by name.
        server: String,
        /// The step.
        what: String,
        /// The server's code.
        code: String,
        /// The server's words.
        message: String,
    },
}

impl Error {
    /// What it means for what happens next.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Fault(_) | Self::Unreachable { .. } | Self::Timeout { .. } | Self::Busy { .. } => {
                ErrorClass::Transient
            }
            Self::Tls { .. }
            | Self::Authentication { .. }
            | Self::DiskFull { .. }
            | Self::Forbidden { .. }
            | Self::Unknown { .. }
            | Self::Foreign { .. }
            | Self::Absent { .. }
            | Self::State { .. } => ErrorClass::Blocked,
            Self::Invalid { .. } | Self::Unsupported { .. } | Self::Script { .. } => ErrorClass::Invalid,
            Self::Registry { .. } | Self::Server { .. } => ErrorClass::Bug,
        }
    }

    pub(crate) fn invalid(what: &str, why: impl Into<String>) -> Self {
        Self::Invalid { what: what.into(), why: why.into() }
    }
}
