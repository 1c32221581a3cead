//! Settings of the operator and its Site, as far as planning needs them. No I/O.

use tenantry_api::site::{Site, SiteSpec};
use tenantry_core::names;

/// Settings of the operator and its Site.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Namespace of the operator.
    pub system_namespace: String,
    /// Image of the agent.
    pub agent_image: String,
    /// Name of the operator's ServiceAccount.
    pub service_account: String,
    /// PriorityClass for managed database servers that name none.
    pub database_priority_class: Option<String>,
    /// The Site.
    pub site: SiteSpec,
}

impl Settings {
    /// Settings in which the Site's agent image takes precedence over the operator's.
    #[must_use]
    pub fn new(site: &Site, system_namespace: &str, agent_image: &str, service_account: &str) -> Self {
        Self {
            system_namespace: system_namespace.to_owned(),
            agent_image: site.spec.agent_image.clone().unwrap_or_else(|| agent_image.to_owned()),
            service_account: service_account.to_owned(),
            database_priority_class: None,
            site: site.spec.clone(),
        }
    }

    /// The name under which pods fetch an image. If the Site has a mirror, the mirror replaces the registry in the
    /// name.
    #[must_use]
    pub fn image(&self, name: &str) -> String {
        match &self.site.image_registry {
            None => name.to_owned(),
            Some(mirror) => {
                let rest = match name.split_once('/') {
                    Some((first, rest)) if first.contains('.') || first.contains(':') || first == "localhost" => rest,
                    _ => name,
                };
                format!("{mirror}/{rest}")
            }
        }
    }

    /// URL under which people reach a host.
    #[must_use]
    pub fn url(&self, host: &str) -> String {
        let ingress = &self.site.ingress;
        let scheme = if ingress.tls { "https" } else { "http" };
        let standard = if ingress.tls { 443 } else { 80 };
        match ingress.port {
            Some(port) if port != standard => format!("{scheme}://{host}:{port}"),
            _ => format!("{scheme}://{host}"),
        }
    }

    /// Settings for `tenantry diff` and for tests, where no operator provides them.
    #[must_use]
    pub fn of_site(site: &Site) -> Self {
        Self::new(site, names::SYSTEM_NAMESPACE, "tenantry.local/agent:dev", "tenantry-operator")
    }
}
