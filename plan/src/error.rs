//! Why something cannot be planned. No I/O.

use tenantry_core::class::ErrorClass;
use tenantry_core::template::TemplateError;

/// Why something cannot be planned. Each text names the field and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A field has a value that is not possible.
    #[error("{field}: {problem}")]
    Invalid {
        /// Field, as written in YAML.
        field: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// A template of the blueprint cannot be rendered.
    #[error("blueprint {blueprint}: {source}")]
    Template {
        /// Name of the blueprint.
        blueprint: String,
        /// Where and why.
        source: Box<TemplateError>,
    },
    /// Something else must exist first.
    #[error("{0}")]
    Blocked(String),
    /// One of our own values cannot be written as JSON.
    #[error("internal: {0}")]
    Json(#[from] serde_json::Error),
}

impl PlanError {
    /// An error about a field and its problem.
    pub fn invalid(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Invalid { field: field.into(), problem: problem.into() }
    }

    /// What the error means for what happens next.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Invalid { .. } | Self::Template { .. } => ErrorClass::Invalid,
            Self::Blocked(_) => ErrorClass::Blocked,
            Self::Json(_) => ErrorClass::Bug,
        }
    }
}
