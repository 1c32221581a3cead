//! Watches of children and of what objects depend on; they wake the controllers. Does I/O (Kubernetes).

use std::sync::Arc;

use futures::{Stream, StreamExt};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use kube::api::{Api, DynamicObject};
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher::{self, Event};
use tenantry_api::archive::Archive;
use tenantry_api::crm_instance::{CrmInstance, InstancePhase};
use tenantry_api::database_server::DatabaseServer;
use tenantry_api::tenant::Tenant;
use tenantry_core::names;
use tenantry_plan::Kind;
use tokio::sync::mpsc::UnboundedSender;

use super::health::Health;
use crate::context::Ctx;

/// Ways to wake the controllers.
#[derive(Clone)]
pub struct Wake {
    /// Wakes a tenant.
    pub tenants: UnboundedSender<ObjectRef<Tenant>>,
    /// Wakes an instance.
    pub instances: UnboundedSender<ObjectRef<CrmInstance>>,
    /// Wakes a database server.
    pub servers: UnboundedSender<ObjectRef<DatabaseServer>>,
    /// Wakes an archive.
    pub archives: UnboundedSender<ObjectRef<Archive>>,
    /// All instances there are.
    pub all_instances: Store<CrmInstance>,
    /// All tenants there are.
    pub all_tenants: Store<Tenant>,
}

impl Wake {
    fn instance(&self, ctx: &Ctx, instance: &CrmInstance) {
        ctx.memory.unsettle(instance.metadata.uid.as_deref().unwrap_or_default());
        // A closed channel means that the process is ending.
        let _ = self.instances.send(ObjectRef::from_obj(instance));
    }

    /// Wakes the instances that a test picks.
    pub fn instances_where(&self, ctx: &Ctx, pick: impl Fn(&CrmInstance) -> bool) {
        for instance in self.all_instances.state().iter().filter(|i| pick(i)) {
            self.instance(ctx, instance);
        }
    }

    /// Wakes the tenants that a test picks.
    pub fn tenants_where(&self, pick: impl Fn(&Tenant) -> bool) {
        for tenant in self.all_tenants.state().iter().filter(|t| pick(t)) {
            let _ = self.tenants.send(ObjectRef::from_obj(&**tenant));
        }
    }

    /// Wakes everything: a watch may have missed something.
    pub fn all(&self, ctx: &Ctx) {
        ctx.memory.unsettle_all();
        self.tenants_where(|_| true);
        self.instances_where(ctx, |_| true);
    }

    /// Wakes the owner of a child, which its labels name.
    fn owner(&self, ctx: &Ctx, meta: &ObjectMeta) {
        let labels = meta.labels.clone().unwrap_or_default();
        let get = |key: &str| labels.get(key).map(String::as_str);
        if let (Some(name), Some(ns)) = (get(names::LABEL_INSTANCE), meta.namespace.as_deref()) {
            let namespace = match get(names::LABEL_TENANT_ID) {
                // Host claims lie in the operator's namespace.
                Some(id) if ns == ctx.system_namespace => format!("tenant-{id}"),
                _ => ns.to_owned(),
            };
            let reference = ObjectRef::<CrmInstance>::new(name).within(&namespace);
            match self.all_instances.get(&reference) {
                Some(instance) => self.instance(ctx, &instance),
                None => drop(self.instances.send(reference)),
            }
        } else if let Some(name) = get(names::LABEL_TENANT) {
            let _ = self.tenants.send(ObjectRef::new(name));
        } else if get("tenantry.dev/template").is_some() {
            self.instances_where(ctx, |i| !settled(i));
        } else if let Some(name) = get(names::LABEL_DATABASE_SERVER) {
            let _ = self.servers.send(ObjectRef::new(name));
        }
    }
}

fn settled(instance: &CrmInstance) -> bool {
    instance.status.as_ref().is_some_and(|s| matches!(s.phase, InstancePhase::Ready | InstancePhase::Suspended))
}

/// Kinds whose children are watched. Secrets are not: the operator may read them only inside its tenants'
/// namespaces, one at a time (DESIGN.md section 10).
const WATCHED: [Kind; 12] = [
    Kind::Namespace,
    Kind::NetworkPolicy,
    Kind::ResourceQuota,
    Kind::LimitRange,
    Kind::RoleBinding,
    Kind::PersistentVolumeClaim,
    Kind::Deployment,
    Kind::StatefulSet,
    Kind::Service,
    Kind::Ingress,
    Kind::CronJob,
    Kind::Job,
];

/// Starts all watches of children.
pub fn children(ctx: &Arc<Ctx>, wake: &Wake, health: &Arc<Health>) {
    for kind in WATCHED {
        let api: Api<PartialObjectMeta<DynamicObject>> = Api::all_with(ctx.client.clone(), &kind.api());
        let config = watcher::Config::default().labels(&format!("{}={}", names::LABEL_MANAGED_BY, names::MANAGED_BY));
        let stream = watcher::watcher(api, config).default_backoff();
        let (ctx, wake, health) = (ctx.clone(), wake.clone(), health.clone());
        tokio::spawn(async move {
            let mut first = true;
            let mut stream = std::pin::pin!(stream);
            while let Some(event) = stream.next().await {
                health.watch(&kind.api().plural, event.is_ok());
                match event {
                    Ok(Event::Init) => {
                        if !first {
                            ctx.memory.forget_kind(kind);
                        }
                    }
                    Ok(Event::InitDone) => {
                        if !first {
                            wake.all(&ctx);
                        }
                        first = false;
                    }
                    Ok(Event::InitApply(object) | Event::Apply(object)) => {
                        if ctx.memory.observe(kind, &object.metadata, false) {
                            wake.owner(&ctx, &object.metadata);
                        }
                    }
                    Ok(Event::Delete(object)) => {
                        ctx.memory.observe(kind, &object.metadata, true);
                        wake.owner(&ctx, &object.metadata);
                    }
                    Err(error) => tracing::warn!(%error, kind = %kind.api().kind, "a watch failed; it is renewed"),
                }
            }
        });
    }
}

/// Starts a watch of what objects depend on; `woken` wakes them for every change of a generation.
pub fn dependency<K, F>(
    name: &'static str,
    stream: impl Stream<Item = watcher::Result<Event<K>>> + Send + 'static,
    health: &Arc<Health>,
    woken: F,
) where
    K: kube::Resource + Clone + Send + Sync + 'static,
    F: Fn(&K, bool) + Send + 'static,
{
    let health = health.clone();
    tokio::spawn(async move {
        let mut stream = std::pin::pin!(stream.default_backoff());
        while let Some(event) = stream.next().await {
            health.watch(name, event.is_ok());
            match event {
                Ok(Event::Apply(object)) => woken(&object, false),
                Ok(Event::Delete(object)) => woken(&object, true),
                Ok(Event::Init | Event::InitApply(_) | Event::InitDone) => {}
                Err(error) => tracing::warn!(%error, watch = name, "a watch failed; it is renewed"),
            }
        }
    });
}

/// Wakes what depends on tenants, servers, plans, blueprints and the Site.
pub fn dependencies(ctx: &Arc<Ctx>, wake: &Wake, health: &Arc<Health>) {
    let client = &ctx.client;
    let config = watcher::Config::default;
    let generations: Arc<std::sync::Mutex<std::collections::HashMap<String, i64>>> = Arc::default();
    // A status is written more often than a spec; only specs concern others.
    let changed = move |uid: Option<String>, generation: Option<i64>| {
        let mut all = generations.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let generation = generation.unwrap_or_default();
        all.insert(uid.unwrap_or_default(), generation) != Some(generation)
    };
    let changed = Arc::new(changed);

    let (c, w, seen) = (ctx.clone(), wake.clone(), changed.clone());
    let api: Api<Tenant> = Api::all(client.clone());
    dependency("tenants", kube::runtime::watcher(api, config()), health, move |t: &Tenant, gone| {
        if gone || seen(t.uid(), t.metadata.generation) {
            let name = t.name_any();
            w.instances_where(&c, |i| i.spec.tenant == name);
        }
    });
    let (c, w) = (ctx.clone(), wake.clone());
    let api: Api<DatabaseServer> = Api::all(client.clone());
    let ready: Arc<std::sync::Mutex<std::collections::HashMap<String, bool>>> = Arc::default();
    dependency("databaseservers", kube::runtime::watcher(api, config()), health, move |s: &DatabaseServer, gone| {
        let now = !gone
            && s.status
                .as_ref()
                .is_some_and(|st| st.phase == tenantry_api::database_server::DatabaseServerPhase::Ready);
        let mut all = ready.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if all.insert(s.name_any(), now) != Some(now) {
            w.instances_where(&c, |i| !settled(i));
            // Network rules name the servers.
            w.tenants_where(|_| true);
        }
    });
    let (c, w, seen) = (ctx.clone(), wake.clone(), changed.clone());
    let api: Api<tenantry_api::blueprint::Blueprint> = Api::all(client.clone());
    dependency(
        "blueprints",
        kube::runtime::watcher(api, config()),
        health,
        move |b: &tenantry_api::blueprint::Blueprint, gone| {
            if !gone && seen(b.uid(), b.metadata.generation) {
                let name = b.name_any();
                w.instances_where(&c, |i| i.spec.blueprint == name && !settled(i));
            }
        },
    );
    let w = wake.clone();
    let api: Api<PartialObjectMeta<CrmInstance>> = Api::all(client.clone());
    dependency(
        "instances",
        kube::runtime::watcher(api, config()),
        health,
        move |i: &PartialObjectMeta<CrmInstance>, gone| {
            if gone && let Some(tenant) = i.metadata.labels.as_ref().and_then(|l| l.get(names::LABEL_TENANT)) {
                let _ = w.tenants.send(ObjectRef::new(tenant));
            }
            if gone && let Some(id) = i.metadata.namespace.as_deref().and_then(|ns| ns.strip_prefix("tenant-")) {
                w.tenants_where(|t| t.spec.id.as_deref() == Some(id));
            }
        },
    );
    let w = wake.clone();
    let api: Api<Archive> = Api::all(client.clone());
    dependency("archives", kube::runtime::watcher(api, config()), health, move |a: &Archive, _| {
        let _ = w.archives.send(ObjectRef::from_obj(a));
    });
}
