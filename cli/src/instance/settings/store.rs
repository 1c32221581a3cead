//! Writes a change of settings to the cluster, and waits until the operator has taken it over. Does I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use k8s_openapi::api::core::v1::Secret as KubeSecret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::Patch;
use kube::{Api, ResourceExt};
use serde_json::{Map, Value, json};
use tenantry_api::condition::{ConditionType, find, holds};
use tenantry_api::crm_instance::{CrmInstance, InstancePhase};
use tenantry_core::id::Id;
use tenantry_core::names;
use tenantry_core::secret::Secret;
use tenantry_plan::made_with::CONDITION;

use super::decide::{Change, patch_of, secret_object};
use crate::cluster::{patch, post};
use crate::error::{Problem, api};
use crate::progress::Progress;
use crate::progress::steps::said;
use crate::session::Session;
use crate::target::address_of;
use crate::wait::{Until, follow};

/// Writes the Secret first, so that the instance never refers to a value that does not exist.
pub async fn stored(
    session: &Session,
    instance: &CrmInstance,
    change: &Change,
    revision: &str,
    dry_run: bool,
) -> Result<CrmInstance, Problem> {
    let address = address_of(instance);
    let id = instance.spec.id.as_deref().and_then(|id| Id::parse(id).ok());
    let id = id.ok_or_else(|| {
        Problem::failed(format!("{address} has no id yet"))
            .why("the operator mints one as soon as it sees the instance")
            .next("is it running?", "doctor")
    })?;
    let name = names::settings_secret(&id);
    let secrets: Api<KubeSecret> =
        Api::namespaced(session.cluster.client.clone(), &instance.namespace().unwrap_or_default());
    if !change.secret.is_empty() {
        write_secret(&secrets, instance, &name, &change.secret, dry_run).await?;
    }
    let body = json!({ "spec": patch_of(instance, change, &name, revision) });
    let api = session.cluster.instances(&instance.namespace().unwrap_or_default());
    let doing = format!("change the settings of {address}");
    let stored = api.patch(&instance.name_any(), &patch(dry_run), &Patch::Merge(&body)).await;
    let stored = stored.map_err(|e| api::problem(&doing, &e))?;
    let ours = |key: &&String| instance.spec.settings_from.get(*key).is_some_and(|s| s.secret == name);
    let leaving: Map<String, Value> = change
        .gone
        .iter()
        .chain(change.plain.keys())
        .filter(ours)
        .filter_map(|key| instance.spec.settings_from.get(key))
        // Another setting may refer to the same value.
        .filter(|source| !stored.spec.settings_from.values().any(|other| other == *source))
        .map(|source| (source.key.clone(), Value::Null))
        .collect();
    if !leaving.is_empty() {
        // Nothing refers to these values any more. A Secret that is gone is what was wanted.
        match secrets.patch(&name, &patch(dry_run), &Patch::Merge(&json!({ "data": leaving }))).await {
            Ok(_) => {}
            Err(kube::Error::Api(s)) if s.is_not_found() => {}
            Err(e) => return Err(api::problem(&format!("take old values out of Secret {name}"), &e)),
        }
    }
    Ok(stored)
}

/// Adds values to the instance's Secret and keeps the others. A merge need not read the other values; an apply would
/// have to, because it removes what it does not name.
async fn write_secret(
    secrets: &Api<KubeSecret>,
    instance: &CrmInstance,
    name: &str,
    values: &BTreeMap<String, Secret>,
    dry_run: bool,
) -> Result<(), Problem> {
    let body = secret_object(instance, name, values);
    let doing = format!("write Secret {name}");
    let told = |e: &kube::Error| api::problem(&doing, e).safe("the settings are as they were");
    for _ in 0..2 {
        match secrets.patch(name, &patch(dry_run), &Patch::Merge(&body)).await {
            Ok(_) => return Ok(()),
            Err(kube::Error::Api(s)) if s.is_not_found() => {}
            Err(e) => return Err(told(&e)),
        }
        let new: KubeSecret = serde_json::from_value(body.clone())
            .map_err(|_| Problem::failed(format!("cannot {doing}: it does not fit")))?;
        match secrets.create(&post(dry_run), &new).await {
            Ok(_) => return Ok(()),
            // Another client created it first: patch theirs.
            Err(kube::Error::Api(s)) if s.is_already_exists() => {}
            Err(e) => return Err(told(&e)),
        }
    }
    Err(Problem::failed(format!("cannot {doing}: it keeps changing")).safe("the same command can be run again"))
}

/// Waits until the operator has taken the settings over and the instance is ready with them.
pub async fn taken(
    session: &Session,
    instance: &CrmInstance,
    keys: &BTreeSet<String>,
    until: Until,
    progress: &mut Progress,
) -> Result<CrmInstance, Problem> {
    let (address, name, begun) = (address_of(instance), instance.name_any(), tokio::time::Instant::now());
    let look = format!("instance show {address} --wait");
    session.leave.goes_on("the settings are stored and the operator goes on", "come back", &look);
    let api = session.cluster.instances(&instance.namespace().unwrap_or_default());
    let before = instance.status.as_ref().and_then(|s| find(&s.conditions, CONDITION)).map(|c| c.message.clone());
    let end = follow(api, &name, until, |seen| {
        let Some(seen) = seen else { return ControlFlow::Break(Err("it was deleted meanwhile".to_owned())) };
        let status = seen.status.clone().unwrap_or_default();
        if status.observed_generation < instance.metadata.generation {
            return ControlFlow::Continue(());
        }
        let wrong = |kind: ConditionType| find(&status.conditions, kind).filter(|c| c.status == "False");
        // A message from before the change is about something else, unless it names a setting of this change.
        let names = |c: &Condition| c.message.split([' ', ',', ':', '.']).any(|word| keys.contains(word));
        let is_ours = |c: &&Condition| before.as_deref() != Some(&c.message) || names(c);
        let invalid = wrong(ConditionType::SpecValid).or_else(|| wrong(CONDITION).filter(is_ours));
        match (holds(&status.conditions, "Ready"), status.phase, invalid) {
            (_, _, Some(c)) => ControlFlow::Break(Err(said(c))),
            (true, _, _) | (_, InstancePhase::Suspended, _) => ControlFlow::Break(Ok(seen.clone())),
            _ => {
                let ready = find(&status.conditions, "Ready").map(said).unwrap_or_default();
                progress.now(&address, &ready);
                ControlFlow::Continue(())
            }
        }
    });
    match end.await? {
        Some(Ok(seen)) => {
            progress.done(&address, "ready with these settings", begun.elapsed());
            Ok(seen)
        }
        Some(Err(why)) => {
            progress.end();
            Err(Problem::failed(format!("{address} does not take these settings"))
                .safe("what runs goes on as it was")
                .why(why)
                .next("look", format!("instance settings {address}")))
        }
        None => Err(Problem::timed_out(format!("{address} is not ready with these settings; the operator goes on"))
            .next("watch", look)),
    }
}
