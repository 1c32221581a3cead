//! A tenant that lives: validated, recorded, its namespace brought to what it should be. Does I/O.

use jiff::Timestamp;
use kube::ResourceExt;
use kube::api::Api;
use tenantry_api::tenant::Tenant;
use tenantry_core::class::ErrorClass;
use tenantry_core::id::Id;
use tenantry_core::ledger::{Facts, Life, Recorded};
use tenantry_core::names;
use tenantry_plan::event::Subject;
use tenantry_plan::tenant::{DatabaseAddress, TenantWanted, children, validate};

use super::{adopt, prepare};
use crate::cluster::{Stream, record};
use crate::context::Ctx;
use crate::halt::Halt;

/// A reconcile under way.
#[derive(Debug)]
pub struct Pass {
    /// The object, as last stored.
    pub tenant: Tenant,
    /// Validated.
    pub wanted: Option<TenantWanted>,
}

/// The recorded end of an object's stream, from its annotation.
#[must_use]
pub fn recorded_of(annotations: &std::collections::BTreeMap<String, String>) -> Option<Recorded> {
    annotations.get(names::ANNOTATION_LEDGER).and_then(|text| serde_json::from_str(text).ok())
}

/// Brings a tenant to what it should be.
///
/// # Errors
/// [`Halt`] with the condition that says why.
pub async fn run(pass: &mut Pass, ctx: &Ctx, now: Timestamp) -> Result<(), Halt> {
    let ready = Halt::at("Ready");
    let api: Api<Tenant> = Api::all(ctx.client.clone());
    let settings = ctx.settings().await.map_err(&ready)?;
    let plan = ctx.plan(&pass.tenant.spec.plan).await.map_err(&ready)?;

    // The id is checked and fixed before anything is made from it.
    if let Some(id) = &pass.tenant.spec.id {
        let id = Id::parse(id).map_err(|e| Halt::fail("Ready", "Invalid", e.to_string(), ErrorClass::Invalid))?;
        adopt::check(ctx, &pass.tenant, &id).await?;
    }
    let mut annotations = Vec::new();
    if recorded_of(pass.tenant.annotations()).is_none() {
        let baseline = match adopt::ledger(ctx, &pass.tenant).await? {
            Some(recorded) => recorded,
            None => {
                let limits =
                    plan.as_ref().and_then(|p| tenantry_plan::limits::resolve(&pass.tenant.spec, &p.spec).ok());
                Recorded { sequence: 0, facts: Facts { limits, ..Facts::default() } }
            }
        };
        let text = serde_json::to_string(&baseline).map_err(|e| ready(e.into()))?;
        annotations.push((names::ANNOTATION_LEDGER, text));
    }
    let has_id = pass.tenant.spec.id.is_some();
    if let Some(stored) = prepare::metadata(ctx, &api, &pass.tenant, has_id, &annotations).await.map_err(&ready)? {
        pass.tenant = stored;
    }

    let wanted = validate(&pass.tenant, plan.as_ref()).map_err(|e| {
        let condition = if plan.is_none() { "PlanKnown" } else { "Ready" };
        Halt::at(condition)(e.into())
    })?;
    pass.wanted = Some(wanted.clone());

    for child in children(&wanted, &settings, &databases(ctx).await.map_err(&ready)?) {
        ctx.apply(&child).await.map_err(Halt::at("NamespaceReady"))?;
    }
    adopt::finish(ctx, &pass.tenant).await?;

    // Recorded before it is reported.
    let was = recorded_of(pass.tenant.annotations()).unwrap_or_default();
    let facts =
        Facts { installed: None, suspended: wanted.suspended, limits: Some(wanted.limits.clone()), life: Life::Active };
    let subject = Subject {
        id: wanted.id.clone(),
        kind: "tenant",
        tenant_id: wanted.id.clone(),
        tenant_name: wanted.name.clone(),
    };
    let mut recorded = record(ctx, &Stream { subject, recorded: was.clone() }, &facts, now).await.map_err(&ready)?;
    if recorded.facts.limits.is_none() {
        // The plan was not known when the baseline was laid; the first limits are no change.
        recorded.facts.limits.clone_from(&facts.limits);
    }
    if recorded != was {
        let text = serde_json::to_string(&recorded).map_err(|e| ready(e.into()))?;
        let stored = prepare::metadata(ctx, &api, &pass.tenant, true, &[(names::ANNOTATION_LEDGER, text)]).await;
        if let Some(stored) = stored.map_err(&ready)? {
            pass.tenant = stored;
        }
    }
    Ok(())
}

/// Addresses of all database servers, for the network policy.
async fn databases(ctx: &Ctx) -> crate::error::Result<Vec<DatabaseAddress>> {
    let servers = ctx.database_servers().await?;
    Ok(servers
        .iter()
        .map(|s| {
            let port = s.spec.external.as_ref().and_then(|e| e.port).unwrap_or_else(|| s.spec.engine.port());
            match &s.spec.external {
                Some(external) => DatabaseAddress::External { cidrs: external.cidrs.clone(), port },
                None => DatabaseAddress::Managed { server: s.name_any(), port },
            }
        })
        .collect())
}
