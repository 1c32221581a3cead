//! Whom the pods of an instance that is not production may talk to: each other, and nobody outside. No I/O.

use serde_json::json;
use tenantry_api::crm_instance::Environment;
use tenantry_core::names::{self, LABEL_INSTANCE_ID};

use super::Wanted;
use crate::child::{Child, Kind};

/// The rule of a staging or rehearsal instance; production has the tenant's own, which also leads outside.
///
/// Rules add up, so nothing can be taken away here: the tenant's rule for all pods leads to names and databases
/// only. A pod of production is out of reach, which would send mail on.
#[must_use]
pub(super) fn build_network_policy(wanted: &Wanted) -> Option<Child> {
    if wanted.environment == Environment::Production {
        return None;
    }
    // It goes with the object, by Kubernetes' own hand: the operator may not delete rules for the network.
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
