//! Declarative verification over HTTP: a blueprint's steps, their static check, and the machine that runs them. No I/O.
//!
//! The caller has the network and drives [`Program`], which says what to ask and judges the answers. Redirects are
//! never followed: a step sends a request and checks `status` and the header `location`, and form log-ins are judged in
//! the same way. Cookies are kept between steps, even `Secure` ones, because the requests stand in for the ingress.

mod check;
mod jar;
mod program;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::check::{Problem, check};
pub use self::program::{Failure, Program, Request, Response};

/// Maximum size of an answer's body in bytes. A larger body fails its step.
pub const BODY_MAX: usize = 1024 * 1024;
/// Maximum number of steps of one verification.
pub const STEPS_MAX: usize = 50;

/// Verification of a running instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Verify {
    /// Seconds for all steps together; an instance that does not pass in that time is not Ready.
    #[serde(default = "default_timeout")]
    #[schemars(range(min = 1, max = 3_600))]
    pub timeout_seconds: u32,
    /// Requests in order. Each may use what earlier ones captured, as `captures.NAME`.
    #[schemars(length(min = 1, max = 50))]
    pub steps: Vec<VerifyStep>,
}

fn default_timeout() -> u32 {
    120
}

/// One request with its assertions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VerifyStep {
    /// Name, shown in progress and errors.
    #[schemars(length(max = 100))]
    pub name: String,
    /// Name of the process whose port is asked; the one that serves when not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20))]
    pub process: Option<String>,
    /// HTTP method.
    #[serde(default = "default_method")]
    #[schemars(length(max = 20))]
    pub method: String,
    /// Path and query, a template.
    #[schemars(length(max = 2_000))]
    pub path: String,
    /// Headers; values are templates.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(transform = crate::bounds::map(30, 100, Some(4_000)))]
    pub headers: BTreeMap<String, String>,
    /// Body, a template. Values belong into the filter `tojson` or `urlencode`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100_000))]
    pub body: Option<String>,
    /// Status codes that pass; 200 when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), inner(range(min = 100, max = 599)))]
    pub status: Vec<u16>,
    /// Assertions on the answer; all must hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub expect: Vec<Expectation>,
    /// Values taken from the answer for later steps.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(transform = crate::bounds::map(30, crate::bounds::NAME, None))]
    pub capture: BTreeMap<String, Source>,
}

fn default_method() -> String {
    "GET".into()
}

/// Where a value is found in an answer. Exactly one field is set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Source {
    /// JSON pointer (RFC 6901) into a JSON body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 500))]
    pub json: Option<String>,
    /// A header's value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100))]
    pub header: Option<String>,
    /// A cookie set by the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100))]
    pub cookie: Option<String>,
    /// A regular expression on the body; its first group, or the whole match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1_000))]
    pub regex: Option<String>,
}

/// An assertion. One of `json`, `header`, `cookie` and `regex` says where to look (the whole body when none
/// is set), exactly one of the others what must hold; a JSON value that is null or missing does not `exist`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Expectation {
    /// JSON pointer into a JSON body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 500))]
    pub json: Option<String>,
    /// A header's value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100))]
    pub header: Option<String>,
    /// A cookie set by this answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100))]
    pub cookie: Option<String>,
    /// A regular expression on the body; its first group, or the whole match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1_000))]
    pub regex: Option<String>,
    /// Whether the value must exist (true) or must not (false).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exists: Option<bool>,
    /// The value as text, a template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 10_000))]
    pub equals: Option<String>,
    /// A text that the value must contain, a template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 10_000))]
    pub contains: Option<String>,
    /// A text that the value must not contain, a template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 10_000))]
    pub not_contains: Option<String>,
    /// A regular expression that the value must match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1_000))]
    pub matches: Option<String>,
}
