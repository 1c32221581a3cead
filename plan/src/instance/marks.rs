//! Names and labels of an instance's objects, which do not depend on its release. No I/O.

use tenantry_api::crm_instance::{CrmInstance, Environment};
use tenantry_api::tenant::Tenant;
use tenantry_core::id::Id;
use tenantry_core::names;

use crate::labels::Labels;

/// Id, namespace and labels of the objects that are made for an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marks {
    /// Its id.
    pub id: Id,
    /// Its namespace.
    pub namespace: String,
    /// Labels of all its objects.
    pub labels: Labels,
}

impl Marks {
    /// The marks of an instance as written. None means that the instance has no id yet or is not in the namespace of
    /// its tenant, so that no object was ever made for it.
    #[must_use]
    pub fn of(instance: &CrmInstance, tenant: &Tenant) -> Option<Self> {
        let id = Id::parse(instance.spec.id.as_deref()?).ok()?;
        let tenant_id = Id::parse(tenant.spec.id.as_deref()?).ok()?;
        let namespace = instance.metadata.namespace.clone().filter(|ns| *ns == names::namespace(&tenant_id))?;
        let (tenant, name) = (tenant.metadata.name.as_deref()?, instance.metadata.name.as_deref()?);
        let labels = labels(&tenant_id, tenant, &id, name, instance.spec.environment);
        Some(Self { id, namespace, labels })
    }
}

/// Labels of all objects of an instance.
pub(super) fn labels(tenant_id: &Id, tenant: &str, id: &Id, name: &str, environment: Environment) -> Labels {
    use tenantry_core::names::{LABEL_ENVIRONMENT, LABEL_INSTANCE, LABEL_INSTANCE_ID};
    Labels::tenant(tenant_id.as_str(), tenant)
        .and(LABEL_INSTANCE_ID, id.as_str())
        .and(LABEL_INSTANCE, name)
        // Pods need this label, because network rules select by it.
        .and(LABEL_ENVIRONMENT, environment.word())
}
