//! Integrations of a blueprint: what a customer brings, which settings say it, and how it is checked. No I/O.

use serde::{Deserialize, Serialize};

/// What kind of thing an integration leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum IntegrationKind {
    /// A mail server.
    Smtp,
    /// An SMS gateway with its brand name.
    Sms,
    /// A call centre or telephone system.
    CallCentre,
    /// Marketing automation, such as Mautic.
    Marketing,
    /// Anything else.
    Other,
}

impl IntegrationKind {
    /// For people.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Smtp => "mail server",
            Self::Sms => "SMS gateway",
            Self::CallCentre => "call centre",
            Self::Marketing => "marketing",
            Self::Other => "other",
        }
    }
}

/// Something that a customer brings, mapped by settings of the blueprint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Integration {
    /// Name.
    #[schemars(length(min = 1, max = 40), regex(pattern = "^[a-z][a-z0-9-]*$"))]
    pub name: String,
    /// What it leads to.
    pub kind: IntegrationKind,
    /// Name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100))]
    pub title: Option<String>,
    /// Settings that belong to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), inner(length(min = 1, max = 63)))]
    pub settings: Vec<String>,
    /// How the operator finds out whether it answers; it is not checked without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<IntegrationCheck>,
}

/// How it is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CheckType {
    /// A mail server: greeting, TLS and log-in; no mail is sent.
    Smtp,
    /// One GET; no redirect is followed.
    Http,
    /// A connection is made and closed.
    Tcp,
}

/// How the operator finds out whether it answers. Texts are templates; nothing is checked while the host or the URL
/// is empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IntegrationCheck {
    /// How it is spoken to.
    #[serde(rename = "type")]
    pub kind: CheckType,
    /// Host (smtp, tcp).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 500))]
    pub host: Option<String>,
    /// Port; of a mail server the usual one for its security when empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 500))]
    pub port: Option<String>,
    /// none, starttls or tls (smtp); none when empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 500))]
    pub security: Option<String>,
    /// Name to log in with (smtp). Sent under TLS to a server whose certificate is trusted, and never otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 500))]
    pub user: Option<String>,
    /// Password to log in with (smtp).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 500))]
    pub password: Option<String>,
    /// URL (http).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 500))]
    pub url: Option<String>,
    /// Longest time of the whole check, in seconds.
    #[serde(default = "timeout")]
    #[schemars(range(min = 1, max = 30))]
    pub timeout_seconds: u8,
}

fn timeout() -> u8 {
    10
}
