//! The end of an instance's life: recorded, workloads gone, data kept, role locked. Does I/O.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Secret};
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use tenantry_api::archive::{ArchivedKind, KeptDatabase};
use tenantry_api::condition::ConditionType;
use tenantry_api::crm_instance::CrmInstance;
use tenantry_core::id::Id;
use tenantry_core::ledger::{Facts, Life, Recorded};
use tenantry_core::names::{self, ANNOTATION_TAKEN_OVER, LABEL_DATA_GENERATION, LABEL_INSTANCE_ID, LABEL_PURPOSE};
use tenantry_plan::Kind;
use tenantry_plan::archive::{Ending, build, retention_days};
use tenantry_plan::event::Subject;
use tenantry_plan::instance::release::{Choice, Known, Row, choose};
use tenantry_plan::instance::{access_of, data_generation};

use super::database::Found;
use super::remains::Remains;
use super::{database, found, hide, host, orphan, release};
use crate::cluster::{data_of, dynamic_api};
use crate::context::Ctx;
use crate::error::{Error, Result};
use crate::halt::{Halt, OrHalt};
use crate::life::{self, Stream, adopt, claim, record, recorded_of, release as let_go, replay, store};

const CONDITION: ConditionType = ConditionType::Archived;

/// Archives the instance and lets Kubernetes delete the object.
///
/// # Errors
/// [`Halt`] at `Archived` while something holds the archiving up; the data is safe meanwhile.
#[tracing::instrument(target = "tenantry::trace", level = "debug", name = "archive", skip_all)]
pub async fn run(instance: &CrmInstance, ctx: &Ctx, now: Timestamp) -> std::result::Result<(), Halt> {
    let namespace = instance.namespace().unwrap_or_default();
    let api: Api<CrmInstance> = Api::namespaced(ctx.client.clone(), &namespace);
    let id = instance.spec.id.as_deref().and_then(|id| Id::parse(id).ok());
    let recorded = recorded_of(instance.annotations())?;
    let tenant_id = namespace.strip_prefix("tenant-").and_then(|id| Id::parse(id).ok());
    let reported = instance.status.as_ref().is_some_and(|s| s.data_generation.is_some());
    let orphan = adopt::is_orphan(instance.annotations(), instance.spec.id.as_deref());
    let (Some(id), true, Some(tenant_id)) = (id, reported || recorded.is_some() || orphan, tenant_id) else {
        // Nothing was ever made from this object.
        return let_go(&api, instance).await.halt(CONDITION);
    };
    let free = match (orphan, reported) {
        (true, _) => adopt::check_orphan(ctx, &id, instance.spec.adopt.as_deref()).await,
        (false, true) => Ok(()),
        (false, false) => adopt::check_instance(ctx, instance, &id, now).await,
    };
    let mine = match free {
        Ok(()) => claim::claim(ctx, instance, &id, reported).await,
        refused => refused,
    };
    if let Err(halt) = mine {
        // An object that carries another object's id was never accepted: nothing with that id belongs to it.
        let refused = halt.reason == life::ID_TAKEN && !reported;
        return if refused { let_go(&api, instance).await.halt(CONDITION) } else { Err(halt) };
    }
    let recorded = match recorded {
        Some(recorded) => recorded,
        None => replay(ctx, &id).await.halt(CONDITION)?,
    };
    let site = ctx.site().await.halt(CONDITION)?;
    let tenant = ctx.tenant(&instance.spec.tenant).await.halt(CONDITION)?;
    stop(ctx, &namespace, &id).await.halt(CONDITION)?;
    let left = pods(ctx, &namespace, &id).await.halt(CONDITION)?;
    if left > 0 {
        let text = format!("waiting until {left} pods have ended");
        return Err(Halt::wait(CONDITION, "StoppingProcesses", text, Duration::from_secs(2)));
    }

    let mut data = match orphan {
        true => orphan::found(ctx, &id, &instance.spec).await?,
        false => kept_data(ctx, instance, &id, &recorded).await?,
    };
    let release = match &data.release_hash {
        Some(hash) => release::text_of(ctx, &data.spec, hash).await?,
        None => None,
    };
    if orphan {
        let settings = ctx.settings().await.halt(CONDITION)?;
        for kept in &data.databases {
            let looked = database::look(ctx, &id, kept, &settings).await.halt(CONDITION)?;
            database::lock(&looked).await.halt(CONDITION)?;
        }
    }
    hide::secrets(ctx, instance, &id, &mut data).await.halt(CONDITION)?;
    let selector = format!("{LABEL_INSTANCE_ID}={id},{LABEL_DATA_GENERATION}");
    let volumes = names_of::<PersistentVolumeClaim>(ctx, &namespace, &selector).await.halt(CONDITION)?;
    // Configuration is left out, because it is rendered again. The keys and the database access are kept.
    let kept_secrets = format!("{selector},{LABEL_PURPOSE}!=config");
    let secrets = names_of::<Secret>(ctx, &namespace, &kept_secrets).await.halt(CONDITION)?;
    retain(ctx, &namespace, &volumes).await.halt(CONDITION)?;

    let subject = Subject {
        id: id.clone(),
        kind: "instance",
        tenant_id: tenant_id.clone(),
        tenant_name: instance.spec.tenant.clone(),
    };
    let facts = Facts { life: Life::Archived, ..recorded.facts.clone() };
    let ledger = record(ctx, &Stream { subject, recorded }, &facts, now).await.halt(CONDITION)?;
    let ending = Ending {
        kind: ArchivedKind::CrmInstance,
        id: id.clone(),
        name: instance.name_any(),
        adopted_from: instance.spec.adopt.clone(),
        tenant_id,
        tenant_name: instance.spec.tenant.clone(),
        databases: std::mem::take(&mut data.databases),
        volumes,
        secrets,
        data_generation: Some(data.generation),
        release_hash: data.release_hash,
        release,
        object: serde_json::to_string(&data.spec).halt(CONDITION)?,
        ledger,
        retention_days: retention_days(tenant.as_ref().map(|t| &t.spec), &site.spec),
    };
    store(ctx, &build(&ending, now).halt(CONDITION)?).await.halt(CONDITION)?;
    host::release_all(ctx, id.as_str(), None).await.halt(CONDITION)?;
    ctx.remove(Kind::ConfigMap, Some(&ctx.system_namespace), &names::id_claim(&id)).await.halt(CONDITION)?;
    let_go(&api, instance).await.halt(CONDITION)
}

/// The release that wrote the data, from any source that still knows it. A missing release does not hold the archiving
/// up.
async fn release_hash(
    ctx: &Ctx,
    instance: &CrmInstance,
    recorded: &Recorded,
    id: &Id,
) -> std::result::Result<Option<String>, Halt> {
    let mut known = Known::of(instance, Some(recorded));
    let mut row = None;
    let mut choice = choose(&known);
    if matches!(choice, Choice::Ask | Choice::Newest | Choice::OfOriginal) {
        row = found::row(ctx, instance, id).await.map_err(|halt| Halt { condition: CONDITION, ..halt })?;
        known.row = Row::Says(row.as_ref().map(|f| f.record.release_hash.as_str()).filter(|hash| !hash.is_empty()));
        choice = choose(&known);
    }
    if choice == Choice::Unknown {
        let (adopt, id) = (instance.spec.adopt.as_deref(), Some(id.as_str()));
        let archive = adopt::named(ctx, adopt, id, ArchivedKind::CrmInstance, instance.namespace().as_deref()).await?;
        return Ok(archive.and_then(|a| a.spec.release_hash));
    }
    Ok(match choice {
        Choice::Pinned(hash) | Choice::Mendable(hash) | Choice::Copied(hash) => Some(hash.to_owned()),
        Choice::Disputed { believed, .. } => Some(believed.to_owned()),
        Choice::Newest | Choice::Ask | Choice::Unknown | Choice::OfOriginal => row.map(|f| f.record.release_hash),
    })
}

/// Removes the running workloads and the objects that lead to them. Volumes and Secrets stay.
async fn stop(ctx: &Ctx, namespace: &str, id: &Id) -> Result<()> {
    for kind in Kind::stopped() {
        let api = dynamic_api(&ctx.client, kind, Some(namespace));
        let params = ListParams::default().labels(&format!("{LABEL_INSTANCE_ID}={id}"));
        let list = api.list_metadata(&params).await.map_err(Error::kube("list what runs"))?;
        for object in &list.items {
            if object.metadata.deletion_timestamp.is_none() {
                ctx.remove(kind, Some(namespace), &object.name_any()).await?;
            }
        }
    }
    Ok(())
}

async fn pods(ctx: &Ctx, namespace: &str, id: &Id) -> Result<usize> {
    let api: Api<Pod> = Api::namespaced(ctx.client.clone(), namespace);
    let params = ListParams::default().labels(&format!("{LABEL_INSTANCE_ID}={id}"));
    let list = api.list(&params).await.map_err(Error::kube("list pods"))?;
    let ended = |p: &Pod| matches!(p.status.as_ref().and_then(|s| s.phase.as_deref()), Some("Succeeded" | "Failed"));
    Ok(list.items.iter().filter(|p| !ended(p)).count())
}

async fn kept_data(
    ctx: &Ctx,
    instance: &CrmInstance,
    id: &Id,
    recorded: &Recorded,
) -> std::result::Result<Remains, Halt> {
    let generation = data_generation(instance);
    let kept = kept_database(ctx, instance, id, generation).await.halt(CONDITION)?;
    let kept = match kept {
        Some(kept) => promised(ctx, instance, id, kept, recorded.facts.installed.is_some()).await?,
        None => None,
    };
    Ok(Remains {
        databases: kept.into_iter().collect(),
        generation,
        release_hash: release_hash(ctx, instance, recorded, id).await?,
        spec: instance.spec.clone(),
    })
}

/// Locks the database that is to be kept. Every database that an archive names must exist: a database that was never
/// made is left out. A database that somebody dropped holds the archiving up until it is restored or a person confirms
/// that it is lost.
async fn promised(
    ctx: &Ctx,
    instance: &CrmInstance,
    id: &Id,
    kept: KeptDatabase,
    installed: bool,
) -> std::result::Result<Option<KeptDatabase>, Halt> {
    let settings = ctx.settings().await.halt(CONDITION)?;
    let looked = database::look(ctx, id, &kept, &settings).await.halt(CONDITION)?;
    let gone = match looked.found {
        Found::There => false,
        Found::Unknown if !installed => return Ok(None),
        // The server has a record of the database: the archive lists it, so that a purge removes the record.
        Found::Unmade | Found::Lost => installed,
        Found::Unknown => true,
    };
    let accepted = instance.annotations().get(names::ANNOTATION_CONFIRM_LOSS) == Some(&kept.name);
    if gone && !accepted {
        let namespace = instance.namespace().unwrap_or_default();
        let remedy = format!(
            "The archive would promise data that is gone, and is not written. Restore the database on that server from the server's own backup; or, when it is lost for good: kubectl -n {namespace} annotate crm {} {}={}",
            instance.name_any(),
            names::ANNOTATION_CONFIRM_LOSS,
            kept.name
        );
        let halt = database::missing(&kept.name, &kept.server, database::GONE, &remedy);
        return Err(Halt { condition: CONDITION, ..halt });
    }
    database::lock(&looked).await.halt(CONDITION)?;
    Ok((looked.found != Found::Unknown).then_some(kept))
}

/// Where the data lies: as its Secret says or, when the Secret was lost, as the object says.
async fn kept_database(ctx: &Ctx, instance: &CrmInstance, id: &Id, generation: u32) -> Result<Option<KeptDatabase>> {
    let api: Api<Secret> = Api::namespaced(ctx.client.clone(), &instance.namespace().unwrap_or_default());
    let name = names::database_secret(id, generation);
    let found = api.get_opt(&name).await.map_err(Error::kube("get the database's Secret"))?;
    let data = data_of(found.and_then(|s| s.data).as_ref());
    let reported = instance.status.as_ref().and_then(|s| s.database.clone());
    // The database was found on a server, and the instance was held up before its Secret was written.
    let taken = instance.annotations().get(ANNOTATION_TAKEN_OVER).and_then(|place| place.split_once('/'));
    Ok(access_of(&data)
        .map(|(server, access)| KeptDatabase { server, name: access.name })
        .or_else(|| reported.map(|d| KeptDatabase { server: d.server, name: d.name }))
        .or_else(|| taken.map(|(server, name)| KeptDatabase { server: server.into(), name: name.into() })))
}

async fn names_of<K>(ctx: &Ctx, namespace: &str, selector: &str) -> Result<Vec<String>>
where
    K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(ctx.client.clone(), namespace);
    let list = api.list_metadata(&ListParams::default().labels(selector)).await;
    let mut names: Vec<String> =
        list.map_err(Error::kube("list what is kept"))?.items.iter().map(ResourceExt::name_any).collect();
    names.sort();
    Ok(names)
}

/// Makes sure that no volume is deleted together with its claim.
async fn retain(ctx: &Ctx, namespace: &str, claims: &[String]) -> Result<()> {
    crate::archive::set_reclaim_policy(ctx, namespace, claims, "Retain").await
}
