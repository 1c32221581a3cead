//! Tenants in lists and on pages. No I/O.

use jiff::Timestamp;
use kube::ResourceExt;
use tenantry_api::condition::find;
use tenantry_api::crm_instance::{CrmInstance, Environment};
use tenantry_api::tenant::{Contract, Tenant, TenantPhase};

use super::summary::{IN_USE_SEATS, IN_USE_STORAGE, NO_BACKUPS, limits};
use crate::instance::view::{attention, problems, state as instance_state};
use crate::listing::{Listed, age};
use crate::output::page::Page;
use crate::output::table::Table;
use crate::output::text::{age as since, relative};

impl Listed for Tenant {
    fn headings(wide: bool) -> Vec<&'static str> {
        let mut all = vec!["NAME", "STATE", "PLAN", "SEATS", "STORAGE", "UNTIL", "AGE"];
        if wide {
            all.extend(["CUSTOMER", "CONTRACT", "NAMESPACE", "MESSAGE"]);
        }
        all
    }

    fn row(&self, wide: bool, now: Timestamp) -> Vec<String> {
        let status = self.status.clone().unwrap_or_default();
        let (seats, storage) = limits(self);
        let short = |text: String| if text.starts_with("unknown") { "unknown".to_owned() } else { text };
        let mut row = vec![
            self.name_any(),
            state(self),
            self.spec.plan.clone(),
            short(seats),
            short(storage),
            self.spec.until.clone().unwrap_or_default(),
            age(self, now),
        ];
        if wide {
            row.extend([
                self.spec.display_name.clone().unwrap_or_default(),
                contract(self.spec.contract).to_owned(),
                status.namespace.clone().unwrap_or_default(),
                find(&status.conditions, "Ready").map(|c| c.message.clone()).unwrap_or_default(),
            ]);
        }
        row
    }

    fn address(&self) -> String {
        self.name_any()
    }
}

/// The state in one word.
pub fn state(tenant: &Tenant) -> String {
    if tenant.metadata.deletion_timestamp.is_some() {
        return "Archiving".into();
    }
    tenant.status.as_ref().map_or_else(|| "Pending".to_owned(), |s| format!("{:?}", s.phase))
}

fn contract(contract: Contract) -> &'static str {
    match contract {
        Contract::Rent => "rented",
        Contract::Buy => "bought",
    }
}

/// The page of a tenant with its instances.
pub fn page(tenant: &Tenant, instances: &[CrmInstance], wide: bool, now: Timestamp) -> Page {
    let spec = &tenant.spec;
    let status = tenant.status.clone().unwrap_or_default();
    let mut page = Page::new(title(tenant));
    let ready = find(&status.conditions, "Ready");
    let held = ready.map(|c| format!("since {}", since(c.last_transition_time.0, now))).unwrap_or_default();
    page.state("State", state(tenant), held);
    if spec.suspended {
        page.fact("Reason", spec.suspended_reason.clone().unwrap_or_else(|| "not given".into()));
    }
    if instances.is_empty() {
        page.noted(
            "Instances",
            "none",
            format!(
                "create one: {}",
                crate::program::command(&format!("instance create {}/crm ...", tenant.name_any()))
            ),
        );
    } else {
        page.table("Instances", instance_table(instances));
    }
    let (seats, storage) = limits(tenant);
    page.noted("Seats", seats, IN_USE_SEATS);
    page.noted("Storage", storage, IN_USE_STORAGE);
    page.noted("Backups", "not configured", NO_BACKUPS);
    page.maybe("Contacts", Some(&spec.contacts.join(", ")));
    page.maybe("Time zone", spec.time_zone.as_deref());
    if let Some(adopted) = &spec.adopt {
        page.noted("Came from", adopted.clone(), "an archive");
    }
    if wide {
        page.fact("Id", spec.id.clone().unwrap_or_else(|| "not minted yet".into()));
        page.fact("Namespace", status.namespace.clone().unwrap_or_else(|| "not made yet".into()));
        page.fact("Support plan", format!("{:?}", spec.support_plan));
        let kept = spec.retention_days.map_or_else(|| "the site's number of days".to_owned(), |d| format!("{d} days"));
        page.noted("Retention", kept, "after archiving");
        page.fact(
            "Created",
            tenant.metadata.creation_timestamp.as_ref().map_or_else(String::new, |t| relative(t.0, now)),
        );
        page.table("Conditions", crate::instance::view::condition_table(&status.conditions, now));
    }
    attention(&mut page, troubles(tenant, instances, now));
    page
}

fn title(tenant: &Tenant) -> String {
    let spec = &tenant.spec;
    let until = spec.until.as_ref().map(|u| format!(", until {u}")).unwrap_or_default();
    let terms = format!("{}, plan {}{until}", contract(spec.contract), spec.plan);
    [Some(tenant.name_any()), spec.display_name.clone(), Some(terms)]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(" · ")
}

fn instance_table(instances: &[CrmInstance]) -> Table {
    let mut table = Table::new(&["NAME", "PRODUCT", "STATE", "URL", "BILLED"]);
    for instance in instances {
        let status = instance.status.clone().unwrap_or_default();
        let release = status.release.or_else(|| instance.spec.release.clone()).unwrap_or_default();
        let billed = match instance.spec.environment {
            Environment::Production if status.installed_at.is_some() => "yes".to_owned(),
            Environment::Production => "not yet".to_owned(),
            other => format!("no, {}", other.word()),
        };
        table.row(vec![
            instance.name_any(),
            format!("{} {release}", instance.spec.blueprint).trim_end().to_owned(),
            instance_state(instance),
            status.url.unwrap_or_default(),
            billed,
        ]);
    }
    table
}

/// What needs attention: conditions that do not hold, of the tenant and of its instances.
fn troubles(tenant: &Tenant, instances: &[CrmInstance], now: Timestamp) -> Vec<String> {
    let mut all = Vec::new();
    let suspended = tenant.spec.suspended;
    if let Some(status) = tenant.status.as_ref().filter(|s| s.phase != TenantPhase::Suspended) {
        all.extend(problems(&tenant.name_any(), &status.conditions, tenant.metadata.deletion_timestamp.is_some(), now));
    } else if tenant.status.is_none() {
        all.push(format!("{}: the operator has not looked at it yet", tenant.name_any()));
    }
    for instance in instances.iter().filter(|_| !suspended) {
        all.extend(crate::instance::view::troubles(instance, now));
    }
    all
}
