//! Volume claims that are missing: finds the volumes that they had, and how to bind one of these again. No I/O.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use tenantry_core::quantity;

use crate::Claim;

/// A volume whose claim is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// Name of the volume.
    pub name: String,
    /// Its size, in bytes.
    pub bytes: u64,
    /// Its storage class.
    pub class: Option<String>,
    /// Its phase, as Kubernetes reports it.
    pub phase: String,
    /// Whether a person has released the volume for the claim, so that the next claim of that name gets it.
    pub reserved: bool,
}

impl Left {
    /// The claim to create for this volume, with the volume's size and class.
    #[must_use]
    pub fn claim(&self) -> Claim {
        Claim { bytes: self.bytes, class: self.class.clone(), volume: Some(self.name.clone()), grows: false }
    }
}

/// A claim that is gone, and the volumes that it had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// Name of the claim.
    pub claim: String,
    /// Volumes that name this claim. The list is empty if the volumes are gone as well.
    pub left: Vec<Left>,
}

impl Lost {
    /// The volume that a person has released for the claim. None means that no volume or more than one is released.
    #[must_use]
    pub fn reserved(&self) -> Option<&Left> {
        let mut all = self.left.iter().filter(|l| l.reserved);
        all.next().filter(|_| all.next().is_none())
    }
}

/// Whether an existing claim has lost its volume. No pod that mounts it can start then.
#[must_use]
pub fn has_no_volume(claim: &PersistentVolumeClaim) -> bool {
    claim.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Lost")
}

/// The volumes, out of `all`, that belonged to a claim.
#[must_use]
pub fn left_of(namespace: &str, claim: &str, all: &[PersistentVolume]) -> Vec<Left> {
    let mine = all.iter().filter_map(|volume| {
        let spec = volume.spec.as_ref()?;
        let of = spec.claim_ref.as_ref()?;
        if of.namespace.as_deref() != Some(namespace) || of.name.as_deref() != Some(claim) {
            return None;
        }
        let size = spec.capacity.as_ref().and_then(|c| c.get("storage"));
        Some(Left {
            name: volume.metadata.name.clone().unwrap_or_default(),
            bytes: size.and_then(|q| quantity::bytes(&q.0).ok()).unwrap_or(0),
            class: spec.storage_class_name.clone().filter(|class| !class.is_empty()),
            phase: volume.status.as_ref().and_then(|s| s.phase.clone()).unwrap_or_default(),
            reserved: of.uid.is_none(),
        })
    });
    mine.collect()
}

/// The message about claims that are gone: the volumes that fit, and the command that restores one.
#[must_use]
pub fn said(namespace: &str, lost: &[Lost]) -> String {
    let each: Vec<String> = lost.iter().map(|l| one(namespace, l)).collect();
    each.join("; ")
}

fn one(namespace: &str, lost: &Lost) -> String {
    let claim = format!("volume claim {namespace}/{}", lost.claim);
    let reserved = lost.left.iter().filter(|l| l.reserved).count();
    match lost.left.as_slice() {
        [] => format!(
            "{claim} is gone, and the cluster has no volume of it either: restore its content from a backup into a claim of this name"
        ),
        several if reserved > 1 => {
            format!("{claim} is gone, and more than one volume is set free for it: {}; keep one", named(several))
        }
        [only] => format!(
            "{claim} is gone; its volume {} is kept, and this gives it back: {}",
            described(only),
            command(&only.name)
        ),
        several => format!(
            "{claim} is gone; volumes that were its own are kept: {}. The one with the data is given back with {}",
            named(several),
            command("VOLUME")
        ),
    }
}

fn described(left: &Left) -> String {
    format!("{} ({}, {})", left.name, quantity::human(left.bytes), left.phase)
}

fn named(all: &[Left]) -> String {
    all.iter().map(described).collect::<Vec<_>>().join(", ")
}

/// The command that releases a volume for the claim that the volume names.
fn command(volume: &str) -> String {
    format!(
        r#"kubectl patch pv {volume} --type=merge -p '{{"spec":{{"claimRef":{{"uid":null,"resourceVersion":null}}}}}}'"#
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn volume(name: &str, namespace: &str, claim: &str, uid: Option<&str>, phase: &str) -> PersistentVolume {
        let mut of = json!({ "namespace": namespace, "name": claim });
        if let Some(uid) = uid {
            of["uid"] = uid.into();
        }
        let volume: Value = json!({
            "metadata": { "name": name },
            "spec": { "capacity": { "storage": "10G" }, "storageClassName": "fast", "claimRef": of },
            "status": { "phase": phase },
        });
        serde_json::from_value(volume).unwrap()
    }

    fn lost(all: &[PersistentVolume]) -> Lost {
        Lost { claim: "c-files-g1".into(), left: left_of("tenant-a", "c-files-g1", all) }
    }

    #[test]
    fn only_volumes_that_name_the_claim_and_its_namespace_fit() {
        let all = [
            volume("pv-1", "tenant-a", "c-files-g1", Some("u1"), "Released"),
            volume("pv-2", "tenant-b", "c-files-g1", Some("u2"), "Released"),
            volume("pv-3", "tenant-a", "d-files-g1", Some("u3"), "Released"),
            serde_json::from_value(json!({ "metadata": { "name": "pv-4" }, "spec": {} })).unwrap(),
        ];
        let lost = lost(&all);
        assert_eq!(lost.left.iter().map(|l| l.name.as_str()).collect::<Vec<_>>(), ["pv-1"]);
        assert_eq!(lost.reserved(), None);
        let said = said("tenant-a", &[lost]);
        assert!(said.contains("tenant-a/c-files-g1") && said.contains("pv-1 (10 GB, Released)"), "{said}");
        assert!(said.contains(r#"kubectl patch pv pv-1 --type=merge -p '{"spec":{"claimRef":{"uid":null,"#), "{said}");
    }

    #[test]
    fn a_volume_that_a_person_set_free_is_taken_unless_two_are() {
        let free = volume("pv-1", "tenant-a", "c-files-g1", None, "Available");
        let one = lost(std::slice::from_ref(&free));
        let claim = one.reserved().unwrap().claim();
        assert_eq!(
            (claim.volume.as_deref(), claim.class.as_deref(), claim.bytes),
            (Some("pv-1"), Some("fast"), 10_000_000_000)
        );
        let two = lost(&[free, volume("pv-2", "tenant-a", "c-files-g1", None, "Available")]);
        assert_eq!(two.reserved(), None);
        assert!(said("tenant-a", &[two]).contains("pv-1 (10 GB, Available), pv-2 (10 GB, Available); keep one"));
        assert!(said("tenant-a", &[lost(&[])]).contains("restore its content from a backup"));
    }

    #[test]
    fn a_claim_whose_volume_was_deleted_is_told_from_one_that_waits() {
        let claim = |phase: &str| serde_json::from_value(json!({ "status": { "phase": phase } })).unwrap();
        assert!(has_no_volume(&claim("Lost")));
        assert!(!has_no_volume(&claim("Pending")) && !has_no_volume(&claim("Bound")));
    }
}
