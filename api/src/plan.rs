//! Plan: a package of limits. No money (that is the price book's), no I/O.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};
use tenantry_core::bounds;

/// Whether a tenant's database shares its server with others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Tenancy {
    /// On a server with other tenants' databases.
    #[default]
    Shared,
    /// On a server of its own.
    Dedicated,
}

/// A package: seats, storage, records, bandwidth, database tenancy. Immutable: a changed package is a new Plan.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "tenantry.dev",
    version = "v1alpha1",
    kind = "Plan",
    plural = "plans",
    shortname = "tplan",
    category = "tenantry",
    doc = "A package of limits that tenants are held to. Limits only, no money.",
    derive = "PartialEq",
    printcolumn = r#"{"name":"Vendor","type":"string","jsonPath":".spec.vendor"}"#,
    printcolumn = r#"{"name":"Seats","type":"integer","jsonPath":".spec.seats"}"#,
    printcolumn = r#"{"name":"Storage","type":"string","jsonPath":".spec.storage"}"#,
    printcolumn = r#"{"name":"Tenancy","type":"string","jsonPath":".spec.databaseTenancy"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#,
    validation = Rule::new("self.spec == oldSelf.spec").message("a Plan cannot be changed: tenants are held to it and billed by it; create a new Plan and move tenants with `tenantry tenant set NAME --plan NEW`"),
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.seats) != (has(self.unlimitedSeats) && self.unlimitedSeats)").message("say either seats or unlimitedSeats: true, not both and not neither"))]
#[x_kube(validation = Rule::new("quantity(self.storage).isGreaterThan(quantity('0'))").message("storage must be more than 0, for example 2500M or 50G"))]
pub struct PlanSpec {
    /// Name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 200))]
    pub title: Option<String>,
    /// Who sells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100))]
    pub vendor: Option<String>,
    /// Most active users.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub seats: Option<u32>,
    /// Unlimited users: by special licence only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unlimited_seats: bool,
    /// Storage of database and files together, decimal, for example 2500M.
    #[schemars(length(min = 1, max = 20), regex(pattern = r"^[0-9]+(\.[0-9]{1,9})?(k|M|G|T|Ki|Mi|Gi|Ti)?$"))]
    pub storage: String,
    /// Bandwidth a calendar month, decimal; not limited when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 20), regex(pattern = r"^[0-9]+(\.[0-9]{1,9})?(k|M|G|T|Ki|Mi|Gi|Ti)?$"))]
    pub bandwidth_per_month: Option<String>,
    /// Records; not limited when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000_000_u64))]
    pub records: Option<u64>,
    /// Shared or own database server.
    #[serde(default)]
    pub database_tenancy: Tenancy,
    /// Requests and limits of each process; the blueprint's own where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
}

/// What the API server would refuse in every pod, and what to write.
const QUANTITY: &[(&str, &str)] =
    &[("isQuantity(self)", "this is not a quantity: write for example 50m, 0.5, 128Mi, 512M or 2Gi")];

/// Requests and limits of one process.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("!has(self.memoryRequest) || !has(self.memoryLimit) || !isQuantity(self.memoryRequest) || !isQuantity(self.memoryLimit) || quantity(self.memoryRequest).compareTo(quantity(self.memoryLimit)) <= 0").message("memoryRequest is above memoryLimit"))]
#[x_kube(validation = Rule::new("!has(self.cpuRequest) || !has(self.cpuLimit) || !isQuantity(self.cpuRequest) || !isQuantity(self.cpuLimit) || quantity(self.cpuRequest).compareTo(quantity(self.cpuLimit)) <= 0").message("cpuRequest is above cpuLimit"))]
pub struct Resources {
    /// Processor time set aside, for example 50m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 20), transform = bounds::rules(QUANTITY))]
    pub cpu_request: Option<String>,
    /// Most processor time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 20), transform = bounds::rules(QUANTITY))]
    pub cpu_limit: Option<String>,
    /// Memory set aside, for example 128Mi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 20), transform = bounds::rules(QUANTITY))]
    pub memory_request: Option<String>,
    /// Most memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 20), transform = bounds::rules(QUANTITY))]
    pub memory_limit: Option<String>,
}
