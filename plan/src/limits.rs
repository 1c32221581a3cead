//! Resolved limits of a tenant: the plan's limits, replaced where the contract says something else. No I/O.

use tenantry_api::plan::PlanSpec;
use tenantry_api::tenant::TenantSpec;
use tenantry_core::ledger::Limits;
use tenantry_core::quantity;

use crate::PlanError;

/// Resolves the limits of a tenant.
///
/// # Errors
/// [`PlanError::Invalid`] when a size cannot be read.
pub fn resolve(tenant: &TenantSpec, plan: &PlanSpec) -> Result<Limits, PlanError> {
    let size = |field: &str, text: &str| {
        quantity::bytes(text).map_err(|e| PlanError::invalid(field.to_owned(), e.to_string()))
    };
    let seats = if tenant.unlimited_seats {
        None
    } else if tenant.seats.is_some() {
        tenant.seats
    } else if plan.unlimited_seats {
        None
    } else {
        plan.seats
    };
    let storage_bytes = match &tenant.storage {
        Some(text) => size("spec.storage", text)?,
        None => size("plan.storage", &plan.storage)?,
    };
    let bandwidth_bytes =
        plan.bandwidth_per_month.as_deref().map(|text| size("plan.bandwidthPerMonth", text)).transpose()?;
    Ok(Limits { plan: tenant.plan.clone(), seats, storage_bytes, bandwidth_bytes, records: plan.records })
}
