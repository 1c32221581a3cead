//! Settings that come from Secrets, and what is known of an instance's integrations. No I/O.

use serde::{Deserialize, Serialize};

/// Where the value of a setting lies: a key of a Secret in the instance's namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SettingSource {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub secret: String,
    /// Key in it; its value has 1,000 characters at most.
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[-._a-zA-Z0-9]+$"))]
    pub key: String,
    /// Any text. Another one has the Secret read anew at once; without, a changed Secret is noticed within minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 40))]
    pub revision: Option<String>,
}

/// What is known of an integration.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum IntegrationState {
    /// It answers as it should.
    Answers,
    /// No connection, or no answer in time.
    Unreachable,
    /// It answers, and not as it should.
    Refused,
    /// Nobody has asked; the message says why.
    #[default]
    NotChecked,
}

impl IntegrationState {
    /// The word in status and lists.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Answers => "answers",
            Self::Unreachable => "unreachable",
            Self::Refused => "refused",
            Self::NotChecked => "notChecked",
        }
    }
}

/// What the last check of an integration found. Written when it finds something else or was asked for, not at each
/// check.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IntegrationStatus {
    /// Name in the blueprint.
    pub name: String,
    /// What is known.
    #[serde(default)]
    pub state: IntegrationState,
    /// What was found, for people.
    #[serde(default)]
    pub message: String,
    /// Since when it is so, RFC 3339. It has been asked about once an hour since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// The last request (annotation `tenantry.dev/check-integrations`) that this answers: it was checked after that,
    /// or there was nothing to check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 40))]
    pub checked_for: Option<String>,
}
