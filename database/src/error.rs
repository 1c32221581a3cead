//! Everything that can go wrong, in one enum; each error has a class. Never holds statements or passwords. No I/O.

use tenantry_core::calls::Injected;
use tenantry_core::class::ErrorClass;
use tenantry_core::database_state::UnknownState;

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
        /// Name of its endpoint.
        server: String,
        /// The step.
        what: String,
        /// The reason.
        why: String,
    },
    /// The server did not answer in time.
    #[error("database server {server} did not answer within {seconds} s ({what})")]
    Timeout {
        /// Name of its endpoint.
        server: String,
        /// The step.
        what: String,
        /// The time limit that was exceeded.
        seconds: u64,
    },
    /// No TLS connection could be agreed on, or the certificate is not the expected one.
    #[error("no TLS connection to database server {server}: {why}; check `tls` and its CA")]
    Tls {
        /// Name of its endpoint.
        server: String,
        /// The reason.
        why: String,
    },
    /// The server refuses the log-in.
    #[error(
        "database server {server} refuses the log-in of role {role}: its Secret does not hold the server's password, or the role is locked"
    )]
    Authentication {
        /// Name of its endpoint.
        server: String,
        /// The role.
        role: String,
    },
    /// The server's disk is full.
    #[error(
        "the disk of database server {server} is full ({what}): free space or enlarge its volume; it is retried with growing pauses"
    )]
    DiskFull {
        /// Name of its endpoint.
        server: String,
        /// The step.
        what: String,
    },
    /// The administrator lacks a right.
    #[error("the administrator of database server {server} lacks a right ({what}): {message}")]
    Forbidden {
        /// Name of its endpoint.
        server: String,
        /// The step.
        what: String,
        /// The server's message.
        message: String,
    },
    /// Busy, out of connections, shutting down, deadlock: a later attempt can succeed.
    #[error("database server {server} is busy ({what}): {message}")]
    Busy {
        /// Name of its endpoint.
        server: String,
        /// The step.
        what: String,
        /// The server's message.
        message: String,
    },
    /// A database or role of that name exists, but no record says that it belongs to Tenantry.
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
        /// The owner that made the request.
        wanted: String,
    },
    /// No record of this database exists.
    #[error("database {name} is not in the registry of the server")]
    Absent {
        /// Its name.
        name: String,
    },
    /// The state of the database does not allow this operation.
    #[error("database {name} is {state}: {why}")]
    State {
        /// Its name.
        name: String,
        /// The recorded state.
        state: String,
        /// The state that is needed.
        why: String,
    },
    /// An argument has an invalid value.
    #[error("{what} is invalid: {why}")]
    Invalid {
        /// The argument.
        what: String,
        /// Why it is invalid.
        why: String,
    },
    /// The server is of a kind or version that is not supported.
    #[error("database server {server} cannot be used: {why}")]
    Unsupported {
        /// Name of its endpoint.
        server: String,
        /// Why it cannot be used.
        why: String,
    },
    /// A script of a blueprint was refused.
    #[error("statement {statement} of the script was refused ({code}): {message}")]
    Script {
        /// Number of the statement, counted from 1.
        statement: u64,
        /// The server's code.
        code: String,
        /// The server's message, without quoted fragments of the script.
        message: String,
    },
    /// The registry holds something that this version does not understand.
    #[error("the registry of the server is damaged or newer than this program: {why}")]
    Registry {
        /// What was found.
        why: String,
    },
    /// The server refused a statement of this program.
    #[error("database server {server} refused a statement ({what}, {code}): {message}")]
    Server {
        /// Name of its endpoint.
        server: String,
        /// The step.
        what: String,
        /// The server's code.
        code: String,
        /// The server's message.
        message: String,
    },
}

impl From<UnknownState> for Error {
    fn from(unknown: UnknownState) -> Self {
        Self::Registry { why: unknown.to_string() }
    }
}

impl Error {
    /// The class of the error, which decides what happens next.
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
