//! The text that is printed when a tenant is ready. No I/O.

use std::time::Duration;

use kube::ResourceExt;
use tenantry_api::crm_instance::CrmInstance;
use tenantry_api::tenant::Tenant;
use tenantry_core::quantity::human;

use crate::output::page::Page;
use crate::output::paint::Paint;
use crate::output::text::duration;
use crate::program::command;
use crate::target::address_of;

/// What is known of the tenant.
pub struct Facts<'a> {
    pub tenant: &'a Tenant,
    pub instance: &'a CrmInstance,
    /// Name to log in with; None means that the blueprint could not be read.
    pub login: Option<&'a str>,
    /// How long the creation took.
    pub took: Duration,
}

pub fn text(facts: &Facts<'_>, paint: Paint) -> String {
    let Facts { tenant, instance, login, took } = facts;
    let address = address_of(instance);
    let mut page = Page::new(format!("{} is ready in {}", tenant.name_any(), duration(*took)));
    let url = instance.status.as_ref().and_then(|s| s.url.clone());
    page.fact("  URL", url.unwrap_or_else(|| format!("unknown: {} does not report it yet", address)));
    let password = format!("password: {}", command(&format!("instance password {address} --once")));
    page.noted("  log in as", login.unwrap_or("unknown: the blueprint cannot be read"), password);
    let (seats, storage) = limits(tenant);
    page.noted("  seats", seats, IN_USE_SEATS);
    page.noted("  storage", storage, IN_USE_STORAGE);
    page.noted("  backups", "not configured", NO_BACKUPS);
    page.render(&paint, None)
}

/// Why the seats in use are not known.
pub const IN_USE_SEATS: &str = "in use: unknown, this version does not count seats yet";
/// Why the storage in use is not known.
pub const IN_USE_STORAGE: &str = "in use: unknown, this version does not measure storage yet";
/// Why there are no backups.
pub const NO_BACKUPS: &str = "this version makes no backups yet: back up databases and volumes yourself";

/// The limits of seats and storage, or why they are not known.
pub fn limits(tenant: &Tenant) -> (String, String) {
    let Some(limits) = tenant.status.as_ref().and_then(|s| s.limits.as_ref()) else {
        let unknown = "unknown: the operator has not resolved the plan yet".to_owned();
        return (unknown.clone(), unknown);
    };
    let seats = limits.seats.map_or_else(|| "unlimited".to_owned(), |n| n.to_string());
    (seats, human(limits.storage_bytes))
}
