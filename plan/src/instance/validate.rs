//! From the object as written to an instance that can be planned. No I/O.

use std::collections::BTreeMap;

use tenantry_api::blueprint::Effective;
use tenantry_api::crm_instance::{CrmInstance, Environment};
use tenantry_api::tenant::Tenant;
use tenantry_core::id::Id;

use crate::labels::Labels;
use crate::{PlanError, Settings};

/// An instance whose fields are known to fit together.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Its id.
    pub id: Id,
    /// Its name.
    pub name: String,
    /// The object's uid; none before it is stored.
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
    /// What it is for.
    pub environment: Environment,
    /// Host.
    pub host: String,
    /// E-mail address of the administrator.
    pub admin_email: String,
    /// Time zone.
    pub time_zone: String,
    /// Settings, defaults filled in.
    pub settings: BTreeMap<String, String>,
    /// Generation of the data in use.
    pub generation: u32,
    /// Server that it names.
    pub database_server: Option<String>,
    /// Whether its tenant is suspended, with the reason.
    pub suspended: Option<String>,
}

impl Wanted {
    /// Labels of everything of this instance.
    #[must_use]
    pub fn labels(&self) -> Labels {
        use tenantry_core::names::{LABEL_ENVIRONMENT, LABEL_INSTANCE, LABEL_INSTANCE_ID};
        Labels::tenant(self.tenant_id.as_str(), &self.tenant)
            .and(LABEL_INSTANCE_ID, self.id.as_str())
            .and(LABEL_INSTANCE, &self.name)
            // Pods need it: the rules for the network ask for it.
            .and(LABEL_ENVIRONMENT, self.environment.word())
    }

    /// Labels of what holds data.
    #[must_use]
    pub fn data_labels(&self) -> Labels {
        self.labels().and(tenantry_core::names::LABEL_DATA_GENERATION, self.generation.to_string())
    }
}

/// Validates an instance against its tenant and pinned release.
///
/// # Errors
/// [`PlanError::Invalid`] naming the field and the remedy; [`PlanError::Blocked`] while something is missing.
pub fn validate(
    instance: &CrmInstance,
    tenant: &Tenant,
    release: &Effective,
    settings: &Settings,
    generation: u32,
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
    if release.spec.pod_security.level > settings.site.pod_security {
        return Err(PlanError::invalid(
            "spec.blueprint",
            format!(
                "blueprint {:?} needs Pod Security level {}, the Site allows {} at most; set Site spec.podSecurity or choose another blueprint",
                release.blueprint,
                release.spec.pod_security.level.label(),
                settings.site.pod_security.label()
            ),
        ));
    }
    if let Some(Err(e)) = spec.expires.as_deref().map(str::parse::<jiff::Timestamp>) {
        return Err(PlanError::invalid("spec.expires", format!("this is not a date and time of RFC 3339: {e}")));
    }
    let tenant_name = tenant.metadata.name.clone().unwrap_or_default();
    let display = tenant.spec.display_name.clone().unwrap_or_else(|| tenant_name.clone());
    let suspended = tenant.spec.suspended.then(|| tenant.spec.suspended_reason.clone().unwrap_or_default());
    Ok(Wanted {
        id,
        name: instance.metadata.name.clone().unwrap_or_default(),
        uid: instance.metadata.uid.clone(),
        namespace,
        tenant_id,
        tenant: tenant_name,
        tenant_display_name: display,
        release: release.clone(),
        environment: spec.environment,
        host: spec.host.clone(),
        admin_email: spec.admin_email.clone().unwrap_or_else(|| format!("admin@{}", spec.host)),
        time_zone: tenant.spec.time_zone.clone().unwrap_or_else(|| settings.site.time_zone.clone()),
        settings: chosen(spec.settings.clone(), release)?,
        generation,
        database_server: spec.database_server.clone(),
        suspended,
    })
}

fn chosen(mut given: BTreeMap<String, String>, release: &Effective) -> Result<BTreeMap<String, String>, PlanError> {
    let offered = &release.spec.settings;
    if let Some(unknown) = given.keys().find(|k| !offered.contains_key(*k)) {
        let known: Vec<_> = offered.keys().map(String::as_str).collect();
        return Err(PlanError::invalid(
            format!("spec.settings.{unknown}"),
            format!("blueprint {:?} has no such setting; it offers: {}", release.blueprint, known.join(", ")),
        ));
    }
    for (name, setting) in offered {
        let field = || format!("spec.settings.{name}");
        if !given.contains_key(name) {
            let default = setting.default.clone();
            let default = default.ok_or_else(|| PlanError::invalid(field(), "this setting must be given"))?;
            given.insert(name.clone(), default);
        }
        if let (Some(pattern), Some(value)) = (&setting.pattern, given.get(name)) {
            let fits = tenantry_core::pattern::matches_whole(pattern, value)
                .map_err(|e| PlanError::invalid(field(), format!("the blueprint's pattern is wrong: {e}")))?;
            if !fits {
                return Err(PlanError::invalid(field(), format!("the value does not match {pattern}")));
            }
        }
    }
    Ok(given)
}
