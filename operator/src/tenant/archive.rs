//! The end of a tenant's life: its instances are archived, then the tenant; its namespace and data stay. Does I/O.

use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams};
use tenantry_api::archive::ArchivedKind;
use tenantry_api::condition::ConditionType;
use tenantry_api::crm_instance::CrmInstance;
use tenantry_api::tenant::Tenant;
use tenantry_core::id::Id;
use tenantry_core::ledger::{Facts, Life};
use tenantry_core::names;
use tenantry_plan::Kind;
use tenantry_plan::archive::{Ending, build, retention_days};
use tenantry_plan::event::Subject;

use crate::context::Ctx;
use crate::error::Error;
use crate::halt::{Halt, OrHalt};
use crate::life::{self, Stream, adopt, claim, record, recorded_of, replay, store};

const CONDITION: ConditionType = ConditionType::Archived;

/// Archives the tenant and lets the object go.
///
/// # Errors
/// [`Halt`] at `Archived` while something holds up the archiving; the data is safe meanwhile.
#[tracing::instrument(target = "tenantry::trace", level = "debug", name = "archive", skip_all)]
pub async fn run(tenant: &Tenant, ctx: &Ctx, now: Timestamp) -> Result<(), Halt> {
    let api: Api<Tenant> = Api::all(ctx.client.clone());
    let id = tenant.spec.id.as_deref().and_then(|id| Id::parse(id).ok());
    let recorded = recorded_of(tenant.annotations())?;
    let reported = tenant.status.as_ref().is_some_and(|s| s.namespace.is_some());
    let orphan = adopt::is_orphan(tenant.annotations(), tenant.spec.id.as_deref());
    let (Some(id), true) = (id, reported || recorded.is_some() || orphan) else {
        // Nothing was ever made from this tenant.
        return life::release(&api, tenant).await.halt(CONDITION);
    };
    let free = match orphan {
        true => adopt::check_orphan(ctx, &id, tenant.spec.adopt.as_deref()).await,
        false => adopt::check(ctx, tenant, &id, now).await,
    };
    let mine = match free {
        Ok(()) => claim::claim(ctx, tenant, &id, reported).await,
        refused => refused,
    };
    if let Err(halt) = mine {
        // A copy that carries another tenant's id was never accepted: nothing that has this id belongs to the copy.
        let refused = halt.reason == life::ID_TAKEN && !reported;
        return if refused { life::release(&api, tenant).await.halt(CONDITION) } else { Err(halt) };
    }
    let recorded = match recorded {
        Some(recorded) => recorded,
        None => replay(ctx, &id).await.halt(CONDITION)?,
    };
    let namespace = names::namespace(&id);
    let instances: Api<CrmInstance> = Api::namespaced(ctx.client.clone(), &namespace);
    let living = instances.list(&ListParams::default()).await.map_err(Error::kube("list instances")).halt(CONDITION)?;
    if !living.items.is_empty() {
        for instance in living.items.iter().filter(|i| i.metadata.deletion_timestamp.is_none()) {
            let deleted = instances.delete(&instance.name_any(), &DeleteParams::default()).await;
            match deleted {
                Ok(_) => {}
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                Err(e) => return Err(Halt::at(CONDITION)(Error::kube("delete an instance")(e))),
            }
        }
        let names: Vec<_> = living.items.iter().map(ResourceExt::name_any).collect();
        let message = format!("waiting until its instances are archived: {}", names.join(", "));
        return Err(Halt::wait(CONDITION, "ArchivingInstances", message, Duration::from_secs(5)));
    }
    let site = ctx.site().await.halt(CONDITION)?;
    let name = tenant.name_any();
    let subject = Subject { id: id.clone(), kind: "tenant", tenant_id: id.clone(), tenant_name: name.clone() };
    let facts = Facts { life: Life::Archived, ..recorded.facts.clone() };
    let ledger = record(ctx, &Stream { subject, recorded }, &facts, now).await.halt(CONDITION)?;
    let mut spec = tenant.spec.clone();
    if let (true, Some(limits)) = (orphan, &ledger.facts.limits) {
        // The original object is lost, but the ledger knows the plan.
        spec.plan.clone_from(&limits.plan);
    }
    let ending = Ending {
        kind: ArchivedKind::Tenant,
        id: id.clone(),
        name: name.clone(),
        adopted_from: tenant.spec.adopt.clone(),
        tenant_id: id,
        tenant_name: name,
        databases: Vec::new(),
        volumes: Vec::new(),
        secrets: Vec::new(),
        data_generation: None,
        release_hash: None,
        release: None,
        object: serde_json::to_string(&spec).halt(CONDITION)?,
        ledger,
        retention_days: retention_days(Some(&tenant.spec), &site.spec),
    };
    store(ctx, &build(&ending, now).halt(CONDITION)?).await.halt(CONDITION)?;
    ctx.remove(Kind::ConfigMap, Some(&ctx.system_namespace), &names::id_claim(&ending.id)).await.halt(CONDITION)?;
    life::release(&api, tenant).await.halt(CONDITION)
}
