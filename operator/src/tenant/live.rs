//! A living tenant: validated, recorded, its namespace brought to its desired state. Does I/O.

use jiff::Timestamp;
use kube::ResourceExt;
use kube::api::{Api, DynamicObject, ListParams};
use kube::core::ApiResource;
use tenantry_api::condition::{ConditionType, find};
use tenantry_api::crm_instance::CrmInstance;
use tenantry_api::plan::Plan;
use tenantry_api::tenant::{Tenant, TenantPhase};
use tenantry_core::class::ErrorClass;
use tenantry_core::id::Id;
use tenantry_core::ledger::{Facts, Life, Recorded};
use tenantry_core::names;
use tenantry_plan::Kind;
use tenantry_plan::event::Subject;
use tenantry_plan::tenant::{DatabaseAddress, Suspension, TenantWanted, children, validate};

use crate::cluster::typed;
use crate::context::Ctx;
use crate::error::Error;
use crate::halt::{Halt, OrHalt};
use crate::life::{Stream, adopt, claim, metadata, record, recorded_of, replay, whole};
use crate::site;

/// A reconcile under way.
#[derive(Debug)]
pub struct Pass {
    /// The object, as last stored.
    pub tenant: Tenant,
    /// The validated tenant.
    pub wanted: Option<TenantWanted>,
    /// Whether the tenant is suspended, and what it waits for.
    pub suspension: Option<Suspension>,
    /// Whether pods in its namespace still name credentials that are to be removed.
    pub keeps_credentials: bool,
}

/// Brings a tenant to its desired state.
///
/// # Errors
/// [`Halt`] with the condition that says why.
#[tracing::instrument(target = "tenantry::trace", level = "debug", name = "live", skip_all)]
pub async fn run(pass: &mut Pass, ctx: &Ctx, now: Timestamp) -> Result<(), Halt> {
    let api: Api<Tenant> = Api::all(ctx.client.clone());
    let settings = ctx.settings().await.halt(ConditionType::Ready)?;
    let plan = ctx.plan(&pass.tenant.spec.plan).await.halt(ConditionType::Ready)?;

    // The id is checked and claimed before anything is made from it.
    if let Some(id) = &pass.tenant.spec.id {
        let id = Id::parse(id)
            .map_err(|e| Halt::fail(ConditionType::Ready, "Invalid", e.to_string(), ErrorClass::Invalid))?;
        adopt::check(ctx, &pass.tenant, &id, now).await?;
        claim(ctx, &pass.tenant).await?;
    }
    let mut annotations = Vec::new();
    if recorded_of(pass.tenant.annotations())?.is_none() {
        let baseline = baseline(ctx, &pass.tenant, plan.as_ref()).await?;
        let text = serde_json::to_string(&baseline).halt(ConditionType::Ready)?;
        annotations.push((names::ANNOTATION_LEDGER, text));
    }
    let has_id = pass.tenant.spec.id.is_some();
    if let Some(stored) = metadata(ctx, &api, &pass.tenant, has_id, &annotations).await.halt(ConditionType::Ready)? {
        pass.tenant = stored;
    }
    if !has_id {
        claim(ctx, &pass.tenant).await?;
        if let Some(id) = pass.tenant.spec.id.as_deref().and_then(|id| Id::parse(id).ok()) {
            // The id was minted just now: no event of its stream can be lost.
            ctx.memory.stream_ends(&id, Some(0));
        }
    }

    let wanted = validate(&pass.tenant, plan.as_ref()).map_err(|e| {
        let condition = if plan.is_none() { ConditionType::PlanKnown } else { ConditionType::Ready };
        Halt::at(condition)(e.into())
    })?;
    pass.wanted = Some(wanted.clone());

    let servers = ctx.database_servers().await.halt(ConditionType::Ready)?;
    // A server that cannot be read must not disappear from the network rules that name it already.
    let known = pass.tenant.status.as_ref().is_some_and(|s| s.namespace.is_some());
    let keep_rules = known && !ctx.memory.is_list_whole("DatabaseServer");
    for child in children(&wanted, &settings, &DatabaseAddress::reachable(&servers, &wanted.id)) {
        if !(keep_rules && child.kind == Kind::NetworkPolicy) {
            ctx.apply(&child).await.halt(ConditionType::NamespaceReady)?;
        }
    }
    let site = ctx.site().await.halt(ConditionType::Ready)?;
    let kept = site::copy(ctx, &wanted, &site, !known).await.halt(ConditionType::NamespaceReady)?;
    pass.keeps_credentials = kept;
    adopt::finish(ctx, &pass.tenant).await?;

    // The state is recorded before it is reported.
    let noted = recorded_of(pass.tenant.annotations())?.unwrap_or_default();
    // Events that were written before a crash are counted first; only then it is decided what is true now.
    let was = whole(ctx, &wanted.id, &noted).await.halt(ConditionType::Ready)?;
    let suspension = suspension(ctx, &pass.tenant, &wanted, was.facts.suspended).await?;
    let facts = Facts {
        installed: None,
        suspended: suspension.suspended,
        limits: Some(wanted.limits.clone()),
        life: Life::Active,
    };
    pass.suspension = Some(suspension);
    let subject = Subject {
        id: wanted.id.clone(),
        kind: "tenant",
        tenant_id: wanted.id.clone(),
        tenant_name: wanted.name.clone(),
    };
    let mut recorded = record(ctx, &Stream { subject, recorded: was }, &facts, now).await.halt(ConditionType::Ready)?;
    if recorded.facts.limits.is_none() {
        // The plan was not known when the baseline was recorded: the first limits are no change.
        recorded.facts.limits.clone_from(&facts.limits);
    }
    if recorded != noted {
        let text = serde_json::to_string(&recorded).halt(ConditionType::Ready)?;
        let stored = metadata(ctx, &api, &pass.tenant, true, &[(names::ANNOTATION_LEDGER, text)]).await;
        if let Some(stored) = stored.halt(ConditionType::Ready)? {
            pass.tenant = stored;
        }
    }
    Ok(())
}

/// Whether the tenant is suspended, according to its instances. They are asked only while the suspension changes.
async fn suspension(ctx: &Ctx, tenant: &Tenant, wanted: &TenantWanted, recorded: bool) -> Result<Suspension, Halt> {
    let known = tenant.status.as_ref().is_some_and(|s| {
        let ready = find(&s.conditions, ConditionType::Ready).filter(|c| c.status == "True");
        let fresh = ready.is_some_and(|c| c.observed_generation == tenant.metadata.generation);
        fresh && s.phase == TenantPhase::Suspended
    });
    if wanted.suspended == recorded && (known || !wanted.suspended) {
        return Ok(Suspension { suspended: recorded, waits_for: Vec::new() });
    }
    let kind = ApiResource::erase::<CrmInstance>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(ctx.client.clone(), &wanted.namespace, &kind);
    let found = api.list(&ListParams::default()).await;
    let found = found.map_err(Error::kube("list instances")).halt(ConditionType::Ready)?.items;
    // An instance that cannot be read must not keep the others from being read.
    let (mut instances, mut unreadable) = (Vec::new(), Vec::new());
    for object in found.iter().filter(|o| o.data.pointer("/spec/tenant").is_some_and(|t| *t == *wanted.name)) {
        match typed::<CrmInstance>(object) {
            Ok(instance) => instances.push(instance),
            Err(_) => unreadable.push(object.name_any()),
        }
    }
    Ok(Suspension::judge(wanted.suspended, recorded, tenant.metadata.generation, &instances, unreadable))
}

/// Claims the id, and recreates a lost claim.
async fn claim(ctx: &Ctx, tenant: &Tenant) -> Result<(), Halt> {
    let Some(id) = tenant.spec.id.as_deref().and_then(|id| Id::parse(id).ok()) else { return Ok(()) };
    let reported = tenant.status.as_ref().is_some_and(|s| s.namespace.is_some());
    claim::claim(ctx, tenant, &id, reported).await
}

/// Where the stream of a tenant without a recorded end begins: where its archive's stream ended, if it adopts an
/// archive; where its events end, if the annotation was lost; otherwise with the limits of its plan.
async fn baseline(ctx: &Ctx, tenant: &Tenant, plan: Option<&Plan>) -> Result<Recorded, Halt> {
    if let Some(recorded) = adopt::ledger(ctx, tenant).await? {
        return Ok(recorded);
    }
    let known = tenant.status.as_ref().filter(|s| s.namespace.is_some());
    let id = tenant.spec.id.as_deref().and_then(|id| Id::parse(id).ok());
    if let Some(id) = id {
        // A tenant that comes back with its id continues where its events end, or its next event would count as
        // reported before.
        let mut recorded = replay(ctx, &id).await.halt(ConditionType::Ready)?;
        if recorded.facts.limits.is_none() {
            recorded.facts.limits = known.and_then(|k| k.limits.clone());
        }
        if known.is_some() || recorded.sequence > 0 {
            return Ok(recorded);
        }
    }
    let limits = plan.and_then(|p| tenantry_plan::limits::resolve(&tenant.spec, &p.spec).ok());
    Ok(Recorded { sequence: 0, facts: Facts { limits, ..Facts::default() } })
}
