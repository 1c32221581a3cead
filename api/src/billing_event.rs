//! BillingEvent: a fact to be billed, waiting in the cluster until the hub has acknowledged it. No I/O.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};
use tenantry_core::ledger::Facts;

/// A fact to be billed. Its exact bytes are fixed before it is first created and can never change.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "tenantry.dev",
    version = "v1alpha1",
    kind = "BillingEvent",
    plural = "billingevents",
    shortname = "bev",
    category = "tenantry",
    namespaced,
    derive = "PartialEq",
    doc = "A fact to be billed, waiting until the hub has acknowledged it.",
    printcolumn = r#"{"name":"Type","type":"string","jsonPath":".spec.type"}"#,
    printcolumn = r#"{"name":"Tenant","type":"string","jsonPath":".spec.tenantName"}"#,
    printcolumn = r#"{"name":"Subject","type":"string","jsonPath":".spec.subject"}"#,
    printcolumn = r#"{"name":"Sequence","type":"integer","jsonPath":".spec.sequence"}"#,
    printcolumn = r#"{"name":"Time","type":"string","jsonPath":".spec.time"}"#,
    validation = Rule::new("self.spec == oldSelf.spec").message("a BillingEvent is a record and cannot be changed; corrections are new events"),
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BillingEventSpec {
    /// Id of the event, unique in its source for ever.
    #[schemars(length(min = 1, max = 100))]
    pub id: String,
    /// Id of the site.
    #[schemars(length(min = 1, max = 63))]
    pub source: String,
    /// CloudEvents type, for example dev.tenantry.installed.
    #[serde(rename = "type")]
    #[schemars(length(min = 1, max = 100))]
    pub event_type: String,
    /// When it happened, RFC 3339.
    #[schemars(length(min = 1, max = 40))]
    pub time: String,
    /// Number in the stream of its subject, from 1, without gaps.
    #[schemars(range(min = 1))]
    pub sequence: u64,
    /// `tenant/ID` or `instance/ID`.
    #[schemars(length(min = 1, max = 100))]
    pub subject: String,
    /// Id of the tenant.
    #[schemars(length(min = 10, max = 10))]
    pub tenant_id: String,
    /// Name of the tenant at that time, for people.
    #[schemars(length(min = 1, max = 63))]
    pub tenant_name: String,
    /// The state after the event, limits included.
    #[schemars(with = "FactsSchema")]
    pub after: Facts,
}

#[derive(schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code)]
struct FactsSchema {
    installed: Option<InstalledSchema>,
    suspended: bool,
    limits: Option<crate::tenant::LimitsSchema>,
    #[schemars(length(max = 20))]
    life: String,
}

#[derive(schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code)]
struct InstalledSchema {
    blueprint: String,
    release: String,
    environment: String,
    host: Option<String>,
}
