//! How an instance is addressed. No I/O.

use kube::ResourceExt;
use tenantry_api::crm_instance::CrmInstance;

/// How an instance is addressed.
pub fn address_of(instance: &CrmInstance) -> String {
    format!("{}/{}", instance.spec.tenant, instance.name_any())
}
