//! The kinds of children, and all that the operator must know about each kind. No I/O.

use kube::core::ApiResource;
use serde::Serialize;

tenantry_core::listed! {
    /// Every kind of child. All tables below are exhaustive: a new kind does not compile until each of them has it.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
    pub enum Kind {
        /// A tenant's namespace.
        Namespace,
        /// Rules about which pods may talk to each other.
        NetworkPolicy,
        /// Limits on what a namespace may use in total.
        ResourceQuota,
        /// Defaults for containers without limits.
        LimitRange,
        /// The operator's own access to a namespace's Secrets.
        RoleBinding,
        /// Passwords, keys, rendered configuration.
        Secret,
        /// Texts without secrets: host claims, pinned releases.
        ConfigMap,
        /// A volume.
        PersistentVolumeClaim,
        /// A process of an instance.
        Deployment,
        /// A managed database server.
        StatefulSet,
        /// How many pods of a process may be missing while nodes are drained.
        PodDisruptionBudget,
        /// A stable address.
        Service,
        /// The way in from outside.
        Ingress,
        /// A command that runs on a schedule.
        CronJob,
        /// A command that runs once.
        Job,
    }
}

impl Kind {
    /// How the kind is applied, watched and stopped.
    const fn properties(self) -> Properties {
        const CORE: &str = "";
        // Group, kind, plural; whether it is watched; position in a stop; whether a change of its status wakes the
        // owner.
        const fn row(
            api: (&'static str, &'static str, &'static str),
            watched: bool,
            stop: Option<u8>,
            wakes: bool,
        ) -> Properties {
            Properties { api, is_watched: watched, stop, status_matters: wakes }
        }
        match self {
            Self::Namespace => row((CORE, "Namespace", "namespaces"), true, None, false),
            Self::NetworkPolicy => row(("networking.k8s.io", "NetworkPolicy", "networkpolicies"), true, None, false),
            Self::ResourceQuota => row((CORE, "ResourceQuota", "resourcequotas"), true, None, false),
            Self::LimitRange => row((CORE, "LimitRange", "limitranges"), true, None, false),
            Self::RoleBinding => row(("rbac.authorization.k8s.io", "RoleBinding", "rolebindings"), true, None, false),
            // Not watched: the operator may read Secrets only inside its tenants' namespaces, one at a time.
            Self::Secret => row((CORE, "Secret", "secrets"), false, None, false),
            // Not watched: ConfigMaps that are claims have a watch of their own, and nobody else changes the other
            // ConfigMaps.
            Self::ConfigMap => row((CORE, "ConfigMap", "configmaps"), false, None, false),
            Self::PersistentVolumeClaim => {
                row((CORE, "PersistentVolumeClaim", "persistentvolumeclaims"), true, None, false)
            }
            Self::Deployment => row(("apps", "Deployment", "deployments"), true, Some(3), true),
            Self::StatefulSet => row(("apps", "StatefulSet", "statefulsets"), true, None, true),
            Self::PodDisruptionBudget => {
                row(("policy", "PodDisruptionBudget", "poddisruptionbudgets"), true, Some(4), false)
            }
            Self::Service => row((CORE, "Service", "services"), true, Some(5), false),
            // Order of a stop: first no requests come in, then no schedule starts anything, then running pods end.
            Self::Ingress => row(("networking.k8s.io", "Ingress", "ingresses"), true, Some(1), false),
            Self::CronJob => row(("batch", "CronJob", "cronjobs"), true, Some(2), false),
            Self::Job => row(("batch", "Job", "jobs"), true, Some(6), true),
        }
    }

    /// Group, version, kind and plural of the API.
    #[must_use]
    pub fn api(self) -> ApiResource {
        let (group, kind, plural) = self.properties().api;
        ApiResource {
            group: group.into(),
            version: "v1".into(),
            api_version: if group.is_empty() { "v1".into() } else { format!("{group}/v1") },
            kind: kind.into(),
            plural: plural.into(),
        }
    }

    /// Whether a watch covers all children of the kind.
    #[must_use]
    pub const fn is_watched(self) -> bool {
        self.properties().is_watched
    }

    /// Whether the owner must react when only the status of a child changes.
    #[must_use]
    pub const fn status_matters(self) -> bool {
        self.properties().status_matters
    }

    /// Whether a child of this kind stays as it is while its instance waits for its turn to change.
    #[must_use]
    pub const fn stays_while_waiting(self) -> bool {
        match self {
            // Processes are made of these.
            Self::Deployment | Self::CronJob | Self::Secret => true,
            // This tells people and programs where the processes are.
            Self::Ingress => true,
            Self::Namespace
            | Self::NetworkPolicy
            | Self::ResourceQuota
            | Self::LimitRange
            | Self::RoleBinding
            | Self::ConfigMap
            | Self::PersistentVolumeClaim
            | Self::StatefulSet
            | Self::PodDisruptionBudget
            | Self::Service
            | Self::Job => false,
        }
    }

    /// How people call a child of this kind that no archive names. A tenant is not purged while there is one. None means
    /// that the kind holds no data and runs nothing for long: such a child may go with its namespace.
    #[must_use]
    pub const fn name_as_remains(self) -> Option<&'static str> {
        match self {
            Self::PersistentVolumeClaim => Some("volume claim"),
            Self::Secret => Some("Secret"),
            Self::Deployment => Some("Deployment"),
            Self::CronJob => Some("CronJob"),
            // Only database servers have it, and they are in no tenant's namespace.
            Self::StatefulSet => None,
            Self::Namespace
            | Self::NetworkPolicy
            | Self::ResourceQuota
            | Self::LimitRange
            | Self::RoleBinding
            | Self::ConfigMap
            | Self::PodDisruptionBudget
            | Self::Service
            | Self::Ingress
            | Self::Job => None,
        }
    }

    /// Kinds whose children are removed when an instance stops for good, in the order of removal.
    #[must_use]
    pub fn stopped() -> Vec<Self> {
        let mut all: Vec<Self> = Self::ALL.into_iter().filter(|k| k.properties().stop.is_some()).collect();
        all.sort_by_key(|k| k.properties().stop);
        all
    }
}

/// What the operator must know about a kind.
struct Properties {
    /// Group, kind and plural.
    api: (&'static str, &'static str, &'static str),
    is_watched: bool,
    /// Position in the order in which a stop removes children. None means that children of this kind stay.
    stop: Option<u8>,
    status_matters: bool,
}
