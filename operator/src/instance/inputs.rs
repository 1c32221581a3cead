//! What every step of an instance's road works from: complete from the first step that takes it, and never added to. No
//! I/O.

use jiff::Timestamp;
use serde_json::Value;
use tenantry_api::plan::Resources;
use tenantry_core::ledger::Limits;
use tenantry_plan::Settings;
use tenantry_plan::context::{self, DatabaseAccess, Keys};
use tenantry_plan::instance::Wanted;

/// A placed database.
#[derive(Debug, Clone)]
pub struct Placed {
    /// Name of the DatabaseServer.
    pub server: String,
    /// Access for the instance.
    pub access: DatabaseAccess,
    /// Whether the server does not know the password yet.
    pub untold: bool,
}

/// What an instance is made of.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// The instance, validated.
    pub wanted: &'a Wanted,
    /// Settings of the operator and the Site.
    pub settings: &'a Settings,
    /// Limits of the tenant.
    pub limits: &'a Limits,
    /// Resources of the plan. None means that the plan names no resources.
    pub resources: Option<&'a Resources>,
    /// Keys of the instance.
    pub keys: &'a Keys,
    /// Access to the instance's database. None means that the product has no database.
    pub database: Option<&'a DatabaseAccess>,
    /// When the reconcile began.
    pub now: Timestamp,
}

impl Inputs<'_> {
    /// The values of the blueprint's templates.
    #[must_use]
    pub fn values(&self) -> Value {
        context::instance(self.wanted, self.settings, self.limits, self.database, self.keys)
    }
}
