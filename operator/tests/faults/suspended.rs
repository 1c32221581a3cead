//! Suspension: it stops what there is, whatever is wrong with it, and is billed when it has, whatever fails. Does I/O.

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Arc;

use futures::{FutureExt, StreamExt};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::core::v1::{Secret, Service};
use kube::Client;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::runtime::reflector::store;
use serde_json::{Value, json};
use tenantry_api::condition::{find, holds};
use tenantry_api::crm_instance::InstancePhase;
use tenantry_api::site::Site;
use tenantry_api::tenant::TenantPhase;
use tenantry_core::names::{LABEL_PROCESS, LABEL_SERVES, SITE_NAME};
use tenantry_operator::context::{Caches, Ctx};

use crate::gate::{Mode, Nth, Planned};
use crate::life::{INSTANCE, Life, Outcome};
use crate::scenarios::{condition, ready, run};
use crate::world::{Operator, World, apply, blueprint, fixture};

/// Rounds after which what was not reached counts as never reached.
const ROUNDS: usize = 30;
/// Lives at the same time.
const AT_ONCE: usize = 8;

/// A tenant whose instance runs a pod and a schedule and takes a setting from a Secret, which is gone since.
async fn broken(base: &Client, what: &str) -> Outcome<Life> {
    let mut life = Life::new(base, what);
    life.blueprint = World::get().name(what);
    let mut spec = fixture("mail={{ settings.mail }}\n");
    spec["settings"] = json!({"mail": {"secret": true}});
    spec["processes"][0]["replicas"] = json!({"default": 1, "max": 1});
    spec["schedules"] = json!([{"name": "nightly", "cron": "0 3 * * *", "command": ["true"]}]);
    blueprint(base, &life.blueprint, spec).await;
    life.tenants().create(&PostParams::default(), &life.tenant_object(&json!({}))).await.map_err(|e| e.to_string())?;
    for _ in 0..3 {
        life.round().await?;
    }
    mend(&life).await;
    let source = json!({"settingsFrom": {"mail": {"secret": "mine", "key": "password"}}});
    let object = life.instance_object(&source);
    life.instances().create(&PostParams::default(), &object).await.map_err(|e| e.to_string())?;
    until(&mut life, "ready", |_, instance| instance == InstancePhase::Ready).await?;
    if nothing_runs(&life).await? {
        return Err("nothing runs although it is ready".into());
    }
    let secrets: Api<Secret> = Api::namespaced(base.clone(), &life.namespace());
    secrets.delete("mine", &DeleteParams::default()).await.map_err(|e| e.to_string())?;
    life.round().await?;
    let (_, reason, _) = condition(&life, INSTANCE, "SpecValid").await;
    if reason == "SecretMissing" { Ok(life) } else { Err(format!("SpecValid says {reason}")) }
}

async fn mend(life: &Life) {
    let metadata = json!({"name": "mine", "namespace": life.namespace()});
    let object = json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"password": "x"}});
    apply(&life.base, object).await;
}

async fn suspend(life: &Life, yes: bool) {
    set(life, json!({"suspended": yes})).await;
}

/// Changes the tenant as a person would.
async fn set(life: &Life, spec: Value) {
    let patch = Patch::Merge(json!({"spec": spec}));
    life.tenants().patch(&life.name, &PatchParams::default(), &patch).await.unwrap();
}

/// Reconciles, with a new process after a crash, until the phases of tenant and instance are these. At every moment
/// whoever counts as suspended has nothing that runs.
async fn until(life: &mut Life, what: &str, there: impl Fn(TenantPhase, InstancePhase) -> bool) -> Outcome {
    for _ in 0..ROUNDS {
        life.controllers_rest().await?;
        life.round().await?;
        if life.operator.gate.dead() {
            life.operator = Operator::new(&life.base);
            continue;
        }
        let now = life.now().await?;
        let tenant = now.tenant.and_then(|t| t.status).unwrap_or_default();
        let instance = now.instance.and_then(|i| i.status).unwrap_or_default();
        let billed = events(life).await?.last().is_some_and(|e| e == "suspended");
        let wanted = life.tenant().await?.is_some_and(|t| t.spec.suspended);
        if billed && wanted && !nothing_runs(life).await? {
            return Err("it is billed as suspended and runs".into());
        }
        if tenant.phase == TenantPhase::Suspended && !billed {
            return Err("it is told as suspended before it is billed".into());
        }
        if there(tenant.phase, instance.phase) && holds(&tenant.conditions, "Ready") {
            return Ok(());
        }
    }
    Err(format!("never {what}: {}", life.describe().await))
}

/// Whether no process and no schedule runs, and nobody reaches one.
async fn nothing_runs(life: &Life) -> Outcome<bool> {
    let (ns, all) = (life.namespace(), ListParams::default());
    let services: Api<Service> = Api::namespaced(life.base.clone(), &ns);
    let deployments: Api<Deployment> = Api::namespaced(life.base.clone(), &ns);
    let schedules: Api<CronJob> = Api::namespaced(life.base.clone(), &ns);
    let services = services.list(&all).await.map_err(|e| e.to_string())?.items;
    let deployments = deployments.list(&all).await.map_err(|e| e.to_string())?.items;
    let schedules = schedules.list(&all).await.map_err(|e| e.to_string())?.items;
    if services.is_empty() || deployments.is_empty() || schedules.is_empty() {
        return Err("there is nothing that could run".into());
    }
    let page = services.iter().all(|s| {
        let selector = s.spec.as_ref().and_then(|s| s.selector.clone()).unwrap_or_default();
        selector.get(LABEL_SERVES).is_some_and(|v| v == "page")
    });
    let mut processes = deployments.iter().filter(|d| d.labels().get(LABEL_PROCESS).is_none_or(|p| p != "page"));
    let ended = processes.all(|d| {
        let running = d.status.as_ref().and_then(|s| s.replicas).unwrap_or(0);
        d.spec.as_ref().and_then(|s| s.replicas) == Some(0) && running == 0
    });
    let rest = schedules.iter().all(|s| s.spec.as_ref().and_then(|s| s.suspend) == Some(true));
    Ok(page && ended && rest)
}

/// Kinds of the tenant's events, in their order.
async fn events(life: &Life) -> Outcome<Vec<String>> {
    let subject = format!("tenant/{}", life.tenant_id.as_deref().unwrap_or_default());
    let mut mine: Vec<_> = life.events().await?.into_iter().filter(|e| e.spec.subject == subject).collect();
    mine.sort_by_key(|e| e.spec.sequence);
    Ok(mine.iter().map(|e| e.spec.event_type.trim_start_matches("dev.tenantry.").to_owned()).collect())
}

#[test]
fn a_suspension_stops_an_instance_whatever_is_wrong_with_it_and_is_billed_when_it_has() {
    run(false, |base| async move {
        let mut life = broken(&base, "broken").await.unwrap_or_else(|e| panic!("{e}"));
        suspend(&life, true).await;
        life.round().await.unwrap();
        assert_eq!(events(&life).await.unwrap(), Vec::<String>::new(), "it runs");
        let tenant = life.tenant().await.unwrap().unwrap().status.unwrap();
        let said = find(&tenant.conditions, "Ready").unwrap();
        assert_eq!((said.status.as_str(), said.reason.as_str()), ("False", "Stopping"), "{}", said.message);
        assert!(said.message.ends_with(": crm"), "{}", said.message);
        until(&mut life, "suspended", |tenant, _| tenant == TenantPhase::Suspended).await.unwrap();
        assert_eq!(events(&life).await.unwrap(), ["suspended"]);
        let (_, reason, message) = condition(&life, INSTANCE, "SpecValid").await;
        assert_eq!(reason, "SecretMissing", "{message}");
        life.check_rest().await.unwrap();

        // What is broken does not come back, and is not billed as if it had.
        suspend(&life, false).await;
        for _ in 0..4 {
            life.round().await.unwrap();
        }
        let tenant = life.tenant().await.unwrap().unwrap().status.unwrap();
        let said = find(&tenant.conditions, "Ready").unwrap();
        assert_eq!((said.status.as_str(), said.reason.as_str()), ("False", "Resuming"), "{}", said.message);
        assert_eq!(events(&life).await.unwrap(), ["suspended"]);
        assert!(nothing_runs(&life).await.unwrap());
        mend(&life).await;
        let both = |t, i| (t, i) == (TenantPhase::Active, InstancePhase::Ready);
        until(&mut life, "back", both).await.unwrap();
        assert_eq!(events(&life).await.unwrap(), ["suspended", "resumed"]);
        assert!(!nothing_runs(&life).await.unwrap());
        life.check_rest().await.unwrap();
    });
}

/// A process whose caches hold nothing yet, so that a look-up of one object reads from the API.
fn with_empty_caches(base: &Client) -> Operator {
    let Operator { ctx, gate } = Operator::new(base);
    let caches = Caches {
        sites: store().0,
        plans: store().0,
        blueprints: store().0,
        servers: store().0,
        servers_full: tokio::sync::watch::channel(true).1,
        tenants: store().0,
        instances: store().0,
    };
    Operator { ctx: Ctx { caches: Some(caches), ..ctx }, gate }
}

#[test]
fn an_instance_is_stopped_although_the_site_is_gone_by_a_process_with_caches_too() {
    run(true, |base| async move {
        let sites: Api<Site> = Api::all(base.clone());
        let mut site = sites.get(SITE_NAME).await.unwrap();
        site.metadata = ObjectMeta { name: Some(SITE_NAME.into()), ..ObjectMeta::default() };
        for process in [Operator::new, with_empty_caches] {
            let mut life = broken(&base, "siteless").await.unwrap_or_else(|e| panic!("{e}"));
            suspend(&life, true).await;
            let process = process(&base);
            sites.delete(SITE_NAME, &DeleteParams::default()).await.unwrap();
            let watched = AssertUnwindSafe(async {
                let mut said = None;
                for _ in 0..ROUNDS {
                    life.controllers_rest().await.unwrap();
                    let instance = Arc::new(life.instance().await.unwrap().unwrap());
                    let pass = tenantry_operator::instance::reconcile(instance, &process.ctx, Timestamp::now()).await;
                    said = pass.err().map(|e| e.to_string());
                    if said.is_some() || nothing_runs(&life).await.unwrap() {
                        break;
                    }
                }
                let (_, _, message) = condition(&life, INSTANCE, "SpecValid").await;
                (nothing_runs(&life).await.unwrap(), said.unwrap_or_default(), message)
            });
            // The Site comes back whatever happened: other tests need it.
            let watched = watched.catch_unwind().await;
            sites.create(&PostParams::default(), &site).await.unwrap();
            let (stopped, said, message) = watched.unwrap_or_else(|panic| resume_unwind(panic));
            assert!(stopped, "it serves on: {said} {message}");
            assert!(message.contains("the Site object `site` does not exist"), "{message}");
            assert_eq!(events(&life).await.unwrap(), Vec::<String>::new(), "it is billed before its tenant says so");
            mend(&life).await;
            until(&mut life, "suspended", |tenant, _| tenant == TenantPhase::Suspended).await.unwrap();
            assert_eq!(events(&life).await.unwrap(), ["suspended"]);
        }
    });
}

#[test]
fn a_fault_at_any_change_of_a_suspension_of_what_is_broken_bills_it_once_and_when_nothing_runs() {
    run(false, |base| async move {
        let undisturbed = suspended(&base, None).await.unwrap_or_else(|e| panic!("{e}"));
        let changes = undisturbed.operator.gate.writes().len();
        assert!(changes > 5, "{:?}", undisturbed.operator.gate.writes());
        let faults = (1..=changes).flat_map(|k| Mode::ALL.map(|mode| Planned { nth: Nth::Change(k), mode }));
        let base = &base;
        let lives = futures::stream::iter(faults)
            .map(|fault| async move { suspended(base, Some(fault)).await.err().map(|e| format!("{fault:?}: {e}")) })
            .buffer_unordered(AT_ONCE);
        let failures: Vec<_> = lives.filter_map(|failure| async { failure }).collect().await;
        assert!(failures.is_empty(), "{} lives failed:\n{}", failures.len(), failures.join("\n"));
    });
}

async fn suspended(base: &Client, fault: Option<Planned>) -> Outcome<Life> {
    let mut life = broken(base, "fault").await?;
    suspend(&life, true).await;
    life.operator = Operator::new(base);
    let process = life.operator.clone();
    process.gate.arm(fault);
    until(&mut life, "suspended", |tenant, _| tenant == TenantPhase::Suspended).await?;
    // How often the page is waited for, and said to be waited for, is the controllers' matter: a road may be shorter.
    let reached = |fault: Planned| matches!(fault.nth, Nth::Change(k) if k <= process.gate.changes());
    if fault.is_some_and(reached) && process.gate.fired().is_none() {
        return Err("the call was reached and nothing failed".into());
    }
    if matches!(fault, Some(Planned { nth: Nth::Change(1..=4), .. })) && process.gate.fired().is_none() {
        return Err("there are no calls".into());
    }
    let events = events(&life).await?;
    if events == ["suspended"] { Ok(life) } else { Err(format!("{events:?}")) }
}

#[test]
fn an_event_that_was_written_before_a_crash_counts_although_its_fact_was_undone_meanwhile() {
    run(false, |base| async move {
        // What a person changes and takes back while the process that wrote the event is gone.
        let changes: [(Value, Value, &[&str]); 2] = [
            (json!({"suspended": true}), json!({"suspended": false}), &["suspended", "resumed"]),
            (json!({"plan": "large"}), json!({"plan": "small"}), &["limits-changed", "limits-changed"]),
        ];
        for (change, undone, expected) in changes {
            let mut life = ready(&base, "undone").await;
            set(&life, change).await;
            // What is left is the tenant's own pass.
            for _ in 0..6 {
                life.controllers_rest().await.unwrap();
                let instance = Arc::new(life.instance().await.unwrap().unwrap());
                let pass = tenantry_operator::instance::reconcile(instance, &life.operator.ctx, Timestamp::now());
                pass.await.unwrap();
            }
            let mut died = false;
            for k in 1..100 {
                let process = Operator::new(&base);
                process.gate.arm(Some((k, Mode::CrashAfter)));
                let tenant = Arc::new(life.tenant().await.unwrap().unwrap());
                // Whether it says so or not is not the question here.
                let _ = tenantry_operator::tenant::reconcile(tenant, &process.ctx, Timestamp::now()).await;
                let fired = process.gate.fired().unwrap_or_default();
                died = fired.starts_with("kube POST") && fired.ends_with("/billingevents");
                if died {
                    break;
                }
            }
            assert!(died, "no event was written");
            set(&life, undone).await;
            life.operator = Operator::new(&base);
            for _ in 0..6 {
                life.controllers_rest().await.unwrap();
                life.round().await.unwrap();
            }
            assert_eq!(events(&life).await.unwrap(), expected);
            life.check_rest().await.unwrap();
        }
    });
}
