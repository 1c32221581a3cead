//! What can go wrong in a reconcile; each error has a class. No I/O.

use tenantry_core::class::ErrorClass;
use tenantry_plan::PlanError;

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong in a reconcile.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The Kubernetes API refused or did not answer.
    #[error("Kubernetes ({what}): {}", words(.source))]
    Kube {
        /// What was tried.
        what: String,
        /// The reason.
        source: Box<kube::Error>,
    },
    /// A database server refused or did not answer.
    #[error(transparent)]
    Database(#[from] tenantry_database::Error),
    /// The desired state cannot be planned.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A value of ours cannot be written or read as JSON.
    #[error("internal: {0}")]
    Json(#[from] serde_json::Error),
    /// A database server has lost all its data.
    #[error("{0}")]
    ServerEmpty(String),
    /// Something else must happen first.
    #[error("{0}")]
    Blocked(String),
    /// Something that must never happen: a mistake in this program.
    #[error("internal: {0}")]
    Bug(String),
}

/// The API server's own message, without the form in which this program holds the error.
fn words(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if status.code == 409 && status.message.contains("is being deleted") => {
            "what has this name is still being deleted; it is tried again".into()
        }
        // The server's own message names a version, which is of no use to anybody.
        kube::Error::Api(status) if status.code == 409 => "it was changed in between; it is tried again".into(),
        kube::Error::Api(status) if status.message.is_empty() => format!("{} {}", status.code, status.reason),
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
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

    /// Whether the API server refused because a ResourceQuota is used up. Kubernetes reports that only in the text of
    /// the message.
    fn is_over_quota(&self) -> bool {
        match self {
            Self::Kube { source, .. } => {
                matches!(source.as_ref(), kube::Error::Api(status) if status.message.contains("exceeded quota"))
            }
            _ => false,
        }
    }

    /// The class of the error, which decides what happens next.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Kube { .. } => match self.api_code() {
                // The spec leads to an object that is not valid: waiting does not fix that, only a different spec does.
                Some(400 | 422) => ErrorClass::Invalid,
                // A tenant's quota is used up: trying again does not free any of it.
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

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn refused(code: u16, reason: &str, message: &str) -> Error {
        let status = Status::failure(message, reason).with_code(code);
        Error::kube("apply Deployment tenant-a/web")(kube::Error::Api(Box::new(status)))
    }

    #[test]
    fn what_a_child_is_refused_for_is_the_wish_of_a_person_and_told_in_the_servers_words() {
        let message =
            "Deployment.apps \"web\" is invalid: spec.template: Invalid value: \"2Gi\": must be less than 1Gi";
        for (code, reason) in [(422, "Invalid"), (400, "BadRequest")] {
            let error = refused(code, reason, message);
            assert_eq!(error.class(), ErrorClass::Invalid);
            assert_eq!(error.to_string(), format!("Kubernetes (apply Deployment tenant-a/web): {message}"));
        }
        assert_eq!(
            refused(503, "ServiceUnavailable", "").to_string(),
            "Kubernetes (apply Deployment tenant-a/web): 503 ServiceUnavailable"
        );
    }

    #[test]
    fn a_conflict_is_never_told_in_its_own_words() {
        let error = refused(409, "Conflict", "Operation cannot be fulfilled on tenants: the object has been modified");
        assert_eq!(error.class(), ErrorClass::Transient);
        assert!(error.to_string().ends_with("it was changed in between; it is tried again"), "{error}");
        let error = refused(409, "AlreadyExists", "object is being deleted: jobs.batch \"x\" already exists");
        assert!(error.to_string().contains("still being deleted"), "{error}");
    }
}
