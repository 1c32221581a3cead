//! Why a reconcile stops before its end: to wait, or because something failed. No I/O.

use std::time::Duration;

use tenantry_api::condition::ConditionType;
use tenantry_core::class::ErrorClass;

use crate::error::Error;

/// A stop, with the condition that reports it.
#[derive(Debug, Clone)]
pub struct Halt {
    /// Condition that is not true.
    pub condition: ConditionType,
    /// Its reason, one CamelCase word.
    pub reason: String,
    /// What happened, what is safe, what to do.
    pub message: String,
    /// Class of the error. None means a normal wait.
    pub class: Option<ErrorClass>,
    /// When to look again if nothing changes. None means the backoff of the class, or for a wait that a watch ends it.
    pub again: Option<Duration>,
    /// The object was changed in between. The next try usually succeeds, so the conflict is reported only if it stays.
    pub conflict: bool,
}

/// How many failures in a row there must be before a conflict is reported.
const CONFLICTS: u32 = 5;

impl Halt {
    /// A normal wait that a watch ends; `again` is the fallback in case the watch misses the change.
    #[must_use]
    pub fn wait(condition: ConditionType, reason: &str, message: impl Into<String>, again: Duration) -> Self {
        Self {
            condition,
            reason: reason.into(),
            message: message.into(),
            class: None,
            again: Some(again),
            conflict: false,
        }
    }

    /// A failure, with its class.
    #[must_use]
    pub fn fail(condition: ConditionType, reason: &str, message: impl Into<String>, class: ErrorClass) -> Self {
        Self {
            condition,
            reason: reason.into(),
            message: message.into(),
            class: Some(class),
            again: None,
            conflict: false,
        }
    }

    /// Whether the halt is reported to people, given the number of failures in a row before it.
    #[must_use]
    pub fn is_told(&self, failures: u32) -> bool {
        !self.conflict || failures >= CONFLICTS
    }

    /// Turns an error into a stop at a condition. A result does so with [`OrHalt::halt`].
    pub fn at(condition: ConditionType) -> impl Fn(Error) -> Self {
        move |e| {
            let class = e.class();
            let reason = match (&e, class) {
                (Error::Database(_), ErrorClass::Transient) => "DatabaseServerUnreachable",
                (Error::Database(_), _) => "DatabaseServerRefused",
                (Error::ServerEmpty(_), _) => "ServerEmpty",
                (Error::Plan(tenantry_plan::PlanError::Template { .. }), _) => "TemplateError",
                (_, ErrorClass::Transient) => "Retrying",
                (_, ErrorClass::Invalid) => "Invalid",
                (_, ErrorClass::Blocked) => "Blocked",
                (_, ErrorClass::Bug) => "InternalError",
            };
            let conflict = e.api_code() == Some(409);
            Self { condition, reason: reason.into(), message: e.to_string(), class: Some(class), again: None, conflict }
        }
    }
}

/// A result whose error stops a reconcile.
pub trait OrHalt<T> {
    /// Turns an error into a stop at a condition.
    ///
    /// # Errors
    /// [`Halt`] at the condition.
    fn halt(self, condition: ConditionType) -> Result<T, Halt>;
}

impl<T, E: Into<Error>> OrHalt<T> for Result<T, E> {
    fn halt(self, condition: ConditionType) -> Result<T, Halt> {
        self.map_err(|e| Halt::at(condition)(e.into()))
    }
}
