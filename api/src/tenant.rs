//! Tenant: a customer with one contract. No I/O.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};
use tenantry_core::ledger::Limits;
use tenantry_core::{bounds, zone};

/// Rented or bought.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Contract {
    /// Paid by term; updates are free and continuous.
    #[default]
    Rent,
    /// Perpetual; maintenance ends after the warranty unless it is paid.
    Buy,
}

/// Support plans: mandatory for the whole term.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SupportPlan {
    /// 9-18 on working days.
    #[default]
    Basic,
    /// 9-18 every day.
    Business,
    /// Round the clock.
    Premium,
}

/// A customer with one contract: plan, seats, storage, support plan.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "tenantry.dev",
    version = "v1alpha1",
    kind = "Tenant",
    plural = "tenants",
    shortname = "tn",
    category = "tenantry",
    status = "TenantStatus",
    derive = "PartialEq",
    doc = "A customer with one contract. Owns one namespace; deleting it archives, it never deletes data.",
    printcolumn = r#"{"name":"Phase","type":"string","jsonPath":".status.phase"}"#,
    printcolumn = r#"{"name":"Plan","type":"string","jsonPath":".spec.plan"}"#,
    printcolumn = r#"{"name":"Namespace","type":"string","jsonPath":".status.namespace"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name":"Customer","type":"string","jsonPath":".spec.displayName","priority":1}"#,
    printcolumn = r#"{"name":"Message","type":"string","jsonPath":".status.conditions[?(@.type=='Ready')].message","priority":1}"#,
    validation = Rule::new("size(self.metadata.name) <= 40").message("metadata.name is too long: at most 40 characters fit into the labels made from it"),
    validation = Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')").message("metadata.name must be lower-case letters, digits and hyphens, beginning with a letter"),
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("!has(oldSelf.id) || (has(self.id) && self.id == oldSelf.id)").message("spec.id is minted once and cannot change: databases, volumes and billing derive from it"))]
#[x_kube(validation = Rule::new("!has(oldSelf.adopt) || (has(self.adopt) && self.adopt == oldSelf.adopt)").message("spec.adopt says which archive this tenant came from and cannot change"))]
#[x_kube(validation = Rule::new("!has(self.adopt) || has(self.id)").message("a tenant adopted from an archive needs the archive's id as spec.id; use `tenantry tenant adopt NAME`"))]
#[x_kube(validation = Rule::new("!has(self.storage) || !has(oldSelf.storage) || quantity(self.storage).compareTo(quantity(oldSelf.storage)) >= 0").message("storage cannot shrink: volumes only grow. Keep the larger size, or archive the tenant and start a smaller one"))]
#[x_kube(validation = Rule::new("!has(self.seats) || !has(self.unlimitedSeats) || !self.unlimitedSeats").message("say either seats or unlimitedSeats: true, not both"))]
pub struct TenantSpec {
    /// Immutable id; the operator mints one when it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 10, max = 10), regex(pattern = "^[a-z][a-z0-9]{9}$"))]
    pub id: Option<String>,
    /// Name of the customer, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 200))]
    pub display_name: Option<String>,
    /// Name of the Plan.
    #[schemars(length(min = 1, max = 253))]
    pub plan: String,
    /// Rented or bought.
    #[serde(default)]
    pub contract: Contract,
    /// Last day of the term (a date, in the tenant's time zone), for people and the hub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"), length(max = 10))]
    pub until: Option<String>,
    /// Support plan.
    #[serde(default)]
    pub support_plan: SupportPlan,
    /// Seats instead of the plan's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub seats: Option<u32>,
    /// Unlimited users, by special licence, whatever the plan says.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unlimited_seats: bool,
    /// Storage instead of the plan's, decimal, for example 50G.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 20), regex(pattern = r"^[0-9]+(\.[0-9]{1,9})?(k|M|G|T|Ki|Mi|Gi|Ti)?$"))]
    pub storage: Option<String>,
    /// Time zone (a name of the IANA list), for example Asia/Ho_Chi_Minh; the site's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), transform = bounds::rules(zone::RULES))]
    pub time_zone: Option<String>,
    /// E-mail addresses that notices go to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 15), inner(length(max = 254)))]
    pub contacts: Vec<String>,
    /// A person suspended it: its CRMs stop behind a page, its data stays.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspended: bool,
    /// Why, for the page and the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 300))]
    pub suspended_reason: Option<String>,
    /// Days that data is kept after deletion; the site's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 36500))]
    pub retention_days: Option<u32>,
    /// Name of the Archive that this tenant takes over with its data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub adopt: Option<String>,
}

/// Phases of a tenant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum TenantPhase {
    /// Being set up, or held up by a condition.
    #[default]
    Pending,
    /// Set up.
    Active,
    /// Stopped behind the page by a person.
    Suspended,
    /// Being archived.
    Archiving,
    /// Something in the spec cannot be.
    Invalid,
}

/// Observed state of a tenant.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TenantStatus {
    /// Generation that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Phase.
    #[serde(default)]
    pub phase: TenantPhase,
    /// Namespace of its instances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Resolved limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<LimitsSchema>")]
    pub limits: Option<Limits>,
    /// `Ready`, `PlanKnown`, `NamespaceReady`, `Archived`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// Schema of [`Limits`], which lives in the domain crate without schema dependencies.
#[derive(schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code)]
pub(crate) struct LimitsSchema {
    plan: String,
    seats: Option<u32>,
    storage_bytes: u64,
    bandwidth_bytes: Option<u64>,
    records: Option<u64>,
}
