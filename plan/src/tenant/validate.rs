//! Turns a tenant as written into one that can be planned. No I/O.

use tenantry_api::plan::Plan;
use tenantry_api::tenant::Tenant;
use tenantry_core::id::Id;
use tenantry_core::ledger::Limits;
use tenantry_core::zone;

use crate::labels::Labels;
use crate::{PlanError, limits};

/// A tenant whose fields are checked and fit together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantWanted {
    /// Its id.
    pub id: Id,
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Resolved limits.
    pub limits: Limits,
    /// Whether a person suspended it.
    pub suspended: bool,
}

impl TenantWanted {
    /// Labels of all objects of this tenant.
    #[must_use]
    pub fn labels(&self) -> Labels {
        Labels::tenant(self.id.as_str(), &self.name)
    }
}

/// Validates a tenant against its plan.
///
/// # Errors
/// [`PlanError::Invalid`] naming the field and the remedy; [`PlanError::Blocked`] while the id or plan is missing.
pub fn validate(tenant: &Tenant, plan: Option<&Plan>) -> Result<TenantWanted, PlanError> {
    let spec = &tenant.spec;
    let id = spec.id.as_deref().ok_or_else(|| PlanError::Blocked("spec.id is not minted yet".into()))?;
    let id = Id::parse(id).map_err(|e| PlanError::invalid("spec.id", e.to_string()))?;
    let plan = plan.ok_or_else(|| {
        PlanError::Blocked(format!(
            "plan {:?} does not exist; choose one of `tenantry plan list` with `tenantry tenant set {} --plan NAME`",
            spec.plan,
            tenant.metadata.name.as_deref().unwrap_or_default()
        ))
    })?;
    if let Some(zone) = &spec.time_zone {
        zone::check(zone).map_err(|e| PlanError::invalid("spec.timeZone", e.to_string()))?;
    }
    let limits = limits::resolve(spec, &plan.spec)?;
    Ok(TenantWanted {
        namespace: tenantry_core::names::namespace(&id),
        id,
        name: tenant.metadata.name.clone().unwrap_or_default(),
        limits,
        suspended: spec.suspended,
    })
}
