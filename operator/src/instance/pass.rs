//! One reconcile of an instance under way: what was read, and what was found so far. No I/O.

use std::collections::{BTreeMap, BTreeSet};

use kube::ResourceExt;
use tenantry_api::condition::{ConditionType, Said, find, holds};
use tenantry_api::crm_instance::{CrmInstance, CrmInstanceStatus, InstancePhase};
use tenantry_api::integration::IntegrationStatus;
use tenantry_api::tenant::Tenant;
use tenantry_core::names;
use tenantry_plan::Claim;
use tenantry_plan::context::DatabaseAccess;
use tenantry_plan::instance::Wanted;
use tenantry_plan::tenant::STOPPED;

use super::found::Found;
use crate::life::recorded_of;

/// A reconcile under way.
#[derive(Debug)]
pub struct Pass {
    /// The object, as last stored.
    pub instance: CrmInstance,
    /// The object, validated.
    pub wanted: Option<Wanted>,
    /// URL for people.
    pub url: Option<String>,
    /// Server and access of the database.
    pub database: Option<(String, DatabaseAccess)>,
    /// The tenant that was planned for, as it was read. None means that this pass did not come that far.
    pub tenant: Option<Tenant>,
    /// Whether nothing of the instance runs any more, as its tenant's suspension demands.
    pub stopped: bool,
    /// How people reach the instance, and the print of the way that was asked. None means that this pass did not ask.
    pub reachable: Option<(Said, String)>,
    /// What the status says of settings that have no effect. None means that this pass did not come that far.
    pub settings_applied: Option<Option<Said>>,
    /// Versions of the Secrets that the instance's settings came from.
    pub secret_versions: String,
    /// What is known of the instance's integrations. None means that this pass did not come that far.
    pub integrations: Option<Vec<IntegrationStatus>>,
    /// What the database servers had of the instance before it was first reported.
    pub found: Option<Found>,
    /// When the instance was installed, if it was and the status does not say when.
    pub installed_at: Option<String>,
    /// Since when the processes are exchanged in a turn; `Some(None)` ends the turn. None means that this pass did not
    /// change that.
    pub exchanging: Option<Option<String>>,
    /// The volume claims as they were found. None means that this pass did not look.
    pub claims: Option<BTreeMap<String, Claim>>,
    /// Names of volume claims that held data and are gone.
    pub lost: BTreeSet<String>,
    /// Conditions that were reached in this pass: kind and message.
    pub reached: Vec<(ConditionType, String)>,
}

impl Pass {
    /// A pass that begins.
    #[must_use]
    pub fn new(instance: CrmInstance) -> Self {
        Self {
            instance,
            wanted: None,
            url: None,
            database: None,
            tenant: None,
            stopped: false,
            reachable: None,
            settings_applied: None,
            secret_versions: String::new(),
            integrations: None,
            found: None,
            installed_at: None,
            exchanging: None,
            claims: None,
            lost: BTreeSet::new(),
            reached: Vec::new(),
        }
    }

    /// Whether the instance's tenant is suspended.
    #[must_use]
    pub fn suspended(&self) -> bool {
        self.wanted.as_ref().is_some_and(|w| w.suspended.is_some())
    }

    /// Whether the instance was installed once, in the life of this object or of an archived one.
    #[must_use]
    pub fn installed_before(&self) -> bool {
        // A record that cannot be read has halted the pass long before this decides anything.
        let recorded = recorded_of(self.instance.annotations()).ok().flatten();
        recorded.is_some_and(|r| r.facts.installed.is_some())
    }

    /// Whether the data existed before this object, which took the data over.
    #[must_use]
    pub fn taken_over(&self) -> bool {
        self.instance.annotations().contains_key(names::ANNOTATION_TAKEN_OVER)
    }

    /// Whether the instance has data, as its ledger, its status or a database server says. Anything that is missing
    /// then was lost, and nothing new is made in its place.
    #[must_use]
    pub fn had_data_before(&self) -> bool {
        self.installed_before()
            || self.taken_over()
            || self.instance.status.as_ref().is_some_and(|s| s.database.is_some())
            || self.found.as_ref().is_some_and(Found::is_data)
    }

    /// Whether it is known that people reach the instance this way, since its processes last became ready.
    #[must_use]
    pub fn is_known_to_be_reached(&self, generation: u32, way: &str) -> bool {
        self.held(ConditionType::Reachable, generation)
            && self.held(ConditionType::ProcessesReady, generation)
            && self.instance.status.as_ref().is_some_and(|s| s.reachable_for.as_deref() == Some(way))
    }

    /// Whether the status says that the instance is stopped, for the tenant's current generation.
    #[must_use]
    pub fn is_said_to_be_stopped(&self, tenant: &Tenant) -> bool {
        self.instance
            .status
            .as_ref()
            .is_some_and(|s| s.tenant_generation >= tenant.metadata.generation && holds(&s.conditions, STOPPED))
    }

    /// Whether workers and schedules may run: the instance was verified, and since it was last stopped a pass has asked
    /// how people reach it.
    #[must_use]
    pub fn released(&self, generation: u32) -> bool {
        let said = |s: &CrmInstanceStatus| {
            find(&s.conditions, ConditionType::Reachable).is_some()
                // An older operator, which did not ask, wrote this status.
                || (s.phase == InstancePhase::Ready && find(&s.conditions, STOPPED).is_none())
        };
        self.held(ConditionType::Verified, generation) && self.instance.status.as_ref().is_some_and(said)
    }

    /// Whether a condition was true in the status for this generation of the data.
    #[must_use]
    pub fn held(&self, condition: ConditionType, generation: u32) -> bool {
        self.instance
            .status
            .as_ref()
            .is_some_and(|s| s.data_generation == Some(generation) && holds(&s.conditions, condition))
    }
}
