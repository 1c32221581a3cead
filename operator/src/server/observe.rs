//! What exists of a managed server before it is planned: its StatefulSet and its volume. Does I/O (Kubernetes).

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt;
use kube::api::Api;
use tenantry_api::condition::{ConditionType, Said};
use tenantry_api::database_server::{DatabaseServer, Managed};
use tenantry_core::names::ANNOTATION_CONFIRM_EMPTY;
use tenantry_core::quantity::human;
use tenantry_plan::lost::{Lost, has_no_volume};
use tenantry_plan::server::{Seen, claim_name, object_name, volume_bytes};
use tenantry_plan::{Claim, Kind};

use super::uses::uses;
use crate::cluster::{dynamic_api, keep, look_at_growth, lost};
use crate::context::Ctx;
use crate::error::{Error, Result};

/// The condition of a managed server's volume.
const CONDITION: ConditionType = ConditionType::VolumeReady;
/// Reason of a stop: the claim of a server that had data is gone.
pub const VOLUME_LOST: &str = "VolumeLost";

/// Looks at a managed server, and makes sure that its volume outlives its claim.
///
/// # Errors
/// [`Error::Kube`].
pub async fn observe(ctx: &Ctx, object: &DatabaseServer, managed: &Managed) -> Result<Seen> {
    let name = object.name_any();
    let namespace = ctx.system_namespace.as_str();
    let sets = dynamic_api(&ctx.client, Kind::StatefulSet, Some(namespace));
    let set = sets.get_opt(&object_name(&name)).await.map_err(Error::kube("get the StatefulSet"))?;
    let claim_templates = set.as_ref().and_then(|set| set.data.pointer("/spec/volumeClaimTemplates").cloned());
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(ctx.client.clone(), namespace);
    let claim = claims.get_opt(&claim_name(&name)).await.map_err(Error::kube("get the server's volume claim"))?;
    let lost = lost_claim(ctx, object, claim.as_ref()).await?;
    let mut claim = claim.map(|claim| Claim::of(&claim));
    if let Some(claim) = &mut claim {
        look_at_growth(ctx, claim, volume_bytes(managed)).await?;
    }
    keep(ctx, claim.iter().filter_map(|claim| claim.volume.clone()).collect()).await?;
    Ok(Seen { claim_templates, claim, lost })
}

/// The claim of a server that had data, if the claim is gone and no volume was released for it: the StatefulSet would
/// create an empty volume.
async fn lost_claim(ctx: &Ctx, object: &DatabaseServer, claim: Option<&PersistentVolumeClaim>) -> Result<Option<Lost>> {
    if claim.is_some_and(|claim| !has_no_volume(claim)) {
        return Ok(None);
    }
    let name = object.name_any();
    let confirmed = object.annotations().get(ANNOTATION_CONFIRM_EMPTY) == Some(&name);
    let counted = object.status.as_ref().and_then(|s| s.databases).is_some_and(|n| n > 0);
    let had_data = counted || !uses(ctx, &name).await?.is_empty();
    if confirmed || !had_data {
        return Ok(None);
    }
    let found = lost(ctx, &ctx.system_namespace, vec![claim_name(&name)]).await?;
    Ok(found.into_iter().find(|lost| lost.reserved().is_none() || claim.is_some()))
}

/// The condition to report about the volume. `refused` is the reason why it may not grow, if there is one. None before
/// a volume exists.
#[must_use]
pub fn volume(managed: &Managed, seen: &Seen, refused: Option<&Error>) -> Option<Said> {
    let claim = seen.claim.as_ref().filter(|claim| claim.volume.is_some())?;
    let wanted = volume_bytes(managed);
    let why = match refused {
        Some(error) => Some(format!("stays at {} instead of {}: {error}", human(claim.bytes), human(wanted))),
        None => claim.stays(wanted),
    };
    Some(match why {
        None => Said::yes(CONDITION, "AsWanted", human(claim.size(wanted))),
        Some(why) => {
            let text = format!("its volume {why}; the server works on with what it has");
            Said::no(CONDITION, "CannotGrow", text)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_that_cannot_grow_is_said_and_one_that_is_not_there_is_not() {
        let managed: Managed =
            serde_json::from_value(serde_json::json!({"image": "pg:15", "storage": "100G"})).unwrap();
        let seen = |volume: Option<&str>, grows| Seen {
            claim_templates: None,
            lost: None,
            claim: Some(Claim { bytes: 50_000_000_000, class: None, volume: volume.map(Into::into), grows }),
        };
        assert_eq!(volume(&managed, &Seen::default(), None), None);
        assert_eq!(volume(&managed, &seen(None, false), None), None);
        assert_eq!(volume(&managed, &seen(Some("pv"), true), None).unwrap().message, "100 GB");
        let said = volume(&managed, &seen(Some("pv"), false), None).unwrap();
        assert_eq!((said.status, said.reason.as_str()), (Some(false), "CannotGrow"));
        assert!(said.message.contains("50 GB instead of 100 GB"), "{}", said.message);
        let refused = Error::Blocked("exceeded quota".into());
        let said = volume(&managed, &seen(Some("pv"), true), Some(&refused)).unwrap();
        assert_eq!((said.status, said.reason.as_str()), (Some(false), "CannotGrow"));
    }
}
