//! What the operator would make of a wanted instance. Does I/O: reads, also its Secrets, which are never printed.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Secret, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use tenantry_api::crm_instance::CrmInstance;
use tenantry_core::id::{ID_LENGTH, Id};
use tenantry_core::ledger::Limits;
use tenantry_core::names;
use tenantry_core::secret::Secret as Hidden;
use tenantry_plan::context::{DatabaseAccess, Keys};
use tenantry_plan::instance::{
    Seen, Serving, Wanted, access_of, data_generation, desired, keys_of, may_be_many, validate, volume_bytes,
    was_built_otherwise,
};
use tenantry_plan::{Claim, Kind, Settings};

use super::planned::{Planned, cannot_be};
use super::release::{Decided, decide};
use super::volumes::look;
use crate::error::{Problem, api};
use crate::session::Session;
use crate::target;

/// Children and prunes of an instance in its final state.
pub async fn planned(session: &Session, mut instance: CrmInstance, settings: &Settings) -> Result<Planned, Problem> {
    let address = target::address_of(&instance);
    let tenant = target::tenant(session, &instance.spec.tenant).await?;
    let plan = target::one(session, &session.cluster.plans(), target::PLAN, &tenant.spec.plan).await?;
    let limits = tenantry_plan::limits::resolve(&tenant.spec, &plan.spec).map_err(|e| cannot_be(&address, &e))?;
    let Decided { release, generation, remark } = decide(session, &instance).await?;
    if let Some(remark) = remark {
        session.out.note(&remark);
    }
    if let Some(generation) = generation {
        let note = (names::ANNOTATION_DATA_GENERATION.to_owned(), generation.to_string());
        instance.annotations_mut().extend([note]);
    }
    // The operator gives a new instance its id; until then the names show this stand-in.
    instance.spec.id.get_or_insert_with(|| Id::mint([0; ID_LENGTH]).to_string());
    let generation = data_generation(&instance);
    let referenced = referenced(session, &instance).await?;
    let wanted = validate(&instance, &tenant, &release, settings, generation, &referenced);
    let wanted = wanted.map_err(|e| cannot_be(&address, &e))?;
    let keys = secret(session, &wanted, &names::keys_secret(&wanted.id, generation)).await?;
    let keys = keys.as_ref().and_then(keys_of).unwrap_or_else(|| sample_keys(&wanted));
    let database = secret(session, &wanted, &names::database_secret(&wanted.id, generation)).await?;
    let database = database.as_ref().and_then(access_of).map(|(_, access)| access);
    let database = database.or_else(|| sample_database(&wanted));
    let seen = seen(session, &wanted, &limits).await?;
    let resources = plan.spec.resources.as_ref();
    let desired = desired(&wanted, settings, &limits, resources, database.as_ref(), &keys, &seen)
        .map_err(|e| cannot_be(&address, &e))?;
    let namespace = Some(wanted.namespace.clone());
    let mut prunes: Vec<_> = desired.prunes.into_iter().map(|(kind, name)| (kind, namespace.clone(), name)).collect();
    // Configurations that nothing uses any more are removed once the new one runs.
    let used: Vec<&str> = desired.children.iter().filter(|c| c.kind == Kind::Secret).map(|c| c.name.as_str()).collect();
    for old in configurations(session, &wanted).await?.into_iter().filter(|name| !used.contains(&name.as_str())) {
        prunes.push((Kind::Secret, namespace.clone(), old));
    }
    Ok(Planned { children: desired.children, prunes })
}

/// Names of the existing Secrets with rendered configuration.
async fn configurations(session: &Session, wanted: &Wanted) -> Result<Vec<String>, Problem> {
    let secrets: Api<Secret> = Api::namespaced(session.cluster.client.clone(), &wanted.namespace);
    let label = format!("{}={},{}=config", names::LABEL_INSTANCE_ID, wanted.id, names::LABEL_PURPOSE);
    let found = secrets.list_metadata(&ListParams::default().labels(&label)).await;
    let found = found.map_err(|e| api::problem("list the configurations", &e))?;
    Ok(found.items.iter().map(ResourceExt::name_any).collect())
}

/// Values of settings that lie in Secrets; a missing value is left out.
pub async fn referenced(session: &Session, instance: &CrmInstance) -> Result<BTreeMap<String, Hidden>, Problem> {
    let namespace = instance.namespace().unwrap_or_default();
    let mut all = BTreeMap::new();
    for (setting, source) in &instance.spec.settings_from {
        let data = texts(session, &namespace, &source.secret).await?.unwrap_or_default();
        if let Some(value) = data.get(&source.key) {
            all.insert(setting.clone(), Hidden::new(value.clone()));
        }
    }
    Ok(all)
}

/// The data of an instance's Secret as texts.
pub async fn secret(
    session: &Session,
    wanted: &Wanted,
    name: &str,
) -> Result<Option<BTreeMap<String, String>>, Problem> {
    texts(session, &wanted.namespace, name).await
}

async fn texts(session: &Session, namespace: &str, name: &str) -> Result<Option<BTreeMap<String, String>>, Problem> {
    let secrets: Api<Secret> = Api::namespaced(session.cluster.client.clone(), namespace);
    let found = secrets.get_opt(name).await.map_err(|e| {
        api::problem("compare the configuration", &e)
            .safe("it holds passwords, so that their Secrets must be read; nothing was changed")
    })?;
    let data = found.and_then(|s| s.data);
    Ok(data.map(|d| d.into_iter().filter_map(|(k, v)| String::from_utf8(v.0).ok().map(|v| (k, v))).collect()))
}

/// Stand-ins for the keys that a new instance does not have yet.
pub fn sample_keys(wanted: &Wanted) -> Keys {
    let made = |_: &str| Hidden::new("made-when-it-is-created");
    let secrets = wanted.release.spec.secrets.iter().map(|s| (s.name.clone(), made(&s.name))).collect();
    Keys { admin_password: made("admin"), secrets }
}

/// Stand-in for the database that a new instance does not have yet.
pub fn sample_database(wanted: &Wanted) -> Option<DatabaseAccess> {
    let engine = wanted.release.spec.database.as_ref()?.engines.first()?.engine;
    let name = names::database(&wanted.id, wanted.generation);
    Some(DatabaseAccess {
        engine,
        host: "placed-when-it-is-created".into(),
        port: engine.port(),
        user: name.clone(),
        name,
        password: Hidden::new("made-when-it-is-created"),
    })
}

/// What exists already; everything that is still on its way counts as arrived.
async fn seen(session: &Session, wanted: &Wanted, limits: &Limits) -> Result<Seen, Problem> {
    let client = &session.cluster.client;
    let services: Api<Service> = Api::namespaced(client.clone(), &wanted.namespace);
    let service =
        services.get_opt(&names::service(&wanted.id)).await.map_err(|e| api::problem("read the Service", &e))?;
    let selector = service.and_then(|s| s.spec).and_then(|s| s.selector);
    let serving = selector.and_then(|s| match s.get(names::LABEL_SERVES).map(String::as_str) {
        Some("app") => Some(Serving::App),
        Some("page") => Some(Serving::Page),
        _ => None,
    });
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &wanted.namespace);
    let label = format!("{}={}", names::LABEL_INSTANCE_ID, wanted.id);
    let mut volumes: BTreeMap<String, Claim> = BTreeMap::new();
    for claim in session.cluster.list(&claims, "volume claims", Some(&label)).await? {
        volumes.insert(claim.name_any(), Claim::of(&claim));
    }
    for volume in &wanted.release.spec.volumes {
        if let Some(claim) = volumes.get_mut(&names::volume(&wanted.id, &volume.name, wanted.generation)) {
            look(session, claim, volume_bytes(limits, volume)).await;
        }
    }
    let budgets: Api<PodDisruptionBudget> = Api::namespaced(client.clone(), &wanted.namespace);
    let budgets = match wanted.release.spec.processes.iter().any(may_be_many) {
        true => session.cluster.list(&budgets, "disruption budgets", Some(&label)).await?,
        false => Vec::new(),
    };
    let budgets = budgets.iter().map(ResourceExt::name_any).collect();
    let mut processes = BTreeMap::new();
    if wanted.release.spec.processes.iter().any(was_built_otherwise) {
        let deployments: Api<Deployment> = Api::namespaced(client.clone(), &wanted.namespace);
        for deployment in session.cluster.list(&deployments, "deployments", Some(&label)).await? {
            let process = deployment.labels().get(names::LABEL_PROCESS).cloned().unwrap_or_default();
            let live = serde_json::to_value(&deployment).map_err(|e| Problem::failed(e.to_string()))?;
            processes.insert(process, live);
        }
    }
    let lost = Default::default();
    Ok(Seen { serving, app_ready: true, page_ready: true, verified: true, budgets, volumes, lost, processes })
}
