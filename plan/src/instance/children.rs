//! All children of a running instance, and the objects that must be removed. No I/O.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tenantry_api::plan::Resources;
use tenantry_core::ledger::Limits;
use tenantry_core::names;

use super::build_budget::{build_budget, may_be_many};
use super::build_cron_job::build_cron_job;
use super::build_deployment::{Parts, build_deployment};
use super::build_ingress::build_ingress;
use super::build_network_policy::build_network_policy;
use super::build_page::{PageText, build_page};
use super::build_secrets::build_config_secret;
use super::build_service::{build_inner_service, build_service};
use super::build_volume::{build_volume, volume_bytes};
use super::serving::{Decision, Serving, serving};
use super::{PAGE, Wanted};
use crate::child::{Child, Kind};
use crate::config::{Config, without_secrets};
use crate::context::{self, DatabaseAccess, Keys};
use crate::{Claim, PlanError, Settings};

/// The observed state of an instance's processes and volumes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// Whether application or page answers at the moment, according to the Service's selector. None means that there is
    /// no Service.
    pub serving: Option<Serving>,
    /// Whether the processes that serve are ready.
    pub app_ready: bool,
    /// Whether the page is ready.
    pub page_ready: bool,
    /// Whether the verification of this release on this data has passed.
    pub verified: bool,
    /// Names of the disruption budgets that exist, for processes that can have one.
    pub budgets: BTreeSet<String>,
    /// Volume claims that exist, by name.
    pub volumes: BTreeMap<String, Claim>,
    /// Names of volume claims that held data and are gone. No new claim is created in their place.
    pub lost: BTreeSet<String>,
    /// Existing Deployments by process, for the processes whose pods an older operator built differently.
    pub processes: BTreeMap<String, Value>,
}

/// What an instance needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Desired {
    /// Objects, in the order in which they are applied.
    pub children: Vec<Child>,
    /// Objects that must not exist: kind and name.
    pub prunes: Vec<(Kind, String)>,
    /// What answers and what runs.
    pub decision: Decision,
    /// Name of the Secret with the configuration. Once the instance runs with it, Secrets with other configurations may
    /// be removed.
    pub config: Option<String>,
    /// Volumes that stay smaller than the contract says, with the reason.
    pub too_small: Vec<String>,
}

/// Everything that an instance needs besides its database and keys.
///
/// # Errors
/// [`PlanError::Template`] when the blueprint cannot be rendered.
pub fn desired(
    wanted: &Wanted,
    settings: &Settings,
    limits: &Limits,
    plan_resources: Option<&Resources>,
    database: Option<&DatabaseAccess>,
    keys: &Keys,
    seen: &Seen,
) -> Result<Desired, PlanError> {
    let spec = &wanted.release.spec;
    let context = context::instance(wanted, settings, limits, database, keys);
    let open: Value = without_secrets(&context);
    let config = Config::render(&wanted.release.blueprint, spec, &context, true)?;
    let config_child = build_config_secret(wanted, &config);
    let decision = serving(wanted.suspended.is_some(), seen.serving, seen.app_ready, seen.page_ready);

    let mut children = Vec::new();
    let mut prunes = Vec::new();
    let mut too_small = Vec::new();
    // Before any process, so that the rule is in force when the first pod starts.
    children.extend(build_network_policy(wanted));
    if !config.is_empty() {
        children.push(config_child.clone());
    }
    for volume in &spec.volumes {
        let name = names::volume(&wanted.id, &volume.name, wanted.generation);
        if seen.lost.contains(&name) {
            continue;
        }
        let live = seen.volumes.get(&name);
        let stays = live.and_then(|claim| claim.stays(volume_bytes(limits, volume)));
        too_small.extend(stays.map(|why| format!("volume {:?} {why}", volume.name)));
        children.push(build_volume(wanted, settings, limits, volume, live));
    }
    let serves = spec.processes.iter().any(|p| p.serves);
    if serves {
        children.push(build_service(wanted, decision.serving));
        children.push(build_ingress(wanted, settings));
    }
    for process in &spec.processes {
        children.extend(process.inner_port().map(|port| build_inner_service(wanted, process, port)));
    }
    let parts = Parts { wanted, settings, config: &config, secret: &config_child.name, open: &open, plan_resources };
    for process in &spec.processes {
        let runs = decision.app_runs && (!process.after_verify || seen.verified);
        let replicas = if runs { wanted.pods(process) } else { 0 };
        children.push(build_deployment(&parts, process, replicas, seen.processes.get(&process.name))?);
        // Decided by the desired replicas, not the current ones: a budget for a stopped process blocks nothing.
        let budget = build_budget(wanted, process);
        if may_be_many(process) && wanted.pods(process) > 1 {
            children.push(budget);
        } else if seen.budgets.contains(&budget.name) {
            prunes.push((Kind::PodDisruptionBudget, budget.name));
        }
    }
    for schedule in &spec.schedules {
        // Scheduled jobs affect customers, so they wait for the verification and pause while the instance is stopped.
        let rests = !(decision.app_runs && seen.verified);
        children.extend(build_cron_job(wanted, settings, &config, &context, schedule, rests)?);
    }
    if decision.page_runs && serves {
        let text = PageText::of_suspension(wanted.suspended.as_deref(), settings);
        children.push(build_page(&wanted.marks(), settings, &text));
    } else if seen.page_ready || seen.serving == Some(Serving::Page) {
        prunes.push((Kind::Deployment, names::process(&wanted.id, PAGE)));
    }
    let config = (!config.is_empty()).then_some(config_child.name);
    Ok(Desired { children, prunes, decision, config, too_small })
}
