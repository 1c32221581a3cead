//! What can go wrong in a reconcile; each error has a class. No I/O.

use tenantry_core::class::ErrorClass;
use tenantry_plan::PlanError;

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong in a reconcile.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The Kubernetes API refused or did not answer.
    #[error("Kubernetes ({what}): {source}")]
    Kube {
        /// What was tried.
        what: String,
        /// The reason.
        source: Box<kube::Error>,
    },
    /// A database server refused or did not answer.
    #[error(transparent)]
    Database(#[from] tenantry_database::Error),
    /// It cannot be planned.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A value of ours cannot be written or read as JSON.
    #[error("internal: {0}")]
    Json(#[from] serde_json::Error),
    /// A database server has lost all that was on it.
    #[error("{0}")]
    ServerEmpty(String),
    /// Another thing must happen first.
    #[error("{0}")]
    Blocked(String),
    /// A text that must not be: a mistake of ours.
    #[error("internal: {0}")]
    Bug(String),
}

impl Error {
    /// Wraps an error of the Kubernetes client with what was tried.
    pub fn kube(what: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let what = what.into();
        move |source| Self::Kube { what, source: Box::new(source) }
    }

    /// The HTTP status of a refusal by the API server.
    #[must_use]
    pub fn api_code(&self) -> Option<u16> {
        match self {
            Self::Kube { source, .. } => match source.as_ref() {
                kube::Error::Api(status) => Some(status.code),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether the API server refused because a ResourceQuota is used up. Kubernetes tells that in words only.
    fn is_over_quota(&self) -> bool {
        match self {
            Self::Kube { source, .. } => {
                matches!(source.as_ref(), kube::Error::Api(status) if status.message.contains("exceeded quota"))
            }
            _ => false,
        }
    }

    /// What the error means for what happens next.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Kube { .. } => match self.api_code() {
                // Our own object was refused as malformed: waiting does not mend it, a new version may.
                Some(400 | 422) => ErrorClass::Bug,
                // A tenant's room is used up: trying again makes none.
                Some(403) if self.is_over_quota() => ErrorClass::Blocked,
                _ => ErrorClass::Transient,
            },
            Self::Database(e) => e.class(),
            Self::Plan(e) => e.class(),
            Self::Blocked(_) | Self::ServerEmpty(_) => ErrorClass::Blocked,
            Self::Json(_) | Self::Bug(_) => ErrorClass::Bug,
        }
    }
}
