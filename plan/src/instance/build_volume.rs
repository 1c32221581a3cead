//! Volume claims of an instance. No I/O.

use serde_json::json;
use tenantry_api::blueprint::Volume;
use tenantry_core::ledger::Limits;
use tenantry_core::names;

use super::Wanted;
use crate::child::{Child, Kind};
use crate::lost::Left;
use crate::{Claim, Settings};

/// Smallest volume, in bytes. Storage classes round up to about this size anyway.
const SMALLEST: u64 = 50_000_000;

/// Size of a volume according to the contract, in bytes.
#[must_use]
pub fn volume_bytes(limits: &Limits, volume: &Volume) -> u64 {
    (limits.storage_bytes / 100 * u64::from(volume.percent_of_storage)).max(SMALLEST)
}

/// The claim of one volume. Properties of an existing claim that cannot change are kept, whatever the Site says now.
#[must_use]
pub fn build_volume(
    wanted: &Wanted,
    settings: &Settings,
    limits: &Limits,
    volume: &Volume,
    live: Option<&Claim>,
) -> Child {
    let bytes = volume_bytes(limits, volume);
    let bytes = live.map_or(bytes, |claim| claim.size(bytes));
    let class = match live {
        Some(claim) if claim.class.is_some() || claim.volume.is_some() => claim.class.as_ref(),
        // The claim has no class and no volume yet, so it can still get a class.
        _ => settings.site.storage_class.as_ref(),
    };
    let mut spec = json!({
        "accessModes": ["ReadWriteOnce"],
        "resources": { "requests": { "storage": bytes.to_string() } },
    });
    if let Some(class) = class {
        spec["storageClassName"] = class.clone().into();
    }
    let name = names::volume(&wanted.id, &volume.name, wanted.generation);
    Child::new(
        Kind::PersistentVolumeClaim,
        Some(&wanted.namespace),
        &name,
        &wanted.data_labels().and(names::LABEL_PURPOSE, "data"),
        json!({ "spec": spec }),
    )
}

/// A claim that replaces a lost one and is bound to the volume that the lost claim had.
#[must_use]
pub fn build_volume_again(
    wanted: &Wanted,
    settings: &Settings,
    limits: &Limits,
    volume: &Volume,
    left: &Left,
) -> Child {
    let mut child = build_volume(wanted, settings, limits, volume, Some(&left.claim()));
    child.object["spec"]["volumeName"] = left.name.clone().into();
    // Without this field the API server would set the cluster's default class, which differs from the volume's class.
    child.object["spec"]["storageClassName"] = left.class.clone().unwrap_or_default().into();
    child
}
