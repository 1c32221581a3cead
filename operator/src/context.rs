//! What every controller works with: client, caches, memory, administrations. Does I/O through its parts.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Service;
use kube::api::Api;
use kube::runtime::events::Recorder;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tenantry_api::blueprint::Blueprint;
use tenantry_api::crm_instance::CrmInstance;
use tenantry_api::database_server::DatabaseServer;
use tenantry_api::plan::Plan;
use tenantry_api::site::Site;
use tenantry_api::tenant::Tenant;
use tenantry_core::calls::Gate;
use tenantry_core::names;
use tenantry_plan::{Settings, server};
use tokio::sync::mpsc::UnboundedSender;

use crate::cluster::{Memory, Turns};
use crate::error::{Error, Result};
use crate::runtime::metrics::Metrics;
use crate::runtime::traces::Traces;
use crate::site::credentials::Credentials;
use crate::sql::servers::Servers;

/// Caches that watches keep up to date. Without caches (in tests) every look-up reads from the API.
#[derive(Debug, Clone)]
pub struct Caches {
    /// Sites.
    pub sites: Store<Site>,
    /// Plans.
    pub plans: Store<Plan>,
    /// Blueprints.
    pub blueprints: Store<Blueprint>,
    /// Database servers.
    pub servers: Store<DatabaseServer>,
    /// Whether all database servers are in the cache. The store's own signal for that wakes only the last task that
    /// waits for it (kube-runtime 5: one waker in `DelayedInit`), so after a start all other tasks would wait for ever.
    pub servers_full: tokio::sync::watch::Receiver<bool>,
    /// Tenants.
    pub tenants: Store<Tenant>,
    /// Instances.
    pub instances: Store<CrmInstance>,
}

/// Patience that is enough for a Service on a busy node.
const PATIENCE: Duration = Duration::from_secs(10);

/// What every controller works with.
#[derive(Clone)]
pub struct Ctx {
    /// The Kubernetes client.
    pub client: Client,
    /// Namespace of the operator.
    pub system_namespace: String,
    /// Image of the agent when the Site names none.
    pub agent_image: String,
    /// Name of the operator's ServiceAccount.
    pub service_account: String,
    /// PriorityClass of managed database servers that name none.
    pub database_priority_class: Option<String>,
    /// Every call out of the process passes through this gate.
    pub gate: Arc<dyn Gate>,
    /// Administrations of database servers.
    pub servers: Arc<Servers>,
    /// What this process has applied and seen.
    pub memory: Arc<Memory>,
    /// Credentials of registries, as they were read last.
    pub credentials: Arc<Credentials>,
    /// Which instances may replace their pods now.
    pub turns: Arc<Turns>,
    /// Held while it is decided that the pod of a database server is replaced.
    pub exchange: Arc<tokio::sync::Mutex<()>>,
    /// Caches, once they are full.
    pub caches: Option<Caches>,
    /// Publisher of Kubernetes events.
    pub recorder: Option<Recorder>,
    /// Figures.
    pub metrics: Arc<Metrics>,
    /// The connection to a collector of traces, if there is a collector.
    pub traces: Option<Traces>,
    /// Wakes an instance. Without this channel (in tests) no later pass would fetch an answer, so answers are waited
    /// for.
    pub wake: Option<UnboundedSender<ObjectRef<CrmInstance>>>,
    /// How long a Service is asked again when nothing, or only the page of a suspended instance, answers: it takes a
    /// moment until all nodes know the Service's newest endpoint.
    pub patience: Duration,
    /// Random bytes.
    pub random: fn(&mut [u8]) -> Result<()>,
}

/// Random bytes of the operating system.
///
/// # Errors
/// When the system has none.
pub fn system_random(bytes: &mut [u8]) -> Result<()> {
    getrandom::fill(bytes).map_err(|e| Error::Bug(format!("no random bytes: {e}")))
}

impl Ctx {
    /// A context with empty memory.
    #[must_use]
    pub fn new(client: Client, gate: Arc<dyn Gate>) -> Self {
        Self {
            client,
            system_namespace: names::SYSTEM_NAMESPACE.into(),
            agent_image: "tenantry.local/agent:dev".into(),
            service_account: "tenantry-operator".into(),
            database_priority_class: None,
            gate,
            servers: Arc::default(),
            memory: Arc::default(),
            credentials: Arc::default(),
            turns: Arc::default(),
            exchange: Arc::default(),
            caches: None,
            recorder: None,
            metrics: Arc::default(),
            traces: None,
            wake: None,
            patience: PATIENCE,
            random: system_random,
        }
    }

    /// Exports the span of a job that has ended, if there is a collector.
    pub fn trace_job(&self, purpose: &'static str, job: &Job) {
        if let Some(traces) = &self.traces {
            traces.job(purpose, job);
        }
    }

    /// `N` random bytes.
    ///
    /// # Errors
    /// When the system has none.
    pub fn random_bytes<const N: usize>(&self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        (self.random)(&mut bytes)?;
        Ok(bytes)
    }

    /// A generated password.
    ///
    /// # Errors
    /// When the system has no random bytes.
    pub fn password(&self, length: usize) -> Result<tenantry_core::secret::Secret> {
        let mut bytes = vec![0; length];
        (self.random)(&mut bytes)?;
        Ok(tenantry_core::secret::Secret::generate(&bytes))
    }

    async fn look<K>(&self, store: Option<&Store<K>>, name: &str) -> Result<Option<K>>
    where
        K: Resource<DynamicType = (), Scope = kube::core::ClusterResourceScope>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned
            + 'static,
    {
        if let Some(found) = store.and_then(|s| s.get(&ObjectRef::new(name))) {
            return Ok(Some((*found).clone()));
        }
        // Not in the cache: the object may be newer than the cache, so the API decides.
        let api: Api<K> = Api::all(self.client.clone());
        api.get_opt(name).await.map_err(Error::kube(format!("get {} {name}", K::kind(&()))))
    }

    /// The Site.
    ///
    /// # Errors
    /// [`Error::Blocked`] while the Site does not exist.
    pub async fn site(&self) -> Result<Site> {
        let site = self.look(self.caches.as_ref().map(|c| &c.sites), names::SITE_NAME).await?;
        site.ok_or_else(|| {
            Error::Blocked("the Site object `site` does not exist; install the chart or create it".into())
        })
    }

    /// Settings for planning.
    ///
    /// # Errors
    /// As [`Ctx::site`].
    pub async fn settings(&self) -> Result<Settings> {
        let site = self.site().await?;
        let database_priority_class = self.database_priority_class.clone();
        let settings = Settings::new(&site, &self.system_namespace, &self.agent_image, &self.service_account);
        Ok(Settings { database_priority_class, ..settings })
    }

    /// A Plan.
    ///
    /// # Errors
    /// [`Error::Kube`].
    pub async fn plan(&self, name: &str) -> Result<Option<Plan>> {
        self.look(self.caches.as_ref().map(|c| &c.plans), name).await
    }

    /// A Blueprint.
    ///
    /// # Errors
    /// [`Error::Kube`].
    pub async fn blueprint(&self, name: &str) -> Result<Option<Blueprint>> {
        self.look(self.caches.as_ref().map(|c| &c.blueprints), name).await
    }

    /// A Tenant.
    ///
    /// # Errors
    /// [`Error::Kube`].
    pub async fn tenant(&self, name: &str) -> Result<Option<Tenant>> {
        self.look(self.caches.as_ref().map(|c| &c.tenants), name).await
    }

    /// A DatabaseServer.
    ///
    /// # Errors
    /// [`Error::Kube`].
    pub async fn database_server(&self, name: &str) -> Result<Option<DatabaseServer>> {
        self.look(self.caches.as_ref().map(|c| &c.servers), name).await
    }

    /// All DatabaseServers.
    ///
    /// # Errors
    /// [`Error::Kube`].
    pub async fn database_servers(&self) -> Result<Vec<DatabaseServer>> {
        if let Some(caches) = &self.caches {
            // An empty list would cut every tenant off from its database.
            let mut full = caches.servers_full.clone();
            let waited = full.wait_for(|full| *full).await;
            waited.map_err(|e| Error::Blocked(format!("the list of database servers is not there: {e}")))?;
            return Ok(caches.servers.state().iter().map(|s| (**s).clone()).collect());
        }
        let api: Api<DatabaseServer> = Api::all(self.client.clone());
        let list = api.list(&Default::default()).await.map_err(Error::kube("list database servers"))?;
        Ok(list.items)
    }

    /// Host and port at which this process reaches a server. A managed server is reached by the address of its Service,
    /// which works inside and outside of the cluster's DNS.
    ///
    /// # Errors
    /// [`Error::Blocked`] while the Service has no address.
    pub async fn reach(&self, object: &DatabaseServer, settings: &Settings) -> Result<(String, u16)> {
        let (host, port) = server::address(object, settings);
        if object.spec.external.is_some() {
            return Ok((host, port));
        }
        let name = server::object_name(&object.name_any());
        let ip = self.service_ip(&self.system_namespace, &name).await?;
        Ok((ip, port))
    }

    /// The address of a Service inside the cluster.
    ///
    /// # Errors
    /// [`Error::Blocked`] while the Service has no address.
    pub async fn service_ip(&self, namespace: &str, name: &str) -> Result<String> {
        let api: Api<Service> = Api::namespaced(self.client.clone(), namespace);
        let service = api.get_opt(name).await.map_err(Error::kube(format!("get Service {namespace}/{name}")))?;
        let ip = service.and_then(|s| s.spec).and_then(|s| s.cluster_ip).filter(|ip| !ip.is_empty() && ip != "None");
        ip.ok_or_else(|| Error::Blocked(format!("Service {namespace}/{name} has no address yet")))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kube::runtime::reflector;
    use kube::runtime::watcher::Event;
    use tenantry_core::calls::Open;

    use super::*;

    #[tokio::test]
    async fn all_who_wait_for_the_list_of_database_servers_at_a_start_go_on_when_it_is_there() {
        let (servers, mut cache) = reflector::store::<DatabaseServer>();
        let (are_there, servers_full) = tokio::sync::watch::channel(false);
        let (sites, plans, blueprints) = (reflector::store().0, reflector::store().0, reflector::store().0);
        let (tenants, instances) = (reflector::store().0, reflector::store().0);
        let caches = Caches { sites, plans, blueprints, servers, servers_full, tenants, instances };
        let nowhere = kube::Config::new("http://127.0.0.1:9".parse().unwrap());
        let client = Client::try_from(nowhere).unwrap();
        let ctx = Ctx { caches: Some(caches), ..Ctx::new(client, Arc::new(Open)) };
        let waiting: Vec<_> = (0..4)
            .map(|_| {
                let ctx = ctx.clone();
                tokio::spawn(async move { ctx.database_servers().await })
            })
            .collect();
        tokio::task::yield_now().await;
        assert!(waiting.iter().all(|w| !w.is_finished()), "an empty list would take its database from every tenant");
        cache.apply_watcher_event(&Event::Init);
        cache.apply_watcher_event(&Event::InitDone);
        are_there.send_replace(true);
        for waits in waiting {
            let found = tokio::time::timeout(Duration::from_secs(10), waits).await;
            assert!(found.expect("it waits for ever").unwrap().unwrap().is_empty());
        }
    }
}
