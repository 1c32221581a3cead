//! Watches of our own kinds. An object that cannot be read does not end the watch for all others. Does I/O
//! (Kubernetes).

use std::collections::HashSet;
use std::fmt::Debug;
use std::sync::Arc;

use futures::{Stream, StreamExt, future};
use kube::Resource;
use kube::api::Api;
use kube::core::{DeserializeGuard, ObjectMeta};
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher::{self, Event, watcher};
use kube::runtime::{WatchStreamExt, reflector};
use serde::de::DeserializeOwned;

use super::health::Health;
use super::metrics::KindLabels;
use crate::archive::PAGE;
use crate::context::Ctx;

/// The cache of a watched kind: what reads it, and what fills it.
pub type Watched<K> = (reflector::Store<K>, Writer<K>);

/// What happens to an object that could be read before and cannot be read any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenUnreadable {
    /// The last version that could be read stays, because others depend on it. Without a DatabaseServer every tenant
    /// would lose the connection to it; without its Plan or Blueprint nothing could be planned.
    KeepLast,
    /// The object counts as gone and nothing is done for it: acting on a version that is no longer true would undo what
    /// a person did meanwhile, such as a suspension or a requested purge.
    LeaveAlone,
}

/// A watch of all objects of a kind: fills the cache, reports to `health` how it goes and to `told` what happened, in
/// this order, and yields every object that is new or changed.
pub fn watch<K>(
    ctx: &Arc<Ctx>,
    cache: Writer<K>,
    health: &Arc<Health>,
    then: WhenUnreadable,
    mut told: impl FnMut(&Event<K>) + Send + 'static,
) -> impl Stream<Item = Result<K, watcher::Error>> + Send + 'static
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let (health, metrics, memory) = (health.clone(), ctx.metrics.clone(), ctx.memory.clone());
    let mut sight = Sight::new(cache.as_reader(), then);
    let api = Api::<DeserializeGuard<K>>::all(ctx.client.clone());
    let name = K::plural(&());
    watcher(api, watcher::Config::default().page_size(PAGE))
        .filter_map(move |event| {
            let event = event.map(|e| sight.sort_out(e));
            let kind = K::kind(&()).into_owned();
            memory.cannot_read(&kind, &sight.unknown);
            let gauge = metrics.unreadable.get_or_create(&KindLabels { kind });
            gauge.set(i64::try_from(sight.unreadable.len()).unwrap_or(i64::MAX));
            future::ready(event.transpose())
        })
        .default_backoff()
        // The record of who wrote which field is of no use here, and is as long as the object.
        .modify(|object| object.meta_mut().managed_fields = None)
        .reflect(cache)
        .inspect(move |event| {
            health.watch(&name, event.is_ok());
            if let Ok(event) = event {
                told(event);
            }
        })
        .applied_objects()
}

/// Which objects of a kind can be read, and which cannot.
struct Sight<K: Resource<DynamicType = ()> + Clone + 'static> {
    /// The last versions that could be read.
    cache: Store<K>,
    then: WhenUnreadable,
    /// Objects that cannot be read.
    unreadable: HashSet<String>,
    /// Unreadable objects for which no earlier version is used instead.
    unknown: HashSet<String>,
    /// Unreadable objects seen so far in the list that is being received.
    listed: HashSet<String>,
}

impl<K: Resource<DynamicType = ()> + Clone + 'static> Sight<K> {
    fn new(cache: Store<K>, then: WhenUnreadable) -> Self {
        Self { cache, then, unreadable: HashSet::new(), unknown: HashSet::new(), listed: HashSet::new() }
    }

    /// The event with the object itself, or with the version that replaces an object that cannot be read. None means
    /// that there is nothing to report.
    fn sort_out(&mut self, event: Event<DeserializeGuard<K>>) -> Option<Event<K>> {
        match event {
            Event::Init => {
                self.listed.clear();
                Some(Event::Init)
            }
            Event::InitApply(object) => match self.read(object) {
                Ok(object) => Some(Event::InitApply(object)),
                // A list replaces the whole cache: an object that it does not contain is gone.
                Err(last) => self.stands(last, WhenUnreadable::KeepLast).map(Event::InitApply),
            },
            Event::InitDone => {
                self.unreadable = std::mem::take(&mut self.listed);
                self.unknown.retain(|name| self.unreadable.contains(name));
                Some(Event::InitDone)
            }
            Event::Apply(object) => match self.read(object) {
                Ok(object) => Some(Event::Apply(object)),
                Err(last) => self.stands(last, WhenUnreadable::LeaveAlone).map(Event::Delete),
            },
            Event::Delete(object) => {
                self.forget(&full_name(object.meta()));
                let last = self.last(object.meta());
                object.0.ok().or_else(|| last.map(|l| (*l).clone())).map(Event::Delete)
            }
        }
    }

    fn stands(&self, last: Option<Arc<K>>, then: WhenUnreadable) -> Option<K> {
        last.filter(|_| self.then == then).map(|l| (*l).clone())
    }

    /// The object or, if it cannot be read, the last version of it that could be read.
    fn read(&mut self, object: DeserializeGuard<K>) -> Result<K, Option<Arc<K>>> {
        let invalid = match object.0 {
            Ok(object) => {
                self.forget(&full_name(object.meta()));
                return Ok(object);
            }
            Err(invalid) => invalid,
        };
        let (name, last) = (full_name(&invalid.metadata), self.last(&invalid.metadata));
        let error = invalid.error;
        if last.is_some() && self.then == WhenUnreadable::KeepLast {
            tracing::error!(kind = %K::kind(&()), object = %name, %error, "this object cannot be read: its last version that could be read holds until it is corrected");
        } else {
            tracing::error!(kind = %K::kind(&()), object = %name, %error, "this object cannot be read: it is left alone until it is corrected; all others go on");
            self.unknown.insert(name.clone());
        }
        self.listed.insert(name.clone());
        self.unreadable.insert(name);
        Err(last)
    }

    fn last(&self, meta: &ObjectMeta) -> Option<Arc<K>> {
        let mut reference = ObjectRef::new(meta.name.as_deref().unwrap_or_default());
        reference.namespace.clone_from(&meta.namespace);
        self.cache.get(&reference)
    }

    fn forget(&mut self, name: &str) {
        self.unreadable.remove(name);
        self.unknown.remove(name);
        self.listed.remove(name);
    }
}

fn full_name(meta: &ObjectMeta) -> String {
    match &meta.namespace {
        Some(namespace) => format!("{namespace}/{}", meta.name.as_deref().unwrap_or_default()),
        None => meta.name.clone().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tenantry_api::tenant::Tenant;

    use super::*;

    /// A cache that is filled as the watch would fill it.
    struct World {
        sight: Sight<Tenant>,
        cache: Writer<Tenant>,
    }

    impl World {
        fn new(then: WhenUnreadable) -> Self {
            let (reader, cache) = reflector::store();
            let mut world = Self { sight: Sight::new(reader, then), cache };
            world.list(&[tenant("a")]);
            world
        }

        /// Handles an event and returns what the rest of the operator is told.
        fn tell(&mut self, event: Event<DeserializeGuard<Tenant>>) -> Option<&'static str> {
            let told = self.sight.sort_out(event)?;
            self.cache.apply_watcher_event(&told);
            Some(match told {
                Event::Apply(_) => "changed",
                Event::Delete(_) => "gone",
                Event::Init | Event::InitApply(_) | Event::InitDone => "listed",
            })
        }

        fn list(&mut self, all: &[Value]) {
            self.tell(Event::Init);
            for object in all {
                self.tell(Event::InitApply(guard(object)));
            }
            self.tell(Event::InitDone);
        }

        fn known(&self) -> usize {
            self.cache.as_reader().state().len()
        }

        fn unknown(&self) -> Vec<&str> {
            self.sight.unknown.iter().map(String::as_str).collect()
        }
    }

    fn tenant(plan: &str) -> Value {
        json!({ "apiVersion": "tenantry.dev/v1alpha1", "kind": "Tenant", "metadata": { "name": "acme" }, "spec": { "plan": plan } })
    }

    fn broken() -> Value {
        let mut object = tenant("a");
        object["spec"]["seats"] = 5_000_000_000_u64.into();
        object
    }

    fn guard(object: &Value) -> DeserializeGuard<Tenant> {
        serde_json::from_value(object.clone()).unwrap()
    }

    #[test]
    fn what_is_acted_on_counts_as_gone_while_it_cannot_be_read() {
        let mut world = World::new(WhenUnreadable::LeaveAlone);
        assert_eq!(world.tell(Event::Apply(guard(&broken()))), Some("gone"));
        assert_eq!((world.known(), world.unknown()), (0, vec!["acme"]));
        assert_eq!(world.tell(Event::Apply(guard(&broken()))), None, "told once");
        world.list(&[broken()]);
        assert_eq!((world.known(), world.sight.unreadable.len()), (0, 1));
        assert_eq!(world.tell(Event::Apply(guard(&tenant("b")))), Some("changed"));
        assert_eq!((world.known(), world.unknown()), (1, vec![]));
    }

    #[test]
    fn what_others_depend_on_stays_as_it_could_last_be_read_even_through_a_new_list() {
        let mut world = World::new(WhenUnreadable::KeepLast);
        assert_eq!(world.tell(Event::Apply(guard(&broken()))), None);
        assert_eq!((world.known(), world.sight.unreadable.len(), world.unknown()), (1, 1, vec![]));
        world.list(&[broken()]);
        assert_eq!((world.known(), world.sight.unreadable.len(), world.unknown()), (1, 1, vec![]));
        assert_eq!(world.tell(Event::Delete(guard(&broken()))), Some("gone"), "it is really gone");
        assert_eq!((world.known(), world.sight.unreadable.len()), (0, 0));
    }

    #[test]
    fn what_was_never_read_is_known_to_be_unknown_until_a_list_without_it() {
        let mut world = World::new(WhenUnreadable::KeepLast);
        world.list(&[]);
        world.list(&[broken()]);
        assert_eq!((world.known(), world.unknown()), (0, vec!["acme"]));
        world.tell(Event::Init);
        assert_eq!(world.unknown(), ["acme"], "while it lists, nothing is forgotten");
        world.tell(Event::InitDone);
        assert_eq!(world.unknown(), Vec::<&str>::new());
    }
}
