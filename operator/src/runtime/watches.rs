//! What wakes the controllers: watches of children, and changes of what objects depend on. Does I/O (Kubernetes).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use kube::api::{Api, DynamicObject};
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher::{self, Event};
use tenantry_api::blueprint::Blueprint;
use tenantry_api::crm_instance::{CrmInstance, InstancePhase};
use tenantry_api::database_server::{DatabaseServer, DatabaseServerPhase};
use tenantry_api::plan::Plan;
use tenantry_api::site::Site;
use tenantry_api::tenant::{Tenant, TenantPhase};
use tenantry_core::id::Id;
use tenantry_core::names;
use tenantry_plan::Kind;
use tokio::sync::mpsc::UnboundedSender;

use super::health::Health;
use crate::archive::Entry;
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
    pub archives: UnboundedSender<ObjectRef<Entry>>,
    /// All instances there are.
    pub all_instances: Store<CrmInstance>,
    /// All tenants there are.
    pub all_tenants: Store<Tenant>,
    /// All archives there are.
    pub all_archives: Store<Entry>,
}

impl Wake {
    fn instance(&self, ctx: &Ctx, instance: &CrmInstance) {
        ctx.memory.unsettle(instance.metadata.uid.as_deref().unwrap_or_default());
        // A closed channel means that the process is ending.
        let _ = self.instances.send(ObjectRef::from_obj(instance));
    }

    /// Wakes the instances that `pick` selects.
    pub fn instances_where(&self, ctx: &Ctx, pick: impl Fn(&CrmInstance) -> bool) {
        for instance in self.all_instances.state().iter().filter(|i| pick(i)) {
            self.instance(ctx, instance);
        }
    }

    /// Wakes the tenants that `pick` selects.
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

    /// Wakes the owner of a child; the labels of the child name the owner.
    pub fn owner(&self, ctx: &Ctx, meta: &ObjectMeta) {
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

/// Starts all watches of children.
pub fn children(ctx: &Arc<Ctx>, wake: &Wake, health: &Arc<Health>) {
    for kind in Kind::ALL.into_iter().filter(|k| k.is_watched()) {
        let api = Api::all_with(ctx.client.clone(), &kind.api());
        let config = watcher::Config::default().labels(&format!("{}={}", names::LABEL_MANAGED_BY, names::MANAGED_BY));
        let (c, w) = (ctx.clone(), wake.clone());
        let each = move |told: Told<'_>| match told {
            Told::Listed(meta) | Told::Changed(meta) => {
                if c.memory.children.observe(kind, meta, false) {
                    w.owner(&c, meta);
                }
            }
            Told::Gone(meta) => {
                c.memory.children.observe(kind, meta, true);
                w.owner(&c, meta);
            }
        };
        follow(ctx, wake, health, Watch { kind, api, config, whole: true }, each);
    }
}

/// A watch of the metadata of objects that the operator created.
pub(super) struct Watch {
    /// Kind of the objects.
    pub kind: Kind,
    /// Where they lie.
    pub api: Api<PartialObjectMeta<DynamicObject>>,
    /// Which of the objects are reported.
    pub config: watcher::Config,
    /// Whether this watch covers every object of the kind, so that absence from it means that an object does not exist.
    pub whole: bool,
}

/// What a watch reports about one object.
pub(super) enum Told<'a> {
    /// It existed when the watch began, for the first time or again.
    Listed(&'a ObjectMeta),
    /// It was created or changed.
    Changed(&'a ObjectMeta),
    /// It is gone.
    Gone(&'a ObjectMeta),
}

/// Follows a watch for as long as the process lives. A watch that began again may have missed something: what is
/// remembered about the kind is forgotten, and everything is looked at.
pub(super) fn follow(
    ctx: &Arc<Ctx>,
    wake: &Wake,
    health: &Arc<Health>,
    watch: Watch,
    each: impl Fn(Told<'_>) + Send + 'static,
) {
    let Watch { kind, api, config, whole } = watch;
    let stream = watcher::watcher(api, config).default_backoff();
    let (ctx, wake, health) = (ctx.clone(), wake.clone(), health.clone());
    tokio::spawn(async move {
        let mut first = true;
        let mut stream = std::pin::pin!(stream);
        while let Some(event) = stream.next().await {
            health.watch(&kind.api().plural, event.is_ok());
            match event {
                Ok(Event::Init) => {
                    if whole {
                        ctx.memory.children.watch_begins(kind);
                    }
                    if !first {
                        ctx.memory.children.forget_kind(kind);
                    }
                }
                Ok(Event::InitDone) => {
                    if whole {
                        ctx.memory.children.watch_is_whole(kind);
                    }
                    if !first {
                        wake.all(&ctx);
                    }
                    first = false;
                }
                Ok(Event::InitApply(object)) => each(Told::Listed(&object.metadata)),
                Ok(Event::Apply(object)) => each(Told::Changed(&object.metadata)),
                Ok(Event::Delete(object)) => each(Told::Gone(&object.metadata)),
                Err(error) => tracing::warn!(%error, kind = %kind.api().kind, "a watch failed; it is renewed"),
            }
        }
    });
}

/// Turns the events of a watch into calls: `changed` for every change (true when the object is gone), `anew` when the
/// watch began again and may have missed something. The first filling of the cache causes neither call.
fn told<K>(changed: impl Fn(&K, bool), anew: impl Fn()) -> impl FnMut(&Event<K>) {
    let mut full = false;
    move |event| match event {
        Event::Apply(object) => changed(object, false),
        Event::Delete(object) => changed(object, true),
        Event::InitDone if full => anew(),
        Event::InitDone => full = true,
        Event::Init | Event::InitApply(_) => {}
    }
}

/// The part of each object that concerns others, as it was last time: a status is written more often than this part
/// changes.
struct Last<T>(Mutex<HashMap<String, T>>);

impl<T: PartialEq> Last<T> {
    fn new() -> Self {
        Self(Mutex::default())
    }

    /// Whether this part differs from last time. None means that the object is gone, which always concerns others.
    fn differs<K: kube::Resource>(&self, object: &K, now: Option<T>) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let uid = uid(object);
        match now {
            Some(now) if all.get(&uid) == Some(&now) => false,
            Some(now) => {
                all.insert(uid, now);
                true
            }
            None => {
                all.remove(&uid);
                true
            }
        }
    }
}

impl Last<i64> {
    /// Whether the spec has changed since last time.
    fn changed<K: kube::Resource>(&self, object: &K, gone: bool) -> bool {
        self.differs(object, (!gone).then(|| object.meta().generation.unwrap_or_default()))
    }
}

fn uid<K: kube::Resource>(object: &K) -> String {
    object.meta().uid.clone().unwrap_or_default()
}

fn id(text: Option<&str>) -> Option<Id> {
    text.and_then(|id| Id::parse(id).ok())
}

/// The part of a database server that concerns others: whether it is ready, and its spec, whose addresses and ports are
/// in the network rules of tenants.
fn concern(server: &DatabaseServer) -> (bool, i64) {
    let ready = server.status.as_ref().is_some_and(|s| s.phase == DatabaseServerPhase::Ready);
    (ready, server.metadata.generation.unwrap_or_default())
}

impl Wake {
    fn anew(&self, ctx: &Arc<Ctx>) -> impl Fn() + Send + 'static {
        let (wake, ctx) = (self.clone(), ctx.clone());
        move || wake.all(&ctx)
    }

    /// A Site concerns everything.
    pub fn by_site(&self, ctx: &Arc<Ctx>) -> impl FnMut(&Event<Site>) + Send + 'static {
        let (wake, c, generations) = (self.clone(), ctx.clone(), Last::<i64>::new());
        let credentials = Last::<Option<String>>::new();
        let changed = move |site: &Site, gone: bool| {
            let versions = site.status.as_ref().and_then(|s| s.image_pull_secrets.clone());
            let other = credentials.differs(site, (!gone).then_some(versions));
            if generations.changed(site, gone) {
                wake.all(&c);
            } else if other {
                // New passwords of registries are copied to tenants, and restart nothing.
                wake.tenants_where(|_| true);
            }
        };
        told(changed, self.anew(ctx))
    }

    /// A Plan concerns tenants and instances that were never set up because it was missing.
    pub fn by_plan(&self, ctx: &Arc<Ctx>) -> impl FnMut(&Event<Plan>) + Send + 'static {
        let (wake, c) = (self.clone(), ctx.clone());
        let changed = move |_: &Plan, _| {
            wake.tenants_where(|t| t.status.as_ref().is_none_or(|s| s.namespace.is_none()));
            wake.instances_where(&c, |i| i.status.as_ref().is_none_or(|s| s.installed_at.is_none()));
        };
        told(changed, self.anew(ctx))
    }

    /// A Tenant concerns its instances. A tenant that is gone is forgotten.
    pub fn by_tenant(&self, ctx: &Arc<Ctx>) -> impl FnMut(&Event<Tenant>) + Send + 'static {
        let (wake, c, generations) = (self.clone(), ctx.clone(), Last::<i64>::new());
        let changed = move |tenant: &Tenant, gone| {
            if gone && let Some(id) = id(tenant.spec.id.as_deref()) {
                c.memory.forget_tenant(&uid(tenant), &names::namespace(&id));
            }
            if generations.changed(tenant, gone) {
                let name = tenant.name_any();
                wake.instances_where(&c, |i| i.spec.tenant == name);
            }
        };
        told(changed, self.anew(ctx))
    }

    /// A DatabaseServer that becomes ready, is no longer ready, or has another spec concerns the instances that wait
    /// for a server or have data on this one, and the network rules.
    pub fn by_server(&self, ctx: &Arc<Ctx>) -> impl FnMut(&Event<DatabaseServer>) + Send + 'static {
        let (wake, c, last) = (self.clone(), ctx.clone(), Last::new());
        let changed = move |server: &DatabaseServer, gone: bool| {
            if gone {
                c.memory.forget_object(&uid(server));
            }
            if last.differs(server, (!gone).then(|| concern(server))) {
                // Instances that wait for a place, and instances whose data is on this server.
                let name = server.name_any();
                let lies_there = |i: &CrmInstance| {
                    i.status.as_ref().and_then(|s| s.database.as_ref()).is_some_and(|d| d.server == name)
                };
                wake.instances_where(&c, |i| !settled(i) || lies_there(i));
                wake.tenants_where(|_| true);
            }
        };
        told(changed, self.anew(ctx))
    }

    /// A Blueprint concerns the instances that are not set up yet; the others have pinned their release.
    pub fn by_blueprint(&self, ctx: &Arc<Ctx>) -> impl FnMut(&Event<Blueprint>) + Send + 'static {
        let (wake, c, generations) = (self.clone(), ctx.clone(), Last::<i64>::new());
        let changed = move |blueprint: &Blueprint, gone| {
            if generations.changed(blueprint, gone) && !gone {
                let name = blueprint.name_any();
                wake.instances_where(&c, |i| i.spec.blueprint == name && !settled(i));
            }
        };
        told(changed, self.anew(ctx))
    }

    /// An instance that is gone is forgotten. It concerns its tenant, which may be waiting for its archiving.
    pub fn by_instance(&self, ctx: &Arc<Ctx>) -> impl FnMut(&Event<CrmInstance>) + Send + 'static {
        let (wake, c) = (self.clone(), ctx.clone());
        let changed = move |instance: &CrmInstance, gone| {
            if gone {
                if let Some(id) = id(instance.spec.id.as_deref()) {
                    c.memory.forget_instance(&uid(instance), &instance.namespace().unwrap_or_default(), &id);
                }
                crate::instance::call_next(&c, &uid(instance));
            }
            let tenant = ObjectRef::new(&instance.spec.tenant);
            // A tenant's suspension, and its end, are reported and billed according to the reports of its instances.
            if gone || wake.all_tenants.get(&tenant).is_some_and(|t| is_changing(&t)) {
                let _ = wake.tenants.send(tenant);
            }
        };
        told(changed, self.anew(ctx))
    }

    /// An Archive concerns the other archives of its tenant: the tenant's own archive is purged last.
    pub fn by_archive(&self, ctx: &Arc<Ctx>) -> impl FnMut(&Event<Entry>) + Send + 'static {
        let (wake, c) = (self.clone(), ctx.clone());
        let changed = move |archive: &Entry, gone| {
            if gone {
                c.memory.forget_object(&uid(archive));
            }
            for other in wake.all_archives.state() {
                if other.spec.tenant_id == archive.spec.tenant_id && other.name_any() != archive.name_any() {
                    let _ = wake.archives.send(ObjectRef::from_obj(&*other));
                }
            }
        };
        told(changed, self.anew(ctx))
    }
}

/// Whether a tenant is being suspended or resumed, and so waits for its instances.
fn is_changing(tenant: &Tenant) -> bool {
    tenant.status.as_ref().is_some_and(|s| tenant.spec.suspended != (s.phase == TenantPhase::Suspended))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_tenant_waits_for_its_instances_while_it_is_not_yet_what_it_should_be() {
        let tenant = |suspended: bool, phase: &str| -> Tenant {
            serde_json::from_value(json!({
                "apiVersion": "tenantry.dev/v1alpha1", "kind": "Tenant", "metadata": { "name": "acme" },
                "spec": { "plan": "p", "suspended": suspended }, "status": { "phase": phase },
            }))
            .unwrap()
        };
        assert!(is_changing(&tenant(true, "Active")) && is_changing(&tenant(false, "Suspended")));
        assert!(!is_changing(&tenant(true, "Suspended")) && !is_changing(&tenant(false, "Active")));
    }

    fn server(generation: i64, phase: &str, databases: u32) -> DatabaseServer {
        serde_json::from_value(json!({
            "apiVersion": "tenantry.dev/v1alpha1", "kind": "DatabaseServer",
            "metadata": { "name": "pg-1", "uid": "u", "generation": generation },
            "spec": { "engine": "postgresql", "external": { "host": "db.example", "secretName": "s" } },
            "status": { "phase": phase, "databases": databases },
        }))
        .unwrap()
    }

    #[test]
    fn a_server_concerns_others_when_it_becomes_ready_and_when_its_spec_changes() {
        let last = Last::new();
        let told = |object: &DatabaseServer| last.differs(object, Some(concern(object)));
        assert!(told(&server(1, "Ready", 1)));
        assert!(!told(&server(1, "Ready", 2)), "a figure of its status concerns nobody");
        assert!(told(&server(2, "Ready", 2)), "other addresses for the network rules");
        assert!(told(&server(2, "Unreachable", 2)));
        assert!(last.differs(&server(2, "Ready", 2), None), "gone");
        assert!(last.0.lock().unwrap().is_empty());
    }
}
