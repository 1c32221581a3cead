//! How users of a product are counted, and what stays writable in a read-only CRM. No I/O.

use serde::{Deserialize, Serialize};

/// How active users are counted and new ones refused. A guard may span tables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Seats {
    /// Counts active users: one row, one number.
    #[schemars(length(min = 1, max = 2000))]
    pub count_sql: String,
    /// Tables whose rows decide who is active.
    #[schemars(length(min = 1, max = 5))]
    pub tables: Vec<SeatTable>,
    /// Whether the application alters these tables while it runs, so that they cannot be locked.
    #[serde(default)]
    pub altered_at_run_time: bool,
    /// Whether the application shows a refusal to its user. vTiger shows nothing at all.
    #[serde(default = "yes")]
    pub shows_refusal: bool,
    /// The application's own limit, as an environment variable or setting to fill with the number of seats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 200))]
    pub own_limit: Option<String>,
}

/// A table that decides who is active.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SeatTable {
    /// Table.
    #[schemars(length(min = 1, max = 100))]
    pub table: String,
    /// Number or name of the user that a row is about, with `{row}` for the row, when several tables decide
    /// about the same users: rows of the same user are one seat, taken while the conditions of all tables hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200))]
    pub user: Option<String>,
    /// Condition on a row, with `{row}` for the row, under which it takes a seat.
    #[schemars(length(min = 1, max = 1000))]
    pub active_when: String,
}

/// Read-only for growth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReadOnlyMode {
    /// Tables that must stay writable, sessions for example.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(max = 100)))]
    pub writable_tables: Vec<String>,
    /// Whether DELETE is taken away too (a refused upload of vTiger leaves stray files).
    #[serde(default)]
    pub revoke_delete: bool,
}

fn yes() -> bool {
    true
}
