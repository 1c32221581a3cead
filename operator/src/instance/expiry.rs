//! The day on which a staging or rehearsal instance ends by itself: it is deleted, and so archived. Does I/O.

use std::time::Duration;

use jiff::Timestamp;
use kube::api::{Api, DeleteParams, Preconditions};
use kube::{Resource, ResourceExt};
use tenantry_api::crm_instance::{CrmInstance, Environment};

use crate::cluster::notice;
use crate::context::Ctx;
use crate::error::{Error, Result};

/// Longest time without a look at the clock.
const LONGEST: Duration = Duration::from_secs(86_400);

/// When an instance ends. None means that it does not end by itself. A production instance never does, whatever its
/// spec says.
#[must_use]
pub fn of(instance: &CrmInstance) -> Option<Timestamp> {
    let spec = &instance.spec;
    // The validation reports a time that cannot be read; such a time ends nothing.
    spec.expires.as_deref().filter(|_| spec.environment != Environment::Production)?.parse().ok()
}

/// Deletes the instance, which archives it like any deletion. The next pass finds it being deleted.
///
/// # Errors
/// [`Error::Kube`].
pub async fn end(ctx: &Ctx, instance: &CrmInstance, at: Timestamp) -> Result<Option<Duration>> {
    let name = instance.name_any();
    let api: Api<CrmInstance> = Api::namespaced(ctx.client.clone(), &instance.namespace().unwrap_or_default());
    let text =
        format!("its time was over at {}: it is archived now, and its data is kept", at.strftime("%Y-%m-%dT%H:%M:%SZ"));
    // Deletes this version only: if a person gives the instance more time at this moment, that change counts.
    let preconditions =
        Preconditions { uid: instance.uid(), resource_version: instance.metadata.resource_version.clone() };
    match api.delete(&name, &DeleteParams::default().preconditions(preconditions)).await {
        Ok(_) => {
            notice(ctx, &instance.object_ref(&()), false, "Expired", &text).await;
            Ok(None)
        }
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        // The instance was changed meanwhile; the watch brings the new version.
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(Some(Duration::from_secs(1))),
        Err(e) => Err(Error::kube(format!("delete {name}, whose time is over"))(e)),
    }
}

/// When to look again: after `again`, or at the instance's end if that comes first.
#[must_use]
pub fn soonest(again: Option<Duration>, ends: Option<Timestamp>, now: Timestamp) -> Option<Duration> {
    let Some(ends) = ends else { return again };
    // One second after the end, so that the clock has passed it.
    let left = u64::try_from(ends.as_second().saturating_sub(now.as_second())).unwrap_or(0).saturating_add(1);
    let left = Duration::from_secs(left).min(LONGEST);
    Some(again.map_or(left, |again| again.min(left)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn instance(environment: &str, expires: Option<&str>) -> CrmInstance {
        serde_json::from_value(json!({
            "apiVersion": "tenantry.dev/v1alpha1", "kind": "CrmInstance", "metadata": { "name": "crm" },
            "spec": { "tenant": "acme", "blueprint": "b", "host": "a.example", "environment": environment,
                      "expires": expires },
        }))
        .unwrap()
    }

    #[test]
    fn only_what_is_not_production_and_says_when_ends_by_itself() {
        let when = "2026-12-31T16:59:59Z";
        assert_eq!(of(&instance("staging", Some(when))), Some(when.parse().unwrap()));
        assert_eq!(of(&instance("rehearsal", Some("2026-12-31T23:59:59+07:00"))), Some(when.parse().unwrap()));
        assert_eq!(of(&instance("production", Some(when))), None);
        assert_eq!(of(&instance("staging", None)), None);
        assert_eq!(of(&instance("staging", Some("2026-13-31T00:00:00Z"))), None);
    }

    #[test]
    fn the_end_is_looked_for_in_time_and_at_least_once_a_day() {
        let now: Timestamp = "2026-12-31T12:00:00Z".parse().unwrap();
        let seconds = Duration::from_secs;
        let at = |text: &str| Some(text.parse::<Timestamp>().unwrap());
        assert_eq!(soonest(None, None, now), None);
        assert_eq!(soonest(None, at("2026-12-31T12:00:10Z"), now), Some(seconds(11)));
        assert_eq!(soonest(Some(seconds(5)), at("2026-12-31T12:00:10Z"), now), Some(seconds(5)));
        assert_eq!(soonest(None, at("2027-12-31T12:00:00Z"), now), Some(LONGEST));
        assert_eq!(soonest(None, at("2020-01-01T00:00:00Z"), now), Some(seconds(1)));
    }
}
