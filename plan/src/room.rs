//! Whether a tenant's quota has room for the volumes of a new instance. No I/O.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceQuota;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use tenantry_api::archive::{Archive, ArchivePhase};
use tenantry_core::quantity;

use crate::orphans::{LISTED, phase};

/// Room for volumes that a quota lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shortage {
    /// The requested amount, in words.
    pub wanted: String,
    /// The amount that is left, in words.
    pub has: String,
}

/// Whether claims of these sizes, in bytes, fit into the rest of a quota. A quota whose use was not counted yet refuses
/// nothing.
///
/// # Errors
/// [`Shortage`] with the requested amount and what is left.
pub fn fits(quota: &ResourceQuota, wanted: &[u64]) -> Result<(), Shortage> {
    let Some(status) = &quota.status else { return Ok(()) };
    let left = |key: &str| -> Option<(u64, u64)> {
        let of = |all: &Option<BTreeMap<String, Quantity>>| quantity::bytes(&all.as_ref()?.get(key)?.0).ok();
        let hard = of(&status.hard)?;
        Some((hard.saturating_sub(of(&status.used)?), hard))
    };
    let bytes = wanted.iter().fold(0_u64, |sum, one| sum.saturating_add(*one));
    if let Some((left, hard)) = left("requests.storage").filter(|(left, _)| *left < bytes) {
        let has = format!("{} of {} are left", quantity::human(left), quantity::human(hard));
        return Err(Shortage { wanted: format!("{} of volumes", quantity::human(bytes)), has });
    }
    let number = u64::try_from(wanted.len()).unwrap_or(u64::MAX);
    if let Some((left, hard)) = left("persistentvolumeclaims").filter(|(left, _)| *left < number) {
        return Err(Shortage { wanted: format!("{number} volumes"), has: format!("{left} of {hard} are left") });
    }
    Ok(())
}

/// The message about a shortage: which archives hold volumes, the oldest first, and how to make room.
#[must_use]
pub fn refusal(shortage: &Shortage, tenant: &str, archives: &[Archive]) -> String {
    let mut hold: Vec<&Archive> =
        archives.iter().filter(|a| phase(a) == ArchivePhase::Archived && !a.spec.volumes.is_empty()).collect();
    hold.sort_by(|a, b| a.spec.archived_at.cmp(&b.spec.archived_at));
    let Shortage { wanted, has } = shortage;
    let head =
        format!("it needs {wanted}, and {has} to the tenant (its quota is four times its storage); nothing was made");
    let raise = format!("`tenantry tenant set {tenant} --storage SIZE` makes room");
    let Some(first) = hold.first().and_then(|a| a.metadata.name.as_deref()) else {
        return format!("{head}. {raise}");
    };
    let name = |a: &&Archive| {
        let (day, _) = a.spec.archived_at.split_once('T').unwrap_or((a.spec.archived_at.as_str(), ""));
        format!("{} ({}, archived {day})", a.metadata.name.as_deref().unwrap_or_default(), a.spec.name)
    };
    let names: Vec<String> = hold.iter().take(LISTED).map(name).collect();
    format!(
        "{head}. These archives hold volumes: {}. `tenantry archive show {first}` says how one is destroyed that nobody wants back, or {raise}",
        names.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tenantry_api::archive::ArchiveStatus;

    use super::*;

    fn quota(storage: (&str, &str), claims: (&str, &str)) -> ResourceQuota {
        serde_json::from_value(json!({ "status": {
            "hard": { "requests.storage": storage.0, "persistentvolumeclaims": claims.0 },
            "used": { "requests.storage": storage.1, "persistentvolumeclaims": claims.1 } } }))
        .unwrap()
    }

    #[test]
    fn volumes_fit_into_what_is_left_of_bytes_and_of_claims() {
        let free = quota(("40G", "30G"), ("40", "3"));
        assert_eq!(fits(&free, &[10_000_000_000]), Ok(()));
        let short = fits(&free, &[5_000_000_000, 5_000_000_001]).unwrap_err();
        assert!(short.has.contains("10 GB of 40 GB"), "{short:?}");
        let short = fits(&quota(("40G", "0"), ("40", "39")), &[1, 1]).unwrap_err();
        assert_eq!((short.wanted.as_str(), short.has.as_str()), ("2 volumes", "1 of 40 are left"));
        assert_eq!(fits(&ResourceQuota::default(), &[u64::MAX, u64::MAX]), Ok(()), "not counted yet");
    }

    #[test]
    fn a_shortage_names_the_archives_that_hold_volumes_oldest_first() {
        let archive = |name: &str, at: &str, phase, volumes: &[&str]| {
            let spec = json!({ "kind": "CrmInstance", "id": "kkkkkkkkkk", "name": "copy", "life": 1,
                "tenantId": "tttttttttt", "tenantName": "acme", "namespace": "tenant-tttttttttt", "volumes": volumes,
                "object": "{}", "ledger": "{}", "archivedAt": at, "retainUntil": "" });
            let mut made = Archive::new(name, serde_json::from_value(spec).unwrap());
            made.status = Some(ArchiveStatus { phase, ..ArchiveStatus::default() });
            made
        };
        let all = [
            archive("b-1", "2026-02-01T00:00:00Z", ArchivePhase::Archived, &["v"]),
            archive("a-1", "2026-01-01T00:00:00Z", ArchivePhase::Archived, &["v"]),
            archive("c-1", "2026-01-01T00:00:00Z", ArchivePhase::Purged, &["v"]),
            archive("d-1", "2026-01-01T00:00:00Z", ArchivePhase::Archived, &[]),
        ];
        let short = Shortage { wanted: "10 GB of volumes".into(), has: "0 of 40 GB are left".into() };
        let text = refusal(&short, "acme", &all);
        assert!(text.contains("a-1 (copy, archived 2026-01-01), b-1 (copy"), "{text}");
        assert!(text.contains("tenantry archive show a-1") && !text.contains("c-1") && !text.contains("d-1"), "{text}");
        assert!(!refusal(&short, "acme", &[]).contains("archive"), "there is none");
    }
}
