//! The Site controller: reports whether the Site fits the cluster. Does I/O (Kubernetes).

pub(crate) mod credentials;
mod pull;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::networking::v1::IngressClass;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use tenantry_api::condition::{ConditionType, Said, set};
use tenantry_api::site::Site;
use tenantry_core::zone;

pub use pull::copy;

use crate::context::Ctx;
use crate::error::{Error, Result};
use crate::status::write;

/// Annotation of the storage class that is used when no class is named.
const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";
/// How soon a cluster that does not fit is looked at again; classes change too seldom for a watch.
const AGAIN: Duration = Duration::from_secs(60);

/// Reconciles the Site. Nothing waits for its condition: it reports what is missing before a tenant needs it.
///
/// # Errors
/// [`Error::Kube`].
pub async fn reconcile(site: Arc<Site>, ctx: &Ctx, now: Timestamp) -> Result<Option<Duration>> {
    // Only a change of the Site fixes this, and the watch reports that change.
    let wrong = time_zone(&site);
    let missing = match storage(&site, ctx).await? {
        Some(problem) => Some(problem),
        None => ingress(&site, ctx).await?,
    };
    let closed = admitted(&site, ctx).await?;
    // An empty list can be fixed only in the Site itself: it is checked again when the Site changes.
    let absent = closed.as_ref().is_some_and(|(reason, _)| *reason == NAMESPACE_MISSING);
    let (versions, credentials) = pull::look(ctx, &site).await?;
    let again = (missing.is_some() || absent || versions.is_some()).then_some(AGAIN);
    let problem = wrong.or(missing);
    let said = match problem {
        None => Said::yes(ConditionType::Ready, "Fits", "the classes that it names exist"),
        Some((reason, message)) => Said::no(ConditionType::Ready, reason, message),
    };
    let generation = site.metadata.generation;
    let mut status = site.status.clone().unwrap_or_default();
    status.observed_generation = generation;
    set(&mut status.conditions, said, generation, now);
    let said = match closed {
        None => Said::yes(ADMITTED, "Named", "rules for the network let requests in from where the Site says"),
        Some((reason, message)) => Said::no(ADMITTED, reason, message),
    };
    set(&mut status.conditions, said, generation, now);
    status.image_pull_secrets = versions;
    match credentials {
        Some(said) => set(&mut status.conditions, said, generation, now),
        None => status.conditions.retain(|c| c.type_ != pull::CONDITION.word()),
    }
    write(ctx, &*site, status).await?;
    Ok(again)
}

/// Condition: whether requests of people get through the network rules of tenants.
const ADMITTED: ConditionType = ConditionType::IngressAdmitted;
const NAMESPACE_MISSING: &str = "IngressNamespaceMissing";

/// Checks that the Site names the namespaces from which the ingress controller sends requests, and that they exist.
async fn admitted(site: &Site, ctx: &Ctx) -> Result<Option<Problem>> {
    if let Some(text) = site.spec.lets_nobody_in() {
        return Ok(Some(("NobodyNamed", text)));
    }
    let api: Api<Namespace> = Api::all(ctx.client.clone());
    for name in &site.spec.ingress_namespaces {
        if api.get_metadata_opt(name).await.map_err(Error::kube("get the ingress controller's namespace"))?.is_none() {
            let text = format!(
                "spec.ingressNamespaces: namespace {name:?} does not exist, so no request comes from there; see `kubectl get namespaces`"
            );
            return Ok(Some((NAMESPACE_MISSING, text)));
        }
    }
    Ok(None)
}

/// A problem: its reason and what to do.
type Problem = (&'static str, String);

fn time_zone(site: &Site) -> Option<Problem> {
    let wrong = zone::check(&site.spec.time_zone).err()?;
    let text = format!(
        "spec.timeZone: {wrong}. What runs goes on; no CRM of a tenant without a time zone of its own is set up or changed"
    );
    Some(("UnknownTimeZone", text))
}

async fn storage(site: &Site, ctx: &Ctx) -> Result<Option<Problem>> {
    let api: Api<StorageClass> = Api::all(ctx.client.clone());
    if let Some(name) = &site.spec.storage_class {
        let found = api.get_metadata_opt(name).await.map_err(Error::kube("get the storage class"))?;
        return Ok(found.is_none().then(|| {
            let text = format!(
                "spec.storageClass: {name:?} does not exist, so volumes stay pending; see `kubectl get storageclass`"
            );
            ("StorageClassMissing", text)
        }));
    }
    let all = api.list_metadata(&ListParams::default()).await.map_err(Error::kube("list storage classes"))?;
    let default = all.items.iter().any(|c| c.annotations().get(DEFAULT_CLASS).is_some_and(|v| v == "true"));
    Ok((!default).then(|| {
        let text = "the cluster has no default storage class and spec.storageClass names none, so volumes stay pending; name one";
        ("NoDefaultStorageClass", text.to_owned())
    }))
}

async fn ingress(site: &Site, ctx: &Ctx) -> Result<Option<Problem>> {
    let Some(name) = &site.spec.ingress.class_name else { return Ok(None) };
    let api: Api<IngressClass> = Api::all(ctx.client.clone());
    let found = api.get_metadata_opt(name).await.map_err(Error::kube("get the ingress class"))?;
    Ok(found.is_none().then(|| {
        let text = format!(
            "spec.ingress.className: {name:?} does not exist, so nobody outside reaches a CRM; see `kubectl get ingressclass`"
        );
        ("IngressClassMissing", text)
    }))
}
