//! What the operator would make of a wanted instance. Does I/O: reads, also its Secrets, which are never printed.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Secret, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use tenantry_api::blueprint::Effective;
use tenantry_api::crm_instance::CrmInstance;
use tenantry_core::id::{ID_LENGTH, Id};
use tenantry_core::ledger::{Limits, Recorded};
use tenantry_core::names::{self, SYSTEM_NAMESPACE};
use tenantry_core::secret::Secret as Hidden;
use tenantry_plan::context::{DatabaseAccess, Keys};
use tenantry_plan::instance::release::{Choice, Known, choose, is_of, replaces};
use tenantry_plan::instance::{
    Seen, Serving, Wanted, access_of, data_generation, desired, keys_of, may_be_many, validate, volume_bytes,
    was_built_otherwise,
};
use tenantry_plan::{Claim, Kind, Settings};

use super::planned::{Planned, cannot_be};
use super::volumes::look;
use crate::error::{Problem, api};
use crate::session::Session;
use crate::target;

/// Key of the content of a pinned release (operator/src/instance/release.rs).
const CONTENT: &str = "release.json";

/// Children and prunes of an instance in its final state.
pub async fn planned(session: &Session, mut instance: CrmInstance, settings: &Settings) -> Result<Planned, Problem> {
    // The operator gives a new instance its id; until then the names show this stand-in.
    instance.spec.id.get_or_insert_with(|| Id::mint([0; ID_LENGTH]).to_string());
    let address = target::address_of(&instance);
    let tenant = target::tenant(session, &instance.spec.tenant).await?;
    let plan = target::one(session, &session.cluster.plans(), target::PLAN, &tenant.spec.plan).await?;
    let limits = tenantry_plan::limits::resolve(&tenant.spec, &plan.spec).map_err(|e| cannot_be(&address, &e))?;
    let release = release(session, &instance).await?;
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

/// The release that an instance runs, or that a new one would pin, as the operator decides it.
pub async fn release(session: &Session, instance: &CrmInstance) -> Result<Effective, Problem> {
    let spec = &instance.spec;
    let recorded = instance.annotations().get(names::ANNOTATION_LEDGER);
    let recorded: Option<Recorded> = recorded.and_then(|text| serde_json::from_str(text).ok());
    let known = Known::of(instance, recorded.as_ref());
    let archive = match (known.annotation.or(known.status), &spec.adopt) {
        (None, Some(name)) => {
            target::one(session, &session.cluster.archives(), target::ARCHIVE, name).await?.spec.release_hash
        }
        _ => None,
    };
    let known = Known { archive: archive.as_deref(), ..known };
    match choose(&known) {
        Choice::Pinned(hash) | Choice::Copied(hash) => of_hash(session, instance, hash).await,
        Choice::Mendable(hash) => {
            let old = of_hash(session, instance, hash).await?;
            let status = instance.status.as_ref();
            let made = status.is_some_and(|s| tenantry_api::condition::holds(&s.conditions, "Installed"));
            match newest(session, instance).await {
                Ok(new) if replaces(&old.spec, &new.spec, made) => Ok(new),
                _ => Ok(old),
            }
        }
        Choice::OfOriginal => {
            // A copy starts with the release that wrote the original's data.
            let name = spec.from.as_ref().map(|f| f.instance.clone()).unwrap_or_default();
            let api = session.cluster.instances(&instance.namespace().unwrap_or_default());
            let original = api.get_opt(&name).await.map_err(|e| api::problem("read the original", &e))?;
            let hash = original.and_then(|o| o.annotations().get(names::ANNOTATION_RELEASE).cloned());
            match hash {
                Some(hash) => of_hash(session, instance, &hash).await,
                None => newest(session, instance).await,
            }
        }
        Choice::Newest => newest(session, instance).await,
        Choice::Ask | Choice::Unknown | Choice::Disputed { .. } => Err(undecided(instance, &known)),
    }
}

/// The error for a release that is not known here: only the operator can ask the database server, and it reports the
/// answer in the conditions.
fn undecided(instance: &CrmInstance, known: &Known<'_>) -> Problem {
    let address = target::address_of(instance);
    let says = |hash: Option<&str>| hash.unwrap_or("nothing").to_owned();
    Problem::failed(format!("it is not known here which release {address} runs"))
        .safe("nothing was changed")
        .why(format!(
            "annotation {} says {}, status.releaseHash {}; the record on the database server decides, which the operator asks",
            names::ANNOTATION_RELEASE,
            says(known.annotation),
            says(known.status)
        ))
        .next("what came of it", format!("instance show {address}"))
}

async fn newest(session: &Session, instance: &CrmInstance) -> Result<Effective, Problem> {
    let spec = &instance.spec;
    let blueprint = target::one(session, &session.cluster.blueprints(), target::BLUEPRINT, &spec.blueprint).await?;
    Effective::pin(&spec.blueprint, &blueprint.spec, spec.release.as_deref())
        .map_err(|e| Problem::not_found(e.to_string()).next("", format!("blueprint show {}", spec.blueprint)))
}

/// The release with a hash: its kept copy, or the Blueprint's release with the same content.
async fn of_hash(session: &Session, instance: &CrmInstance, hash: &str) -> Result<Effective, Problem> {
    let name = &instance.spec.blueprint;
    let kept: Api<ConfigMap> = Api::namespaced(session.cluster.client.clone(), SYSTEM_NAMESPACE);
    let found = kept.get_opt(&names::pinned_release(hash)).await.map_err(|e| api::problem("read the release", &e))?;
    let text = found.and_then(|c| c.data).and_then(|mut d| d.remove(CONTENT));
    let unreadable = |e| Problem::failed(format!("the pinned release {hash} cannot be read: {e}"));
    let found = match text {
        Some(text) => serde_json::from_str(&text).map_err(unreadable)?,
        None => {
            let blueprint = session.cluster.blueprints().get_opt(name).await;
            let blueprint = blueprint.map_err(|e| api::problem("read the blueprint", &e))?;
            blueprint.and_then(|b| Effective::find(name, &b.spec, hash)).ok_or_else(|| {
                Problem::failed(format!("the pinned release {hash} is missing"))
                    .safe("nothing was changed")
                    .next("what the operator says", format!("instance show {}", target::address_of(instance)))
            })?
        }
    };
    is_of(&found, name).map_err(Problem::failed)?;
    Ok(found)
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
