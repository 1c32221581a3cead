//! Why a reconcile stops before its end: to wait, or because something failed. No I/O.

use std::time::Duration;

use tenantry_api::condition::ConditionType;
use tenantry_core::class::ErrorClass;

use crate::error::Error;

/// A stop with the condition that says so.
#[derive(Debug, Clone)]
pub struct Halt {
    /// Condition that is not true.
    pub condition: ConditionType,
    /// Its reason, one CamelCase word.
    pub reason: String,
    /// What happened, what is safe, what to do.
    pub message: String,
    /// None: a normal wait. Else the class of the error.
    pub class: Option<ErrorClass>,
    /// When to look again if nothing changes; none: the class's backoff, or a watch for a wait.
    pub again: Option<Duration>,
    /// Something was changed in between. It is over at the next try, so nobody is told unless it stays.
    pub conflict: bool,
}

/// How often in a row something may be changed in between before it is told.
const CONFLICTS: u32 = 5;

impl Halt {
    /// A normal wait that a watch ends; `again` is the net below the watch.
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

    /// A failure of a class.
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

    /// Whether it is told to people, after so many failures in a row before it.
    #[must_use]
    pub fn is_told(&self, failures: u32) -> bool {
        !self.conflict || failures >= CONFLICTS
    }

    /// Turns an error into a stop at a condition.
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
