//! The process: waits for the definitions, leads, keeps the caches, runs the controllers. Does I/O.

use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{StreamExt, future, stream};
use jiff::Timestamp;
use kube::api::{Api, ListParams};
use kube::core::DynamicObject;
use kube::runtime::controller::{Action, Controller};
use kube::runtime::reflector::{self, ObjectRef};
use kube::runtime::watcher::Event;
use kube::{Client, Resource};
use serde::de::DeserializeOwned;
use tenantry_api::billing_event::BillingEvent;
use tenantry_api::blueprint::Blueprint;
use tenantry_api::crm_instance::CrmInstance;
use tenantry_api::database_server::DatabaseServer;
use tenantry_api::plan::Plan;
use tenantry_api::site::Site;
use tenantry_api::tenant::Tenant;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::claims;
use super::figures::Figures;
use super::health::Health;
use super::metrics::{ControllerLabels, ReconcileLabels};
use super::sight::WhenUnreadable::{KeepLast, LeaveAlone};
use super::sight::{Watched, watch};
use super::traces;
use super::watches::{self, Wake};
use crate::archive::Entry;
use crate::context::{Caches, Ctx};
use crate::error::{Error, Result};

/// Objects of one kind that are worked on at once. About eight keep two cores busy.
const CONCURRENCY: u16 = 16;
/// How often the API is asked whether it answers, when nothing else happens.
const HEARTBEAT: Duration = Duration::from_secs(60);

/// Waits until every kind is known to the API server; without the definitions nothing can be watched.
pub async fn wait_for_definitions(client: &Client, namespace: &str, health: &Health) {
    for crd in tenantry_api::definitions() {
        let kind = kube::core::ApiResource {
            group: crd.spec.group.clone(),
            version: tenantry_api::VERSION.into(),
            api_version: format!("{}/{}", crd.spec.group, tenantry_api::VERSION),
            kind: crd.spec.names.kind.clone(),
            plural: crd.spec.names.plural.clone(),
        };
        // The operator may see namespaced kinds such as BillingEvent in its own namespace only.
        let api: Api<DynamicObject> = match crd.spec.scope.as_str() {
            "Namespaced" => Api::namespaced_with(client.clone(), namespace, &kind),
            _ => Api::all_with(client.clone(), &kind),
        };
        loop {
            match api.list_metadata(&ListParams::default().limit(1)).await {
                Ok(_) => break,
                Err(error) => {
                    if matches!(error, kube::Error::Api(_)) {
                        // The API server answered: only the definition is missing, and a restart would not help.
                        health.sign_of_life();
                    }
                    tracing::warn!(kind = %kind.kind, %error, "waiting for the definition; install the chart tenantry-crds");
                    tokio::time::sleep(Duration::from_secs(2)).await;
                }
            }
        }
    }
}

/// Runs all controllers until the process is told to end.
///
/// # Errors
/// When a controller ends by itself.
pub async fn controllers(ctx: Ctx, health: Arc<Health>) -> Result<(), String> {
    let (sites, sites_cache): Watched<Site> = reflector::store();
    let (plans, plans_cache): Watched<Plan> = reflector::store();
    let (blueprints, blueprints_cache): Watched<Blueprint> = reflector::store();
    let (servers, servers_cache): Watched<DatabaseServer> = reflector::store();
    let (tenants, tenants_cache): Watched<Tenant> = reflector::store();
    let (instances, instances_cache): Watched<CrmInstance> = reflector::store();
    let (archives, archives_cache): Watched<Entry> = reflector::store();

    let (wake_tenants, tenants_woken) = unbounded_channel();
    let (wake_instances, instances_woken) = unbounded_channel();
    let (wake_servers, servers_woken) = unbounded_channel();
    let (wake_archives, archives_woken) = unbounded_channel();
    let wake = Wake {
        tenants: wake_tenants,
        instances: wake_instances,
        servers: wake_servers,
        archives: wake_archives,
        all_instances: instances.clone(),
        all_tenants: tenants.clone(),
        all_archives: archives.clone(),
    };
    let (servers_are_there, servers_full) = tokio::sync::watch::channel(false);
    let caches = Caches {
        sites: sites.clone(),
        plans: plans.clone(),
        blueprints: blueprints.clone(),
        servers: servers.clone(),
        servers_full,
        tenants: tenants.clone(),
        instances: instances.clone(),
    };
    let ctx = Arc::new(Ctx { caches: Some(caches), wake: Some(wake.instances.clone()), ..ctx });
    ctx.metrics.count(Figures {
        tenants: tenants.clone(),
        instances: instances.clone(),
        servers: servers.clone(),
        archives: archives.clone(),
    });
    let h = &health;
    let sites = Controller::for_stream(watch(&ctx, sites_cache, h, KeepLast, wake.by_site(&ctx)), sites);
    let blueprints =
        Controller::for_stream(watch(&ctx, blueprints_cache, h, KeepLast, wake.by_blueprint(&ctx)), blueprints);
    let mut by_server = wake.by_server(&ctx);
    let told_of_servers = move |event: &Event<DatabaseServer>| {
        if matches!(event, Event::InitDone) {
            servers_are_there.send_replace(true);
        }
        by_server(event);
    };
    let servers = Controller::for_stream(watch(&ctx, servers_cache, h, KeepLast, told_of_servers), servers);
    let tenants = Controller::for_stream(watch(&ctx, tenants_cache, h, LeaveAlone, wake.by_tenant(&ctx)), tenants);
    let instances =
        Controller::for_stream(watch(&ctx, instances_cache, h, LeaveAlone, wake.by_instance(&ctx)), instances);
    let archives = Controller::for_stream(watch(&ctx, archives_cache, h, LeaveAlone, wake.by_archive(&ctx)), archives);
    // Plans have no controller: only their cache is filled.
    tokio::spawn(watch(&ctx, plans_cache, h, KeepLast, wake.by_plan(&ctx)).for_each(|_| future::ready(())));
    plans.wait_until_ready().await.map_err(|e| format!("the cache of plans: {e}"))?;
    watches::children(&ctx, &wake, &health);
    claims::watch(&ctx, &wake, &health);
    heartbeat(&ctx, &health);
    health.set_ready(true);

    let each = tokio::join!(
        drive("site", sites, unbounded_channel().1, ctx.clone(), &health, |o, c, n| async move {
            crate::site::reconcile(o, &c, n).await
        }),
        drive("tenant", tenants, tenants_woken, ctx.clone(), &health, |o, c, n| async move {
            crate::tenant::reconcile(o, &c, n).await
        }),
        drive("instance", instances, instances_woken, ctx.clone(), &health, |o, c, n| async move {
            crate::instance::reconcile(o, &c, n).await
        }),
        drive("databaseserver", servers, servers_woken, ctx.clone(), &health, |o, c, n| async move {
            crate::server::reconcile(o, &c, n).await
        }),
        drive("blueprint", blueprints, unbounded_channel().1, ctx.clone(), &health, |o, c, n| async move {
            crate::blueprint::reconcile(o, &c, n).await
        }),
        drive("archive", archives, archives_woken, ctx.clone(), &health, |o, c, n| async move {
            crate::archive::turn(o, &c, n).await
        }),
    );
    let () = each.0;
    Ok(())
}

fn heartbeat(ctx: &Arc<Ctx>, health: &Arc<Health>) {
    let (ctx, health) = (ctx.clone(), health.clone());
    tokio::spawn(async move {
        loop {
            // Any request would do; this one counts the billing events that wait, without reading them.
            let api: Api<BillingEvent> = Api::namespaced(ctx.client.clone(), &ctx.system_namespace);
            if let Ok(page) = api.list_metadata(&ListParams::default().limit(1)).await {
                let rest = page.metadata.remaining_item_count.unwrap_or_default();
                ctx.metrics.billing_events.set(rest.saturating_add(i64::try_from(page.items.len()).unwrap_or(0)));
                health.sign_of_life();
            }
            tokio::time::sleep(HEARTBEAT).await;
        }
    });
}

async fn drive<K, F, Fut>(
    name: &'static str,
    controller: Controller<K>,
    woken: UnboundedReceiver<ObjectRef<K>>,
    ctx: Arc<Ctx>,
    health: &Arc<Health>,
    work: F,
) where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    F: Fn(Arc<K>, Arc<Ctx>, Timestamp) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Option<Duration>>> + Send + 'static,
{
    let wakes = stream::unfold(woken, |mut rx| async move { rx.recv().await.map(|o| (o, rx)) })
        // A channel that is closed must not end the controller.
        .chain(stream::pending());
    let health = health.clone();
    let config = kube::runtime::controller::Config::default().concurrency(CONCURRENCY);
    let reconcile = move |object: Arc<K>, ctx: Arc<Ctx>| {
        let work = work.clone();
        let health = health.clone();
        async move {
            let start = Instant::now();
            let pass = work(object.clone(), ctx.clone(), Timestamp::now());
            let (result, end) = traces::reconciled(name, object.meta(), pass).await;
            if result.is_ok() {
                health.sign_of_life();
            }
            let labels = ReconcileLabels { controller: name, result: end };
            ctx.metrics.reconciles.get_or_create(&labels).inc();
            let seconds = ctx.metrics.seconds.get_or_create(&ControllerLabels { controller: name });
            seconds.observe(start.elapsed().as_secs_f64());
            Ok::<_, Error>(result?.map_or_else(Action::await_change, Action::requeue))
        }
    };
    let on_error = move |object: Arc<K>, error: &Error, ctx: Arc<Ctx>| {
        let meta = object.meta();
        tracing::warn!(controller = name, object = meta.name.as_deref(), namespace = meta.namespace.as_deref(), %error, "reconcile failed");
        let failures = ctx.memory.retries.failed(meta.uid.as_deref().unwrap_or_default());
        match failures {
            1 => Action::requeue(Duration::from_millis(200)),
            n => Action::requeue(Duration::from_secs(error.class().backoff_seconds(n))),
        }
    };
    controller
        .with_config(config)
        .reconcile_on(wakes)
        .shutdown_on_signal()
        .run(reconcile, on_error, ctx)
        .for_each(|result| async move {
            match result {
                Ok(_) => {}
                // The object was deleted between its event and its reconcile.
                Err(kube::runtime::controller::Error::ObjectNotFound(_)) => {}
                Err(kube::runtime::controller::Error::ReconcilerFailed(..)) => {}
                Err(error) => tracing::warn!(controller = name, %error, "queue"),
            }
        })
        .await;
}
