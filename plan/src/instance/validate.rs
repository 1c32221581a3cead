//! Turns an instance as written into one that can be planned. No I/O.

use std::collections::{BTreeMap, BTreeSet};

use tenantry_api::blueprint::{Effective, Process};
use tenantry_api::crm_instance::{CrmInstance, Environment};
use tenantry_api::scheduling::Scheduling;
use tenantry_api::tenant::Tenant;
use tenantry_core::id::Id;
use tenantry_core::secret::Secret;
use tenantry_core::{host, zone};

use super::choose::{chosen, given};
use super::marks::{Marks, labels};
use super::replicas;
use crate::labels::Labels;
use crate::{PlanError, Settings, scheduling};

/// An instance whose fields are checked and fit together.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Its id.
    pub id: Id,
    /// Its name.
    pub name: String,
    /// The object's uid. None before the object is stored.
    pub uid: Option<String>,
    /// Its namespace.
    pub namespace: String,
    /// Id of its tenant.
    pub tenant_id: Id,
    /// Name of its tenant.
    pub tenant: String,
    /// Name of the customer, for people.
    pub tenant_display_name: String,
    /// The pinned release.
    pub release: Effective,
    /// The environment that the instance is meant for.
    pub environment: Environment,
    /// Host.
    pub host: String,
    /// E-mail address of the administrator.
    pub admin_email: String,
    /// Time zone.
    pub time_zone: String,
    /// Number of pods by process, where the instance names one.
    pub replicas: BTreeMap<String, u32>,
    /// Nodes on which its pods may run. None means any node.
    pub scheduling: Option<Scheduling>,
    /// Settings, completed with defaults.
    pub settings: BTreeMap<String, String>,
    /// Settings whose values came from Secrets. They are secret, whatever the blueprint says.
    pub hidden: BTreeSet<String>,
    /// Generation of the data in use.
    pub generation: u32,
    /// Database server that the instance names.
    pub database_server: Option<String>,
    /// The reason of the suspension, if the instance's tenant is suspended.
    pub suspended: Option<String>,
}

impl Wanted {
    /// Labels of all objects of this instance.
    #[must_use]
    pub fn labels(&self) -> Labels {
        labels(&self.tenant_id, &self.tenant, &self.id, &self.name, self.environment)
    }

    /// Id, namespace and labels of its objects.
    #[must_use]
    pub fn marks(&self) -> Marks {
        Marks { id: self.id.clone(), namespace: self.namespace.clone(), labels: self.labels() }
    }

    /// How many pods of a process run while the instance runs.
    #[must_use]
    pub fn pods(&self, process: &Process) -> u32 {
        replicas::pods(&self.replicas, process)
    }

    /// Path at which the serving process answers when all is well. None means that no process is meant to serve.
    #[must_use]
    pub fn front(&self) -> Option<&str> {
        let process = self.release.spec.processes.iter().find(|p| p.serves && self.pods(p) > 0)?;
        let path = process.readiness.as_ref().and_then(|r| r.http.as_ref()).map(|h| h.path.as_str());
        // A path with a template would have to be rendered first; any path of the same process will do.
        Some(path.filter(|p| p.starts_with('/') && !p.contains("{{") && !p.contains("{%")).unwrap_or("/"))
    }

    /// Labels of the objects that hold data.
    #[must_use]
    pub fn data_labels(&self) -> Labels {
        self.labels().and(tenantry_core::names::LABEL_DATA_GENERATION, self.generation.to_string())
    }
}

/// Validates an instance against its tenant and pinned release. `referenced` holds the values of `spec.settingsFrom`,
/// by setting.
///
/// # Errors
/// [`PlanError::Invalid`] naming the field and the remedy; [`PlanError::Blocked`] while something is missing.
pub fn validate(
    instance: &CrmInstance,
    tenant: &Tenant,
    release: &Effective,
    settings: &Settings,
    generation: u32,
    referenced: &BTreeMap<String, Secret>,
) -> Result<Wanted, PlanError> {
    let spec = &instance.spec;
    let id = spec.id.as_deref().ok_or_else(|| PlanError::Blocked("spec.id is not minted yet".into()))?;
    let id = Id::parse(id).map_err(|e| PlanError::invalid("spec.id", e.to_string()))?;
    let tenant_id = tenant.spec.id.as_deref();
    let tenant_id = tenant_id.ok_or_else(|| PlanError::Blocked(format!("tenant {:?} has no id yet", spec.tenant)))?;
    let tenant_id = Id::parse(tenant_id).map_err(|e| PlanError::invalid("tenant.spec.id", e.to_string()))?;
    let home = tenantry_core::names::namespace(&tenant_id);
    let namespace = instance.metadata.namespace.clone().unwrap_or_default();
    if namespace != home {
        return Err(PlanError::invalid(
            "metadata.namespace",
            format!("an instance of tenant {:?} must be in namespace {home}, not {namespace}", spec.tenant),
        ));
    }
    let level = release.spec.loosest_level();
    if level > settings.site.pod_security {
        return Err(PlanError::invalid(
            "spec.blueprint",
            format!(
                "blueprint {:?} needs Pod Security level {}, the Site allows {} at most; set Site spec.podSecurity or choose another blueprint",
                release.blueprint,
                level.label(),
                settings.site.pod_security.label()
            ),
        ));
    }
    if let Some(Err(e)) = spec.expires.as_deref().map(str::parse::<jiff::Timestamp>) {
        return Err(PlanError::invalid("spec.expires", format!("this is not a date and time of RFC 3339: {e}")));
    }
    // The definition refuses most wrong hosts, but an object may be older than the definition's rules.
    host::check(&spec.host).map_err(|e| PlanError::invalid("spec.host", e))?;
    let time_zone = time_zone(tenant, settings)?;
    replicas::check(&release.blueprint, &release.spec, &spec.replicas)?;
    if let Some(wish) = &spec.scheduling {
        scheduling::check("spec.scheduling", wish)?;
    }
    let tenant_name = tenant.metadata.name.clone().unwrap_or_default();
    let name = instance.metadata.name.clone().unwrap_or_default();
    let chosen = chosen(&given(spec, referenced)?, release, &format!("{tenant_name}/{name}"))?;
    let display = tenant.spec.display_name.clone().unwrap_or_else(|| tenant_name.clone());
    let suspended = tenant.spec.suspended.then(|| tenant.spec.suspended_reason.clone().unwrap_or_default());
    Ok(Wanted {
        id,
        name,
        uid: instance.metadata.uid.clone(),
        namespace,
        tenant_id,
        tenant: tenant_name,
        tenant_display_name: display,
        release: release.clone(),
        environment: spec.environment,
        host: spec.host.clone(),
        admin_email: spec.admin_email.clone().unwrap_or_else(|| format!("admin@{}", spec.host)),
        time_zone,
        replicas: spec.replicas.clone(),
        scheduling: spec.scheduling.clone(),
        settings: chosen,
        hidden: spec.settings_from.keys().cloned().collect(),
        generation,
        database_server: spec.database_server.clone(),
        suspended,
    })
}

/// The time zone of the tenant, or else of the Site. An unknown time zone must reach neither a schedule nor the
/// application, because the application would keep it after it is fixed.
fn time_zone(tenant: &Tenant, settings: &Settings) -> Result<String, PlanError> {
    let (field, zone) = match &tenant.spec.time_zone {
        Some(zone) => ("tenant.spec.timeZone", zone),
        None => ("site.spec.timeZone", &settings.site.time_zone),
    };
    let name = tenant.metadata.name.as_deref().unwrap_or_default();
    let next = match &tenant.spec.time_zone {
        Some(_) => format!("`tenantry tenant set {name} --time-zone ZONE`"),
        None => "`kubectl edit site site`".into(),
    };
    zone::check(zone).map_err(|e| PlanError::invalid(field, format!("{e}: {next}")))?;
    Ok(zone.clone())
}
