//! Volume claims of an instance. No I/O.

use serde_json::json;
use tenantry_api::blueprint::Volume;
use tenantry_core::ledger::Limits;
use tenantry_core::names;

use super::Wanted;
use crate::Settings;
use crate::child::{Child, Kind};

/// Smallest volume, in bytes: storage classes round up to about this anyway.
const SMALLEST: u64 = 50_000_000;

/// One claim. `is` is the size it has already: volumes only grow, and not while `unbound`.
#[must_use]
pub(super) fn build_volume(
    wanted: &Wanted,
    settings: &Settings,
    limits: &Limits,
    volume: &Volume,
    is: u64,
    unbound: bool,
) -> Child {
    let share = limits.storage_bytes / 100 * u64::from(volume.percent_of_storage);
    let bytes = if unbound && is > 0 { is } else { share.max(SMALLEST).max(is) };
    let mut spec = json!({
        "accessModes": ["ReadWriteOnce"],
        "resources": { "requests": { "storage": bytes.to_string() } },
    });
    if let Some(class) = &settings.site.storage_class {
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
