//! How much is known of the id of an instance. No I/O.

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use tenantry_api::crm_instance::CrmInstance;
use tenantry_core::names::ANNOTATION_MINTED;

/// Largest difference in age at which an id and its object count as minted together: the clocks of two machines differ,
/// and a command may wait.
const YOUNG: SignedDuration = SignedDuration::from_mins(10);

/// How much is known of an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// The id was minted together with its object: there is no data from an earlier life.
    Young,
    /// It is recorded that this cluster knows the object.
    Known,
    /// A person gave the id.
    Given,
}

impl Trust {
    /// How much is known of the id of an object that carries one. `noted` means that the object has its note of the
    /// ledger.
    #[must_use]
    pub fn of(instance: &CrmInstance, noted: bool) -> Self {
        if instance.spec.adopt.is_some() {
            return Self::Known;
        }
        let minted = instance.annotations().get(ANNOTATION_MINTED).and_then(|at| at.parse::<Timestamp>().ok());
        let made = instance.creation_timestamp().map(|t| t.0);
        match (minted, made) {
            (Some(minted), Some(made)) if made.duration_since(minted).abs() <= YOUNG => Self::Young,
            _ if noted => Self::Known,
            _ => Self::Given,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(minted: Option<&str>, adopt: Option<&str>) -> CrmInstance {
        let mut all = json!({"apiVersion": "tenantry.dev/v1alpha1", "kind": "CrmInstance",
            "metadata": {"name": "crm", "creationTimestamp": "2026-11-29T10:00:00Z", "annotations": {}},
            "spec": {"tenant": "acme", "blueprint": "b", "host": "crm.acme.vn", "id": "kabcdefghi"}});
        if let Some(minted) = minted {
            all["metadata"]["annotations"][ANNOTATION_MINTED] = minted.into();
        }
        if let Some(adopt) = adopt {
            all["spec"]["adopt"] = adopt.into();
        }
        serde_json::from_value(all).unwrap()
    }

    #[test]
    fn only_an_id_as_old_as_its_object_is_known_to_have_no_data() {
        assert_eq!(Trust::of(&object(Some("2026-11-29T09:59:58Z"), None), false), Trust::Young);
        // The same object out of Git, in a cluster that was built again.
        assert_eq!(Trust::of(&object(Some("2026-11-28T09:59:58Z"), None), false), Trust::Given);
        assert_eq!(Trust::of(&object(Some("2027-11-29T09:59:58Z"), None), false), Trust::Given);
        assert_eq!(Trust::of(&object(Some("yesterday"), None), false), Trust::Given);
        assert_eq!(Trust::of(&object(None, None), false), Trust::Given);
        assert_eq!(Trust::of(&object(None, None), true), Trust::Known);
        assert_eq!(Trust::of(&object(None, Some("kabcdefghi-1")), false), Trust::Known);
    }
}
