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
    /// Validated.
    pub wanted: Option<Wanted>,
    /// URL for people.
    pub url: Option<String>,
    /// Server and access of the database.
    pub database: Option<(String, DatabaseAccess)>,
    /// The tenant that was planned for, as it was read; none: this pass did not come that far.
    pub tenant: Option<Tenant>,
    /// Whether nothing of it runs any more, as a suspended tenant wants it.
    pub stopped: bool,
    /// How people reach it, when that was asked in this pass, and the print of the way that was asked.
    pub reachable: Option<(Said, String)>,
    /// What is said of settings that reach nothing; none: this pass did not come that far.
    pub settings_applied: Option<Option<Said>>,
    /// Versions of the Secrets that its settings came from.
    pub secret_versions: String,
    /// What is known of its integrations; none: this pass did not come that far.
    pub integrations: Option<Vec<IntegrationStatus>>,
    /// What the database servers had of it before its first report.
    pub found: Option<Found>,
    /// When it was installed, when the status does not say so although it was.
    pub installed_at: Option<String>,
    /// Since when its processes are exchanged in a turn, when this pass has changed that.
    pub exchanging: Option<Option<String>>,
    /// Its volume claims as they were found; none: nobody looked.
    pub claims: Option<BTreeMap<String, Claim>>,
    /// Names of volume claims that held data and are gone.
    pub lost: BTreeSet<String>,
    /// Conditions that were reached in this pass: kind and message.
    pub reached: Vec<(ConditionType, String)>,
}

impl Pass {
    /// A new one.
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

    /// Whether its tenant is suspended.
    #[must_use]
    pub fn suspended(&self) -> bool {
        self.wanted.as_ref().is_some_and(|w| w.suspended.is_some())
    }

    /// Whether it was installed once in its life, this object's or an archived one's.
    #[must_use]
    pub fn installed_before(&self) -> bool {
        // What cannot be read has stopped the pass long before anything is decided by this.
        let recorded = recorded_of(self.instance.annotations()).ok().flatten();
        recorded.is_some_and(|r| r.facts.installed.is_some())
    }

    /// Whether its data was there before this object, which took it over.
    #[must_use]
    pub fn taken_over(&self) -> bool {
        self.instance.annotations().contains_key(names::ANNOTATION_TAKEN_OVER)
    }

    /// Whether it has data, as its ledger, its status or a database server says: what is missing then was lost, and
    /// nothing new is made in its place.
    #[must_use]
    pub fn had_data_before(&self) -> bool {
        self.installed_before()
            || self.taken_over()
            || self.instance.status.as_ref().is_some_and(|s| s.database.is_some())
            || self.found.as_ref().is_some_and(Found::is_data)
    }

    /// Whether it is known how people reach it this way, since its processes became ready last.
    #[must_use]
    pub fn is_known_to_be_reached(&self, generation: u32, way: &str) -> bool {
        self.held(ConditionType::Reachable, generation)
            && self.held(ConditionType::ProcessesReady, generation)
            && self.instance.status.as_ref().is_some_and(|s| s.reachable_for.as_deref() == Some(way))
    }

    /// Whether its status says that it is stopped, for what its tenant wants now.
    #[must_use]
    pub fn is_said_to_be_stopped(&self, tenant: &Tenant) -> bool {
        self.instance
            .status
            .as_ref()
            .is_some_and(|s| s.tenant_generation >= tenant.metadata.generation && holds(&s.conditions, STOPPED))
    }

    /// Whether workers and schedules may run: it was verified, and since it was stopped last it was found to be reached.
    #[must_use]
    pub fn released(&self, generation: u32) -> bool {
        let said = |s: &CrmInstanceStatus| {
            find(&s.conditions, ConditionType::Reachable).is_some()
                // As an operator left it that did not ask.
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
