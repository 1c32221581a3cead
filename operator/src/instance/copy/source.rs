//! The original of a copy: an instance of the same tenant that has run, and where its data lies. Does I/O (reads).

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::Api;
use tenantry_api::blueprint::Effective;
use tenantry_api::condition::ConditionType;
use tenantry_api::crm_instance::CrmInstance;
use tenantry_api::database_server::DatabaseServer;
use tenantry_api::scheduling::Scheduling;
use tenantry_core::class::ErrorClass;
use tenantry_core::engine::Engine;
use tenantry_core::id::Id;
use tenantry_core::names;
use tenantry_plan::context::DatabaseAccess;
use tenantry_plan::instance::{
    ANNOTATION_ORIGIN, Original as Judged, access_of, data_generation, origin, runs_another,
};

use crate::cluster::data_of;
use crate::context::Ctx;
use crate::error::Error;
use crate::halt::{Halt, OrHalt};
use crate::instance::pass::Pass;
use crate::instance::release;
use crate::life::recorded_of;

/// Time between two looks at an original that is not ready yet: no watch reports it.
const LOOK: Duration = Duration::from_secs(10);

/// The original.
#[derive(Debug, Clone)]
pub struct Original {
    /// Its id.
    pub id: Id,
    /// Generation of its data.
    pub generation: u32,
    /// How people name it.
    pub address: String,
    /// Hash of the release that wrote its data.
    pub release: String,
    /// On which nodes the original runs. None means on any node.
    pub scheduling: Option<Scheduling>,
}

/// Where the database of an original lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginalPlace {
    /// Name of its DatabaseServer.
    pub server: String,
    /// Its engine.
    pub engine: Engine,
    /// Major version of the server; 0 when not known.
    pub version: u32,
}

/// Looks at the original of a copy.
///
/// # Errors
/// [`Halt`] at `Copied` when the original is gone, being deleted, not ready or of another product.
pub async fn look(ctx: &Ctx, copy: &CrmInstance) -> Result<Original, Halt> {
    let name = copy.spec.from.as_ref().map(|f| f.instance.clone()).unwrap_or_default();
    let address = format!("{}/{name}", copy.spec.tenant);
    let api: Api<CrmInstance> = Api::namespaced(ctx.client.clone(), &copy.namespace().unwrap_or_default());
    let found = api.get_opt(&name).await.map_err(Error::kube("get the original")).halt(ConditionType::Copied)?;
    let recorded = match &found {
        Some(found) => recorded_of(found.annotations())?,
        None => None,
    };
    match (Judged::judge(copy, found.as_ref(), recorded.as_ref()), &found) {
        (Judged::Ready { id, release }, Some(found)) => {
            let (generation, scheduling) = (data_generation(found), found.spec.scheduling.clone());
            Ok(Original { id, generation, address, release: release.to_owned(), scheduling })
        }
        (Judged::OtherProduct(product), _) => {
            let text = format!(
                "spec.blueprint: {address} is a {product}, and a copy is of the same product; make a new instance with that blueprint"
            );
            Err(Halt::fail(ConditionType::Copied, "OtherProduct", text, ErrorClass::Invalid))
        }
        (Judged::Changed, _) => {
            let text = format!(
                "{address} is not what it was when this copy was begun: another instance has its name, or it runs another release. Nothing of the copy was started; delete it and make a new one"
            );
            Err(Halt::fail(ConditionType::Copied, "SourceChanged", text, ErrorClass::Blocked))
        }
        (Judged::NotReady, _) => {
            let text =
                format!("{address} has never been ready; it is copied when it is (`tenantry instance show {address}`)");
            Err(Halt::wait(ConditionType::Copied, "SourceNotReady", text, LOOK))
        }
        (Judged::Gone | Judged::Ready { .. }, _) => {
            let text = format!(
                "spec.from: {address} is not there (any more), so the copy cannot be made; nothing of it was started. Bring it back (`tenantry instance adopt {address}`; of several archives, `tenantry archive list` names it) and the copy goes on, or delete this instance"
            );
            Err(Halt::fail(ConditionType::Copied, "SourceGone", text, ErrorClass::Blocked))
        }
    }
}

/// What a copy that begins notes of its original. None means that this is noted already, or that the instance is no
/// copy.
///
/// # Errors
/// [`Halt`] at `Copied`.
pub async fn origin_to_note(ctx: &Ctx, copy: &CrmInstance) -> Result<Option<(&'static str, String)>, Halt> {
    if copy.spec.from.is_none() || copy.annotations().contains_key(ANNOTATION_ORIGIN) {
        return Ok(None);
    }
    let original = look(ctx, copy).await?;
    Ok(Some((ANNOTATION_ORIGIN, origin(&original.id, &original.release))))
}

/// The release that wrote the original's data, whatever the Blueprint says now.
///
/// # Errors
/// [`Halt`] at `Copied` or `SpecValid`.
pub async fn release_of_original(ctx: &Ctx, copy: &CrmInstance) -> Result<Effective, Halt> {
    let original = look(ctx, copy).await?;
    let pinned = release::of_hash(ctx, &copy.spec, &original.release).await?;
    match runs_another(&copy.spec, &pinned) {
        Some(runs) => {
            let text = format!(
                "spec.release: {} runs {runs}, and a copy begins with what wrote its data; leave the release away",
                original.address
            );
            Err(Halt::fail(ConditionType::SpecValid, "OtherRelease", text, ErrorClass::Invalid))
        }
        None => Ok(pinned),
    }
}

/// Server and access of the original's database.
///
/// # Errors
/// [`Halt`] at `Copied` while the database's Secret is missing.
pub async fn access(ctx: &Ctx, namespace: &str, original: &Original) -> Result<(String, DatabaseAccess), Halt> {
    let api: Api<Secret> = Api::namespaced(ctx.client.clone(), namespace);
    let name = names::database_secret(&original.id, original.generation);
    let found =
        api.get_opt(&name).await.map_err(Error::kube("get the original's Secret")).halt(ConditionType::Copied)?;
    access_of(&data_of(found.and_then(|s| s.data).as_ref())).ok_or_else(|| {
        let text = format!("Secret {namespace}/{name} with the connection details of {} is missing", original.address);
        Halt::wait(ConditionType::Copied, "SourceNotReady", text, LOOK)
    })
}

/// Where the original's database lies. None means that the instance is no copy.
///
/// # Errors
/// [`Halt`] at `Copied`.
pub async fn place_of_original(
    ctx: &Ctx,
    pass: &Pass,
    servers: &[DatabaseServer],
) -> Result<Option<OriginalPlace>, Halt> {
    if pass.instance.spec.from.is_none() {
        return Ok(None);
    }
    let original = look(ctx, &pass.instance).await?;
    let (server, access) = access(ctx, &pass.instance.namespace().unwrap_or_default(), &original).await?;
    let status = servers.iter().find(|s| s.name_any() == server).and_then(|s| s.status.as_ref());
    let version = status.and_then(|s| s.version_major).unwrap_or(0);
    Ok(Some(OriginalPlace { server, engine: access.engine, version }))
}
