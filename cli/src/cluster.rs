//! The cluster: finding it, and the kinds in it. Does I/O.

use std::fmt::Debug;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{ListParams, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::error_boundary::{DeserializeGuard, InvalidObject};
use kube::core::{ObjectList, Request};
use kube::{Api, Client, Config, Resource};
use serde::de::DeserializeOwned;
use tenantry_api::archive::Archive;
use tenantry_api::blueprint::Blueprint;
use tenantry_api::crm_instance::CrmInstance;
use tenantry_api::plan::Plan;
use tenantry_api::tenant::Tenant;

use crate::error::Problem;
use crate::error::api::{problem, sources};
use crate::proxy::{self, Proxy};

/// The field manager of everything that this program writes.
pub const MANAGER: &str = "tenantry-cli";

/// Longest time until a connection is established.
const CONNECT: Duration = Duration::from_secs(10);

/// Which cluster.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Which cluster")]
pub struct Where {
    /// Context of the kubeconfig
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// Path of the kubeconfig; $KUBECONFIG or ~/.kube/config when not given
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
}

/// A connected cluster.
#[derive(Clone)]
pub struct Cluster {
    pub client: Client,
    /// What to call the cluster: its context, else its address.
    pub name: String,
    /// The options that named the cluster, for programs that this one starts.
    pub asked: Where,
    /// The proxy on the way to the cluster.
    pub via: Option<Proxy>,
}

impl Cluster {
    /// Reads the kubeconfig; the first request makes the connection.
    pub async fn connect(asked: &Where) -> Result<Self, Problem> {
        let (config, current, proxy) = Self::found(asked).await?;
        let name = asked.context.clone().or(current).unwrap_or_else(|| config.cluster_url.to_string());
        let client = proxy::client(config, proxy.as_ref(), CONNECT)?;
        Ok(Self { client, name, asked: asked.clone(), via: proxy })
    }

    /// The configuration from the kubeconfig, else from the pod that this program runs in; with the name of the
    /// context, and the proxy on the way.
    async fn found(asked: &Where) -> Result<(Config, Option<String>, Option<Proxy>), Problem> {
        let no_cluster = |why: String| {
            Problem::failed("no cluster to talk to")
                .why(why)
                .safe("name one with --kubeconfig FILE, --context NAME or $KUBECONFIG")
        };
        let options = KubeConfigOptions { context: asked.context.clone(), ..KubeConfigOptions::default() };
        let read = asked.kubeconfig.as_ref().map_or_else(Kubeconfig::read, Kubeconfig::read_from);
        let found = match read {
            Ok(mut read) => {
                let (name, own) = (read.current_context.clone(), proxy::of_kubeconfig(&read, asked.context.as_deref()));
                proxy::without(&mut read);
                Config::from_custom_kubeconfig(read, &options).await.map(|config| (config, name, own))
            }
            Err(e) => Err(e),
        };
        match found {
            Ok((mut config, name, own)) => {
                config.apply_debug_overrides();
                let proxy = proxy::chosen(&config.cluster_url, own.as_deref(), |name| std::env::var(name).ok())?;
                Ok((config, name, proxy))
            }
            Err(e) if asked.kubeconfig.is_some() || asked.context.is_some() => Err(no_cluster(sources(&e))),
            // A pod never reaches its own cluster through a proxy.
            Err(e) => match Config::incluster() {
                Ok(config) => Ok((config, None, None)),
                Err(inside) => Err(no_cluster(format!("{}; and in a pod: {}", sources(&e), sources(&inside)))),
            },
        }
    }

    pub fn tenants(&self) -> Api<Tenant> {
        Api::all(self.client.clone())
    }

    /// All instances, for lists.
    pub fn all_instances(&self) -> Api<CrmInstance> {
        Api::all(self.client.clone())
    }

    pub fn instances(&self, namespace: &str) -> Api<CrmInstance> {
        Api::namespaced(self.client.clone(), namespace)
    }

    pub fn archives(&self) -> Api<Archive> {
        Api::all(self.client.clone())
    }

    pub fn plans(&self) -> Api<Plan> {
        Api::all(self.client.clone())
    }

    pub fn blueprints(&self) -> Api<Blueprint> {
        Api::all(self.client.clone())
    }

    pub fn namespaces(&self) -> Api<Namespace> {
        Api::all(self.client.clone())
    }

    /// All objects of a kind that a selector matches. An object that cannot be read is reported and left out, because
    /// it must not hide the others.
    pub async fn list<K>(&self, api: &Api<K>, what: &str, selector: Option<&str>) -> Result<Vec<K>, Problem>
    where
        K: Resource + Clone + DeserializeOwned + Debug,
    {
        let (found, unreadable) = self.read_list(api, what, selector).await?;
        for object in unreadable {
            let text = format!("warning: {} is left out: {}\n", name_of(&object), object.error);
            // A failure to print the warning is no reason to stop.
            let _ = std::io::stderr().write_all(text.as_bytes());
        }
        Ok(found)
    }

    /// As [`Cluster::list`], for uses that must miss nothing, such as a bill or a purge: one object that cannot be read
    /// is a failure.
    pub async fn list_whole<K>(&self, api: &Api<K>, what: &str) -> Result<Vec<K>, Problem>
    where
        K: Resource + Clone + DeserializeOwned + Debug,
    {
        let (found, unreadable) = self.read_list(api, what, None).await?;
        match unreadable.first() {
            None => Ok(found),
            Some(object) => Err(Problem::failed(format!("{} of the {what} cannot be read", name_of(object)))
                .why(object.error.clone())
                .safe("nothing was changed")),
        }
    }

    /// As [`Cluster::list`], but returns the objects that cannot be read beside the others instead of a warning.
    pub async fn read_list<K>(
        &self,
        api: &Api<K>,
        what: &str,
        selector: Option<&str>,
    ) -> Result<(Vec<K>, Vec<InvalidObject>), Problem>
    where
        K: Resource + Clone + DeserializeOwned + Debug,
    {
        let told = |e: &kube::Error| problem(&format!("list {what}"), e);
        let (mut found, mut unreadable) = (Vec::new(), Vec::new());
        let mut params = ListParams::default().limit(500);
        if let Some(selector) = selector {
            params = params.labels(selector);
        }
        loop {
            let request = Request::new(api.resource_url()).list(&params);
            let request = request.map_err(|e| told(&kube::Error::BuildRequest(e)))?;
            let page: ObjectList<DeserializeGuard<K>> = self.client.request(request).await.map_err(|e| told(&e))?;
            for object in page.items {
                match object.0 {
                    Ok(object) => found.push(object),
                    Err(object) => unreadable.push(object),
                }
            }
            match page.metadata.continue_.filter(|c| !c.is_empty()) {
                Some(next) => params = params.continue_token(&next),
                None => return Ok((found, unreadable)),
            }
        }
    }
}

/// Name of an object that cannot be read.
pub fn name_of(object: &InvalidObject) -> String {
    let name = object.metadata.name.as_deref().unwrap_or_default();
    match object.metadata.namespace.as_deref() {
        Some(namespace) => format!("{namespace}/{name}"),
        None => name.to_owned(),
    }
}

/// How objects are created.
pub fn post(dry_run: bool) -> PostParams {
    PostParams { dry_run, field_manager: Some(MANAGER.into()) }
}

/// How objects are changed.
pub fn patch(dry_run: bool) -> PatchParams {
    PatchParams { dry_run, field_manager: Some(MANAGER.into()), ..PatchParams::default() }
}
