//! `tenantry archive orphan`: makes an archive of what has neither object nor archive. Does I/O.
//!
//! It uses the ordinary way of archiving: it creates an object that the operator never brings up, and deletes that
//! object. So running processes are stopped, the role is locked, volumes are kept and the end is recorded as in every
//! archiving.

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, PersistentVolumeClaim};
use k8s_openapi::api::networking::v1::Ingress;
use kube::api::{Api, ListParams};
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tenantry_api::archive::Archive;
use tenantry_api::crm_instance::CrmInstance;
use tenantry_api::database_server::DatabaseServer;
use tenantry_api::tenant::Tenant;
use tenantry_core::id::Id;
use tenantry_core::names;

use super::ending;
use super::living::Living;
use super::orphan_parts::{Known, bare, find_last, instance_spec, kept_by, tenant_spec};
use crate::args::Sure;
use crate::cluster::post;
use crate::confirm;
use crate::error::{Exit, Problem, api};
use crate::listing;
use crate::output::paint::Paint;
use crate::session::Session;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Ids of tenant and instance, or of a tenant whose object is lost, as `doctor` prints them
    #[arg(value_name = "TENANT-ID/INSTANCE-ID|TENANT-ID")]
    pub what: String,
    #[command(flatten)]
    pub sure: Sure,
}

pub async fn run(args: &Args, session: &Session) -> Result<Exit, Problem> {
    let (tenant, instance) = ids(&args.what)?;
    let archives = session.cluster.list_whole(&session.cluster.archives(), "archives").await?;
    let id = instance.as_ref().unwrap_or(&tenant);
    if let Some(archive) = kept_by(&archives, id) {
        let name = archive.name_any();
        return Err(Problem::refused(format!("{} is no orphan: archive {name} keeps its data", args.what))
            .safe("nothing was changed")
            .next("look", format!("archive show {name}")));
    }
    if !args.sure.dry.dry_run {
        confirm::names(&session.out, "archive", std::slice::from_ref(&args.what), &args.sure.confirm).await?;
    }
    let namespace = names::namespace(&tenant);
    let found = session.cluster.namespaces().get_opt(&namespace).await;
    let found = found.map_err(|e| api::problem(&format!("read namespace {namespace}"), &e))?;
    if found.as_ref().is_some_and(|n| n.metadata.deletion_timestamp.is_some()) {
        return Err(Problem::refused(format!("namespace {namespace} is just going"))
            .safe("nothing was changed; when it is gone, only databases are left")
            .next("look again then", "doctor"));
    }
    let last = find_last(&archives, id);
    match (instance, found) {
        (Some(id), Some(namespace)) => {
            let object = orphaned_instance(session, &namespace, &tenant, &id, last).await?;
            end(args, session, &session.cluster.instances(&namespace.name_any()), object).await
        }
        (None, Some(namespace)) => {
            let object = orphaned_tenant(session, &namespace, &tenant, last).await?;
            end(args, session, &session.cluster.tenants(), object).await
        }
        (Some(id), None) => databases_only(args, session, &tenant, &id, last).await,
        (None, None) => {
            Err(Problem::not_found(format!("there is no namespace {namespace}")).next("what has no owner?", "doctor"))
        }
    }
}

fn ids(what: &str) -> Result<(Id, Option<Id>), Problem> {
    let id = |text: &str| {
        Id::parse(text).map_err(|_| {
            Problem::usage(format!("{text:?} is no id; write TENANT-ID/INSTANCE-ID, or TENANT-ID"))
                .next("what has no owner, with its ids?", "doctor")
        })
    };
    match what.split_once('/') {
        Some((tenant, instance)) => Ok((id(tenant)?, Some(id(instance)?))),
        None => Ok((id(what)?, None)),
    }
}

/// The object whose deletion archives what is left of an instance. An object that an earlier try created is used again.
async fn orphaned_instance(
    session: &Session,
    namespace: &Namespace,
    tenant: &Id,
    id: &Id,
    last: Option<&Archive>,
) -> Result<CrmInstance, Problem> {
    let ns = namespace.name_any();
    let living = session.cluster.list_whole(&session.cluster.instances(&ns), "instances").await?;
    if let Some(found) = living.iter().find(|i| i.spec.id.as_deref() == Some(id.as_str())) {
        return mine_or_lives(found.clone(), id, "instance", &crate::target::address_of(found));
    }
    let mine = format!("{}={id}", names::LABEL_INSTANCE_ID);
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(session.cluster.client.clone(), &ns);
    let claims = claims.list_metadata(&ListParams::default().labels(&mine)).await;
    let claims = claims.map_err(|e| api::problem("list volume claims", &e))?.items;
    let ingresses: Api<Ingress> = Api::namespaced(session.cluster.client.clone(), &ns);
    let ingress = ingresses.get_opt(&names::service(id)).await.map_err(|e| api::problem("read the ingress", &e))?;
    let hosts: Api<ConfigMap> = Api::namespaced(session.cluster.client.clone(), names::SYSTEM_NAMESPACE);
    let hosts = hosts.list_metadata(&ListParams::default().labels(&mine)).await.map(|l| l.items).unwrap_or_default();
    let label = |key: &str| {
        let of_claim = claims.iter().find_map(|c| c.labels().get(key));
        of_claim.or_else(|| ingress.as_ref().and_then(|i| i.labels().get(key))).cloned()
    };
    let served = ingress.as_ref().and_then(|i| i.spec.as_ref()?.rules.as_ref()?.first()?.host.clone());
    let claimed = hosts.iter().find_map(|c| c.name_any().strip_prefix("host.").map(ToOwned::to_owned));
    let known = Known {
        tenant: namespace.labels().get(names::LABEL_TENANT).cloned(),
        host: served.or(claimed),
        environment: label(names::LABEL_ENVIRONMENT),
    };
    let name = label(names::LABEL_INSTANCE).or_else(|| last.map(|a| a.spec.name.clone()));
    // A name that another instance has by now stays with that instance.
    let name = name.filter(|n| !living.iter().any(|i| i.name_any() == *n)).unwrap_or_else(|| id.to_string());
    let spec = instance_spec(tenant, id, last, &known);
    object("CrmInstance", &name, Some(&ns), id, &spec)
}

/// The object whose deletion archives what is left of a tenant.
async fn orphaned_tenant(
    session: &Session,
    namespace: &Namespace,
    id: &Id,
    last: Option<&Archive>,
) -> Result<Tenant, Problem> {
    let living = session.cluster.list_whole(&session.cluster.tenants(), "tenants").await?;
    if let Some(found) = living.iter().find(|t| t.spec.id.as_deref() == Some(id.as_str())) {
        return mine_or_lives(found.clone(), id, "tenant", &found.name_any());
    }
    let name = namespace.labels().get(names::LABEL_TENANT).filter(|n| !living.iter().any(|t| t.name_any() == **n));
    object("Tenant", name.map_or_else(|| id.as_str(), String::as_str), None, id, &tenant_spec(id, last))
}

fn mine_or_lives<K: Resource>(found: K, id: &Id, word: &str, address: &str) -> Result<K, Problem> {
    if found.annotations().get(names::ANNOTATION_ORPHAN).map(String::as_str) == Some(id.as_str()) {
        return Ok(found);
    }
    Err(Problem::refused(format!("{word} {address} has id {id}: it is no orphan"))
        .safe("nothing was changed")
        .next("archive it", format!("{word} archive {address}")))
}

fn object<K: DeserializeOwned>(
    kind: &str,
    name: &str,
    namespace: Option<&str>,
    id: &Id,
    spec: &Value,
) -> Result<K, Problem> {
    let mut meta = json!({ "name": name, "finalizers": [names::FINALIZER],
        "annotations": { names::ANNOTATION_ORPHAN: id.as_str() } });
    if let Some(namespace) = namespace {
        meta["namespace"] = namespace.into();
    }
    let object = json!({ "apiVersion": "tenantry.dev/v1alpha1", "kind": kind, "metadata": meta, "spec": spec });
    serde_json::from_value(object)
        .map_err(|e| Problem::failed(format!("what is known of {id} makes no {kind}")).why(e.to_string()))
}

/// Creates the object, deletes it, and reports the result.
async fn end<K>(args: &Args, session: &Session, place: &Api<K>, object: K) -> Result<Exit, Problem>
where
    K: Living + serde::Serialize + Send + 'static,
{
    let (dry, what) = (args.sure.dry.dry_run, format!("archive {} {}", K::WORD, args.what));
    let object = match object.meta().uid.is_some() {
        true => object,
        false => place.create(&post(dry), &object).await.map_err(|e| api::problem(&what, &e))?,
    };
    if dry {
        return listing::changed(&session.out, &[object], &format!("{} would be archived (dry run)", args.what));
    }
    ending::delete(session, &object, false).await?;
    if args.sure.wait.no_wait {
        let text = format!("{} is being archived; all data is kept", args.what);
        return listing::changed(&session.out, &[object], &text);
    }
    ending::gone(session, std::slice::from_ref(&object), &args.sure).await?;
    let archives = session.cluster.list(&session.cluster.archives(), "archives", None).await?;
    let id = args.what.rsplit('/').next().unwrap_or_default();
    done(args, session, find_last(&archives, &ids(id)?.0))
}

fn done(args: &Args, session: &Session, archive: Option<&Archive>) -> Result<Exit, Problem> {
    let archives: Vec<Archive> = archive.into_iter().cloned().collect();
    let mut page = ending::page(std::slice::from_ref(&args.what), &archives, "nothing was found");
    for (key, line) in archives.iter().flat_map(super::view::commands) {
        page.fact(&format!("  {key}"), line);
    }
    listing::changed(&session.out, &archives, &page.render(&Paint::default(), None))
}

/// When the namespace is gone, nothing of the instance runs and only databases are left: the archive is written
/// directly, with all databases that the servers have reported.
async fn databases_only(
    args: &Args,
    session: &Session,
    tenant: &Id,
    id: &Id,
    last: Option<&Archive>,
) -> Result<Exit, Problem> {
    let servers: Api<DatabaseServer> = Api::all(session.cluster.client.clone());
    let servers = session.cluster.list_whole(&servers, "database servers").await?;
    let archive = bare(tenant, id, last, &servers, session.now())?;
    let made = session.cluster.archives().create(&post(args.sure.dry.dry_run), &archive).await;
    let made = made.map_err(|e| api::problem(&format!("archive instance {}", args.what), &e))?;
    done(args, session, Some(&made))
}
