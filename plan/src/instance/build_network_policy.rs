//! Network rule for the pods of an instance that is not production: they reach each other, and nobody outside. No I/O.

use serde_json::json;
use tenantry_api::crm_instance::Environment;
use tenantry_core::names::{self, LABEL_INSTANCE_ID};

use super::Wanted;
use crate::child::{Child, Kind};

/// The rule of a staging or rehearsal instance. Production needs no rule of its own: the tenant's rule for production
/// also leads outside.
///
/// Rules add up, so a rule here cannot take anything away. The tenant's rule for all pods leads only to DNS and
/// databases. Production pods stay out of reach, because they would pass mail on.
#[must_use]
pub(super) fn build_network_policy(wanted: &Wanted) -> Option<Child> {
    if wanted.environment == Environment::Production {
        return None;
    }
    // Kubernetes deletes the rule together with the instance, because the operator may not delete network rules.
    let owner = wanted.uid.iter().map(
        |uid| json!({ "apiVersion": "tenantry.dev/v1alpha1", "kind": "CrmInstance", "name": wanted.name, "uid": uid }),
    );
    let own = json!({ "matchLabels": { LABEL_INSTANCE_ID: wanted.id.as_str() } });
    let rest = json!({ "metadata": { "ownerReferences": owner.collect::<Vec<_>>() }, "spec": {
        "podSelector": own,
        "policyTypes": ["Egress"],
        "egress": [{ "to": [{ "podSelector": own }] }],
    }});
    let name = names::service(&wanted.id);
    Some(Child::new(Kind::NetworkPolicy, Some(&wanted.namespace), &name, &wanted.labels(), rest))
}
