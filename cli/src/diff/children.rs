//! What the operator would make of a wanted object, through the functions that it plans with. Does I/O: reads.
//!
//! Shows the final state: processes started, verification passed, the page up where it belongs.

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tenantry_api::database_server::DatabaseServer;
use tenantry_api::site::Site;
use tenantry_api::tenant::Tenant;
use tenantry_core::id::{ID_LENGTH, Id};
use tenantry_core::names::{SITE_NAME, SYSTEM_NAMESPACE};
use tenantry_plan::child::FIELD_MANAGER;
use tenantry_plan::child::is_applied;
use tenantry_plan::tenant::DatabaseAddress;
use tenantry_plan::{Child, Settings};

use crate::change::objects::ObjectChange;
use crate::error::{Problem, api};
use crate::install::OPERATOR;
use crate::session::Session;

use super::planned::{Planned, cannot_be, objects};

/// The changes to the children of one wanted object; `stored` is the object as the API server would store it. None
/// means that the cluster has no Site, so that nothing can be planned.
pub async fn changes(session: &Session, stored: &Value) -> Result<Option<Vec<ObjectChange>>, Problem> {
    let settings = match settings(session).await? {
        Some(settings) => settings,
        None => return Ok(None),
    };
    if stored.pointer("/spec/id").is_none() && matches!(kind(stored), Some("Tenant" | "CrmInstance")) {
        let stand_in = Id::mint([0; ID_LENGTH]);
        session.out.note(&format!("without spec.id, {stand_in} stands for the id that the operator will mint"));
    }
    let planned = match kind(stored) {
        Some("Tenant") => tenant(session, typed(stored)?, &settings).await?,
        Some("DatabaseServer") => super::server::planned(session, &typed(stored)?, &settings).await?,
        Some("CrmInstance") => super::instance::planned(session, typed(stored)?, &settings).await?,
        _ => return Ok(Some(Vec::new())),
    };
    let mut all = Vec::with_capacity(planned.children.len());
    for child in &planned.children {
        all.push(change(session, child).await?);
    }
    for (kind, namespace, name) in &planned.prunes {
        let live = objects(session, *kind, namespace.as_deref()).get_opt(name).await;
        let live = live.map_err(|e| api::problem(&format!("read {name}"), &e))?;
        if let Some(live) = live {
            all.push(ObjectChange::new(Some(super::value(&live)?), None));
        }
    }
    Ok(Some(all))
}

fn kind(object: &Value) -> Option<&str> {
    object.get("kind").and_then(Value::as_str)
}

/// A value as one of our kinds.
pub fn typed<T: DeserializeOwned>(value: &Value) -> Result<T, Problem> {
    serde_json::from_value(value.clone()).map_err(|e| Problem::failed(format!("cannot read the object: {e}")))
}

/// The operator's settings: from the Site, and from the operator's Deployment where it runs. None means that there is
/// no Site.
pub async fn settings(session: &Session) -> Result<Option<Settings>, Problem> {
    let sites: Api<Site> = Api::all(session.cluster.client.clone());
    let Some(site) = sites.get_opt(SITE_NAME).await.map_err(|e| api::problem("read the Site", &e))? else {
        return Ok(None);
    };
    Ok(Some(settings_of(session, &site).await))
}

/// The operator's settings with a Site as it is or as it would be.
pub async fn settings_of(session: &Session, site: &Site) -> Settings {
    let mut settings = Settings::of_site(site);
    let deployments: Api<Deployment> = Api::namespaced(session.cluster.client.clone(), SYSTEM_NAMESPACE);
    // A person who may not read the operator's Deployment compares with the agent's default image.
    let operator = deployments.get_opt(OPERATOR).await.ok().flatten();
    let container = operator.and_then(|d| d.spec?.template.spec?.containers.into_iter().next());
    let env = container.and_then(|c| c.env).unwrap_or_default();
    let value = |name: &str| env.iter().find(|e| e.name == name).and_then(|e| e.value.clone());
    if let (Some(image), None) = (value("TENANTRY_AGENT_IMAGE"), &site.spec.agent_image) {
        settings.agent_image = image;
    }
    settings.database_priority_class = value("TENANTRY_DATABASE_PRIORITY_CLASS").filter(|name| !name.is_empty());
    settings
}

async fn tenant(session: &Session, mut tenant: Tenant, settings: &Settings) -> Result<Planned, Problem> {
    // The operator gives a new tenant its id; until then the names show this stand-in.
    tenant.spec.id.get_or_insert_with(|| Id::mint([0; ID_LENGTH]).to_string());
    let plan = session.cluster.plans().get_opt(&tenant.spec.plan).await;
    let plan = plan.map_err(|e| api::problem("read the plan", &e))?;
    let wanted =
        tenantry_plan::tenant::validate(&tenant, plan.as_ref()).map_err(|e| cannot_be(&tenant.name_any(), &e))?;
    let servers: Api<DatabaseServer> = Api::all(session.cluster.client.clone());
    let servers = session.cluster.list(&servers, "database servers", None).await?;
    let addresses = DatabaseAddress::reachable(&servers, &wanted.id);
    Ok(Planned { children: tenantry_plan::tenant::children(&wanted, settings, &addresses), prunes: Vec::new() })
}

/// A dry run in the operator's name, because only then the API server also removes what the operator no longer applies.
fn as_the_operator() -> PatchParams {
    PatchParams { dry_run: true, ..PatchParams::apply(FIELD_MANAGER).force() }
}

/// One child as it is, and as it would be after the operator applied it.
async fn change(session: &Session, child: &Child) -> Result<ObjectChange, Problem> {
    let (objects, what) = (objects(session, child.kind, child.namespace.as_deref()), child.describe());
    let live = objects.get_opt(&child.name).await.map_err(|e| api::problem(&format!("read {what}"), &e))?;
    let Some(live) = live else { return Ok(ObjectChange::new(None, Some(child.object.clone()))) };
    let live = super::value(&live)?;
    // The test that the operator itself uses before it writes.
    if is_applied(child, &live) {
        return Ok(ObjectChange::new(Some(live.clone()), Some(live)));
    }
    let after = objects.patch(&child.name, &as_the_operator(), &Patch::Apply(&child.object)).await;
    let after = after.map_err(|e| api::problem(&format!("compare {what}"), &e))?;
    Ok(ObjectChange::new(Some(live), Some(super::value(&after)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_is_compared_in_the_name_under_which_the_operator_applies_it() {
        let params = as_the_operator();
        assert_eq!(params.field_manager.as_deref(), Some("tenantry-operator"));
        assert!(params.dry_run && params.force);
    }
}
