//! An instance that lives, step by step. Does I/O.

use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;
use kube::api::Api;
use tenantry_api::archive::ArchivedKind;
use tenantry_api::billing_event::BillingEvent;
use tenantry_api::condition::{ConditionType, find};
use tenantry_api::crm_instance::CrmInstance;
use tenantry_api::database_server::DatabaseServerPhase;
use tenantry_api::tenant::Tenant;
use tenantry_core::class::ErrorClass;
use tenantry_core::id::Id;
use tenantry_core::ledger::{Facts, Installed, Life, Limits};
use tenantry_core::names;
use tenantry_plan::context::Keys;
use tenantry_plan::event::Subject;
use tenantry_plan::instance::{Wanted, data_generation, in_the_open, validate};
use tenantry_plan::resources;

use super::inputs::{Inputs, Placed};
use super::pass::Pass;
use super::reach::Whose;
use super::{
    copy, database, host, integrations, keys, made_with, place, prepare, processes, reach, referenced, room, verify,
    volumes,
};
use crate::context::Ctx;
use crate::error::{Error, Result};
use crate::halt::{Halt, OrHalt};
use crate::life::{Stream, adopt, metadata, record, recorded_of};

/// The condition that says whether the server of the database answers.
const ANSWERS: ConditionType = ConditionType::DatabaseReachable;
/// What the condition says of an instance that was verified in an earlier pass.
const VERIFIED_BEFORE: &str = "verified when it was installed; its processes answer";

/// The versions of everything that the plan depends on: they decide whether anything can have changed.
///
/// # Errors
/// When a read fails.
pub async fn fingerprint(ctx: &Ctx, instance: &CrmInstance) -> Result<Option<String>> {
    if ctx.caches.is_none() || instance.status.is_none() {
        return Ok(None);
    }
    let tenant = ctx.tenant(&instance.spec.tenant).await?;
    let site = ctx.site().await?;
    let secrets = referenced::versions(ctx, instance).await;
    Ok(tenant.map(|t| {
        let tenant = t.metadata.generation.unwrap_or_default().to_string();
        print(instance, &tenant, site.metadata.generation, &secrets)
    }))
}

/// The fingerprint after a pass.
///
/// # Errors
/// When a read fails.
pub async fn fingerprint_of(ctx: &Ctx, pass: &Pass) -> Result<Option<String>> {
    if ctx.caches.is_none() {
        return Ok(None);
    }
    let site = ctx.site().await?;
    let tenant = pass.tenant.as_ref().and_then(|t| t.metadata.generation).unwrap_or_default().to_string();
    Ok(Some(print(&pass.instance, &tenant, site.metadata.generation, &pass.secret_versions)))
}

fn print(instance: &CrmInstance, tenant: &str, site: Option<i64>, secrets: &str) -> String {
    let generation = instance.metadata.generation.unwrap_or_default();
    format!("{generation}/{tenant}/{}/{secrets}/{:?}", site.unwrap_or_default(), instance.metadata.annotations)
}

/// Brings an instance to its desired state.
///
/// # Errors
/// [`Halt`] with the condition that says why the instance is not in that state yet.
pub async fn run(pass: &mut Pass, ctx: &Ctx, now: Timestamp) -> Result<(), Halt> {
    // The tenant is read before anything that can halt a pass: an instance of a suspended tenant is stopped, whatever
    // else is wrong with it.
    let tenant = owner(pass, ctx).await?;
    pass.tenant = Some(tenant.clone());
    let settings = ctx.settings().await.halt(ConditionType::SpecValid)?;
    let release = Box::pin(prepare::run(pass, ctx, now)).await?;
    let generation = data_generation(&pass.instance);
    let referenced = referenced::read(ctx, &pass.instance, &tenant).await?;
    pass.secret_versions = referenced.versions;
    let wanted = validate(&pass.instance, &tenant, &release, &settings, generation, &referenced.values);
    let wanted = wanted.halt(ConditionType::SpecValid)?;
    pass.url = Some(settings.url(&wanted.host));
    pass.wanted = Some(wanted.clone());
    let (limits, resources) = limits(ctx, &tenant).await?;
    if !pass.held(ConditionType::SpecValid, generation) {
        room::ask(ctx, &wanted, &limits).await?;
    }
    pass.reached.push((ConditionType::SpecValid, spec_said(&pass.instance, &wanted)));
    let lost = volumes::look(ctx, pass, &wanted, &settings, &limits).await?;
    if let Some(halt) = lost.as_ref()
        && wanted.suspended.is_none()
    {
        return Err(halt.clone());
    }

    let class = settings.site.ingress.class_name.as_deref();
    host::claim(ctx, &wanted, class, pass.held(ConditionType::HostClaimed, generation) || pass.installed_before())
        .await?;
    pass.reached.push((ConditionType::HostClaimed, wanted.host.clone()));

    let keys: Keys = keys::ensure(ctx, pass, &wanted).await?;
    let placed = match release.spec.database {
        Some(_) => Some(place::ensure(ctx, pass, &wanted, &tenant, &settings).await?),
        None => None,
    };
    let inputs = Inputs {
        wanted: &wanted,
        settings: &settings,
        limits: &limits,
        resources: resources.as_ref(),
        keys: &keys,
        database: placed.as_ref().map(|p| &p.access),
        now,
    };
    if let Some(placed) = &placed {
        pass.database = Some((placed.server.clone(), placed.access.clone()));
        let made = Box::pin(database::ensure(ctx, pass, &inputs, placed)).await;
        copy::reached(pass, &made);
        made?;
        pass.reached.push((ConditionType::DatabaseReady, format!("{} on {}", placed.access.name, placed.server)));
    } else if pass.instance.spec.from.is_some() {
        let made = Box::pin(copy::without_database(ctx, pass, &inputs)).await;
        copy::reached(pass, &made);
        made?;
    }
    pass.reached.push((ConditionType::Installed, format!("{} {}", release.blueprint, version(&wanted))));
    made_with::look(ctx, pass, &inputs).await?;

    let running = processes::ensure(ctx, pass, &inputs).await?;
    if let Some(halt) = lost {
        // The tenant is suspended: the instance had to be stopped, and that is done.
        return Err(halt);
    }
    pass.reached.push((ConditionType::ProcessesReady, running.message));
    if wanted.suspended.is_some() {
        // The suspension is reported and billed only when nobody gets the CRM any more. A process that is ending may
        // still answer for a moment, and so may a proxy that does not know of the change yet.
        let path = wanted.front().unwrap_or("/");
        let whose = Whose { id: &wanted.id, namespace: &wanted.namespace, host: &wanted.host, path };
        if !pass.is_said_to_be_stopped(&tenant) && !reach::is_hidden(ctx, &whose, &settings).await {
            let text = "its processes are told to stop, and it still answers through its Service";
            return Err(Halt::wait(ConditionType::ProcessesReady, reach::STILL_ANSWERS, text, Duration::from_secs(2)));
        }
        pass.stopped = true;
    }
    if pass.installed_before() && pass.instance.status.as_ref().is_none_or(|s| s.installed_at.is_none()) {
        pass.installed_at = installed_at(ctx, &wanted.id).await.halt(ConditionType::Ready)?;
    }
    if wanted.suspended.is_some() {
        if pass.installed_before() || pass.taken_over() {
            if !pass.held(ConditionType::Verified, generation) {
                verified(ctx, &inputs, placed.as_ref(), false).await?;
            }
            pass.reached.push((ConditionType::Verified, VERIFIED_BEFORE.into()));
        }
        integrations::look(ctx, pass, &inputs).await;
        return answers(ctx, pass).await;
    }
    if !pass.held(ConditionType::Verified, generation) {
        if pass.installed_before() || pass.taken_over() {
            // The first password is the only one that we know, and people change it. An instance that was verified once
            // and starts again is judged by its readiness.
            verified(ctx, &inputs, placed.as_ref(), false).await?;
            pass.reached.push((ConditionType::Verified, VERIFIED_BEFORE.into()));
        } else {
            verified(ctx, &inputs, placed.as_ref(), true).await?;
            pass.reached.push((ConditionType::Verified, "a log-in and a record, written and read".into()));
        }
    }
    let way = reach::way(&wanted, &settings);
    // While a change waits for its turn, the new way to the instance does not exist yet.
    if !running.waits_for_turn && !pass.is_known_to_be_reached(generation, &way) {
        pass.reachable = Some((reach::run(ctx, pass, &wanted, &settings, &way).await, way));
    }
    if running.waits_for_verification {
        // Workers and schedules may start only now: they act on customers, who must find the CRM by then.
        processes::start_the_rest(ctx, &running.seen, &inputs).await?;
    }
    installed(ctx, pass, &wanted, &limits, now).await?;
    integrations::look(ctx, pass, &inputs).await;
    answers(ctx, pass).await
}

/// Verifies the instance, if `asks`, and notes on the server of its database that people work in the data from now on. A
/// product without a database has no such note.
async fn verified(ctx: &Ctx, inputs: &Inputs<'_>, placed: Option<&Placed>, asks: bool) -> Result<(), Halt> {
    // Looked at before: what another process begins meanwhile was not verified.
    let candidate = match placed {
        Some(placed) => database::candidate(ctx, inputs, placed).await?,
        None => None,
    };
    if asks {
        verify::run(ctx, inputs).await?;
    }
    match (placed, candidate) {
        (Some(placed), Some(fill)) => database::settle(ctx, inputs, placed, fill).await,
        _ => Ok(()),
    }
}

/// Whether the server of the instance's database answers. Asked last, when everything that can be done without the
/// server is done.
async fn answers(ctx: &Ctx, pass: &mut Pass) -> Result<(), Halt> {
    let Some((server, _)) = &pass.database else { return Ok(()) };
    let object = ctx.database_server(server).await.halt(ANSWERS)?;
    let Some(object) = object else {
        let text = format!(
            "DatabaseServer {server:?} with this instance's data does not exist, so that nobody looks after it; what runs goes on. Create it again under the same name"
        );
        return Err(Halt::fail(ANSWERS, "NoSuchServer", text, ErrorClass::Blocked));
    };
    let Some(status) = object.status else {
        let text = format!("database server {server} has not been asked yet");
        return Err(Halt::wait(ANSWERS, "NotAsked", text, Duration::from_secs(5)));
    };
    let away = find(&status.conditions, ConditionType::Reachable).filter(|c| c.status == "False");
    if let Some(lost) = away.filter(|c| matches!(c.reason.as_str(), "VolumeLost" | "ServerEmpty")) {
        let text = format!("the data of database server {server:?} is not there: {}", lost.message);
        return Err(Halt::fail(ANSWERS, &lost.reason, text, ErrorClass::Blocked));
    }
    if away.is_some() || status.phase == DatabaseServerPhase::Unreachable {
        let text = format!(
            "database server {server:?} does not answer; the data lies there untouched. `tenantry database-server show {server}` says more"
        );
        return Err(Halt::fail(ANSWERS, "DatabaseServerUnreachable", text, ErrorClass::Blocked));
    }
    pass.reached.push((ANSWERS, format!("database server {server} answers")));
    Ok(())
}

/// When an instance was installed, as its billing event says.
async fn installed_at(ctx: &Ctx, id: &Id) -> Result<Option<String>> {
    let api: Api<BillingEvent> = Api::namespaced(ctx.client.clone(), &ctx.system_namespace);
    // The installation is the first event of an instance.
    let first = api.get_opt(&names::billing_event(id, 1)).await.map_err(Error::kube("get billing event"))?;
    Ok(first.map(|e| e.spec.time))
}

/// What `SpecValid` says: product and release, and a warning about secrets that everybody can read.
fn spec_said(instance: &CrmInstance, wanted: &Wanted) -> String {
    let said = format!("{} {}", wanted.release.blueprint, version(wanted));
    let open = in_the_open(&instance.spec, &wanted.release.spec);
    let Some(first) = open.first() else { return said };
    let (all, address) = (open.join(", "), format!("{}/{}", wanted.tenant, wanted.name));
    format!(
        "{said}; warning: spec.settings holds secrets in plain text ({all}); `tenantry instance settings set {address} --from-stdin {first}` moves one into a Secret"
    )
}

fn version(wanted: &Wanted) -> String {
    wanted.release.release().map(|r| r.version.clone()).unwrap_or_default()
}

async fn owner(pass: &Pass, ctx: &Ctx) -> Result<Tenant, Halt> {
    let name = &pass.instance.spec.tenant;
    let tenant = ctx.tenant(name).await.halt(ConditionType::SpecValid)?;
    let tenant = tenant.ok_or_else(|| {
        let text = format!("spec.tenant: tenant {name:?} does not exist; see `tenantry tenant list`");
        Halt::fail(ConditionType::SpecValid, "UnknownTenant", text, ErrorClass::Blocked)
    })?;
    if tenant.metadata.deletion_timestamp.is_some() {
        let text = format!("tenant {name:?} is being archived");
        return Err(Halt::fail(ConditionType::SpecValid, "TenantArchiving", text, ErrorClass::Blocked));
    }
    if tenant.spec.id.is_none() {
        let text = format!("tenant {name:?} is not set up yet");
        return Err(Halt::wait(ConditionType::SpecValid, "TenantPending", text, Duration::from_secs(5)));
    }
    Ok(tenant)
}

async fn limits(ctx: &Ctx, tenant: &Tenant) -> Result<(Limits, Option<tenantry_api::plan::Resources>), Halt> {
    let plan = ctx.plan(&tenant.spec.plan).await.halt(ConditionType::SpecValid)?;
    let plan = plan.ok_or_else(|| {
        let text = format!("plan {:?} of its tenant does not exist; see `tenantry plan list`", tenant.spec.plan);
        Halt::fail(ConditionType::SpecValid, "UnknownPlan", text, ErrorClass::Blocked)
    })?;
    let limits = tenantry_plan::limits::resolve(&tenant.spec, &plan.spec).halt(ConditionType::SpecValid)?;
    let wrong = plan.spec.resources.iter().flat_map(|r| resources::problems("spec.resources", r)).collect::<Vec<_>>();
    if !wrong.is_empty() {
        let text = format!(
            "plan {:?}: {}; a Plan cannot be changed: create a new one, then `tenantry tenant set {} --plan NEW`",
            tenant.spec.plan,
            wrong.join("; "),
            tenant.name_any()
        );
        return Err(Halt::fail(ConditionType::SpecValid, "Invalid", text, ErrorClass::Invalid));
    }
    Ok((limits, plan.spec.resources))
}

/// Records the installation before it is reported. An installation happens once in an instance's life, whatever
/// restarts in between.
#[tracing::instrument(target = "tenantry::trace", level = "debug", name = "record", skip_all)]
async fn installed(ctx: &Ctx, pass: &mut Pass, wanted: &Wanted, limits: &Limits, now: Timestamp) -> Result<(), Halt> {
    let was = recorded_of(pass.instance.annotations())?.unwrap_or_default();
    let recorded = was.facts.installed.is_some() && was.facts.life == Life::Active;
    if !recorded || pass.instance.status.is_none() {
        // The archive is marked before the installation is recorded, so that a crash in between repeats both. It is
        // marked again when the status was lost.
        let spec = &pass.instance.spec;
        let (adopt, id, namespace) = (spec.adopt.as_deref(), spec.id.as_deref(), wanted.namespace.as_str());
        let archive = adopt::named(ctx, adopt, id, ArchivedKind::CrmInstance, Some(namespace)).await?;
        if let Some(archive) = archive {
            adopt::mark(ctx, &archive).await?;
        }
    }
    if recorded {
        return Ok(());
    }
    let facts = Facts {
        installed: was.facts.installed.clone().or_else(|| {
            Some(Installed {
                blueprint: wanted.release.blueprint.clone(),
                release: version(wanted),
                environment: wanted.environment.word().into(),
                host: Some(wanted.host.clone()),
            })
        }),
        suspended: false,
        limits: was.facts.limits.clone().or_else(|| Some(limits.clone())),
        life: Life::Active,
    };
    let stream = Stream { subject: subject(wanted), recorded: was.clone() };
    let recorded = record(ctx, &stream, &facts, now).await.halt(ConditionType::Ready)?;
    if recorded != was {
        let text = serde_json::to_string(&recorded).halt(ConditionType::Ready)?;
        let api: Api<CrmInstance> = Api::namespaced(ctx.client.clone(), &wanted.namespace);
        let annotation = [(names::ANNOTATION_LEDGER, text)];
        let stored = metadata(ctx, &api, &pass.instance, true, &annotation).await.halt(ConditionType::Ready)?;
        if let Some(stored) = stored {
            pass.instance = stored;
        }
    }
    Ok(())
}

/// The subject of an instance's stream of billing events.
#[must_use]
pub fn subject(wanted: &Wanted) -> Subject {
    Subject {
        id: wanted.id.clone(),
        kind: "instance",
        tenant_id: wanted.tenant_id.clone(),
        tenant_name: wanted.tenant.clone(),
    }
}
