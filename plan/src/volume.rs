//! Volume claims that exist, and what can still change about them. No I/O.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use tenantry_core::quantity;

/// A volume claim that exists. Its class never changes. Its size can grow once the claim has a volume, if the class
/// allows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claim {
    /// Size that the claim requests, in bytes.
    pub bytes: u64,
    /// Its storage class.
    pub class: Option<String>,
    /// The volume that is bound to the claim. None means that the claim waits for one.
    pub volume: Option<String>,
    /// Whether the storage class allows volumes to grow. This is looked up only when the claim should grow.
    pub grows: bool,
}

impl Claim {
    /// The claim as it was read. The caller finds out whether it can grow.
    #[must_use]
    pub fn of(claim: &PersistentVolumeClaim) -> Self {
        let spec = claim.spec.as_ref();
        let requests = spec.and_then(|s| s.resources.as_ref()).and_then(|r| r.requests.as_ref());
        let bytes = requests.and_then(|r| r.get("storage")).and_then(|q| quantity::bytes(&q.0).ok());
        let bound = claim.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Bound");
        Self {
            bytes: bytes.unwrap_or(0),
            class: spec.and_then(|s| s.storage_class_name.clone()),
            volume: spec.and_then(|s| s.volume_name.clone()).filter(|_| bound),
            grows: false,
        }
    }

    /// Whether the claim has a volume that is smaller than wanted.
    #[must_use]
    pub fn is_short_of(&self, wanted: u64) -> bool {
        self.volume.is_some() && self.bytes < wanted
    }

    /// The size to request, in bytes.
    #[must_use]
    pub fn size(&self, wanted: u64) -> u64 {
        let grows = self.is_short_of(wanted) && self.grows;
        if grows || self.bytes == 0 { wanted } else { self.bytes }
    }

    /// The reason why the volume stays smaller than wanted. None means that it does not.
    #[must_use]
    pub fn stays(&self, wanted: u64) -> Option<String> {
        (self.is_short_of(wanted) && !self.grows).then(|| {
            let class = self.class.as_deref().unwrap_or_default();
            format!(
                "stays at {} instead of {}: storage class {class:?} does not let volumes grow",
                quantity::human(self.bytes),
                quantity::human(wanted)
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(phase: &str) -> Claim {
        let claim = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "files"},
            "spec": {"storageClassName": "fast", "volumeName": "pv-1", "resources": {"requests": {"storage": "1G"}}},
            "status": {"phase": phase},
        }));
        Claim::of(&claim.unwrap())
    }

    #[test]
    fn a_claim_grows_only_with_a_volume_and_a_class_that_lets_it() {
        let bound = claim("Bound");
        assert_eq!(bound.volume.as_deref(), Some("pv-1"));
        assert_eq!(bound.size(2_000_000_000), 1_000_000_000);
        assert!(bound.stays(2_000_000_000).unwrap().contains("\"fast\""));
        let growing = Claim { grows: true, ..bound };
        assert_eq!(growing.size(2_000_000_000), 2_000_000_000);
        assert_eq!(growing.stays(2_000_000_000), None);
        assert_eq!(growing.size(500_000_000), 1_000_000_000, "volumes do not shrink");
        let waiting = Claim { grows: true, ..claim("Pending") };
        assert_eq!(waiting.size(2_000_000_000), 1_000_000_000, "it cannot be changed before it has a volume");
        assert_eq!(waiting.stays(2_000_000_000), None);
    }
}
