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

/// The field manager of everything that this program writes.
pub const MANAGER: &str = "tenantry-cli";

/// Longest time until a connection stands.
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
    /// The client.
    pub client: Client,
    /// What to call the cluster: its context, else its address.
    pub name: String,
    /// How it was asked for, for programs that are started.
    pub asked: Where,
}

impl Cluster {
    /// Reads the kubeconfig; the first request makes the connection.
    pub async fn connect(asked: &Where) -> Result<Self, Problem> {
        let options = KubeConfigOptions { context: asked.context.clone(), ..KubeConfigOptions::default() };
        let found = match &asked.kubeconfig {
            Some(path) => match Kubeconfig::read_from(path) {
                Ok(read) => {
                    let name = read.current_context.clone();
                    Config::from_custom_kubeconfig(read, &options).await.map(|c| (c, name))
                }
                Err(e) => Err(e),
            }
            .map_err(|e| sources(&e)),
            None if asked.context.is_some() => {
                Config::from_kubeconfig(&options).await.map(|c| (c, None)).map_err(|e| sources(&e))
            }
            None => Config::infer()
                .await
                .map(|c| (c, Kubeconfig::read().ok().and_then(|k| k.current_context)))
                .map_err(|e| sources(&e)),
        };
        let (mut config, current) = found.map_err(|why| {
            Problem::failed("no cluster to talk to")
                .why(why)
                .safe("name one with --kubeconfig FILE, --context NAME or $KUBECONFIG")
        })?;
        config.connect_timeout = Some(CONNECT);
        let name = asked.context.clone().or(current).unwrap_or_else(|| config.cluster_url.to_string());
        let client = Client::try_from(config).map_err(|e| problem("connect", &e))?;
        Ok(Self { client, name, asked: asked.clone() })
    }

    /// All tenants.
    pub fn tenants(&self) -> Api<Tenant> {
        Api::all(self.client.clone())
    }

    /// All instances, for lists.
    pub fn all_instances(&self) -> Api<CrmInstance> {
        Api::all(self.client.clone())
    }

    /// The instances in one namespace.
    pub fn instances(&self, namespace: &str) -> Api<CrmInstance> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// All archives.
    pub fn archives(&self) -> Api<Archive> {
        Api::all(self.client.clone())
    }

    /// All plans.
    pub fn plans(&self) -> Api<Plan> {
        Api::all(self.client.clone())
    }

    /// All blueprints.
    pub fn blueprints(&self) -> Api<Blueprint> {
        Api::all(self.client.clone())
    }

    /// All namespaces.
    pub fn namespaces(&self) -> Api<Namespace> {
        Api::all(self.client.clone())
    }

    /// All objects of a kind that a selector matches. One that cannot be read is told and left out: it must
    /// not hide the others.
    pub async fn list<K>(&self, api: &Api<K>, what: &str, selector: Option<&str>) -> Result<Vec<K>, Problem>
    where
        K: Resource + Clone + DeserializeOwned + Debug,
    {
        let (found, unreadable) = self.read_list(api, what, selector).await?;
        for object in unreadable {
            let text = format!("warning: {} is left out: {}\n", name_of(&object), object.error);
            // What cannot be told is no reason to stop.
            let _ = std::io::stderr().write_all(text.as_bytes());
        }
        Ok(found)
    }

    /// As [`Cluster::list`], for what must miss nothing, such as a bill or a purge: one object that cannot be
    /// read is a failure.
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

    /// As [`Cluster::list`], with the objects that cannot be read beside the others instead of a warning.
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
