//! Archive: what is left of a tenant or instance after deletion. No I/O.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

/// Longest text of a release that an Archive carries.
pub const RELEASE_MAX: usize = 200_000;
/// What is left of [`ArchiveSpec::object`] when the data was purged.
pub const BLANK: &str = "{}";

/// What was archived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum ArchivedKind {
    /// A whole tenant; its instances have archives of their own.
    Tenant,
    /// One instance.
    CrmInstance,
}

/// What is left of a tenant or instance after deletion.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "tenantry.dev",
    version = "v1alpha1",
    kind = "Archive",
    plural = "archives",
    shortname = "arc",
    category = "tenantry",
    status = "ArchiveStatus",
    derive = "PartialEq",
    doc = "What is left of a tenant or instance after deletion. Its data stays until it is purged by name.",
    printcolumn = r#"{"name":"Kind","type":"string","jsonPath":".spec.kind"}"#,
    printcolumn = r#"{"name":"Name","type":"string","jsonPath":".spec.name"}"#,
    printcolumn = r#"{"name":"Tenant","type":"string","jsonPath":".spec.tenantName"}"#,
    printcolumn = r#"{"name":"Phase","type":"string","jsonPath":".status.phase"}"#,
    printcolumn = r#"{"name":"Archived","type":"date","jsonPath":".spec.archivedAt"}"#,
    printcolumn = r#"{"name":"Retain until","type":"string","jsonPath":".spec.retainUntil"}"#,
    validation = Rule::new("!has(self.spec.purge) || self.spec.purge.confirm == self.metadata.name || self.spec.purge.confirm == self.spec.name").message("spec.purge.confirm must be the name of this Archive: purging destroys the data for ever"),
    // Several archives may be of one name. Demands of that name that were stored by earlier versions stay valid.
    validation = Rule::new("!has(self.spec.purge) || has(oldSelf.spec.purge) || self.spec.purge.confirm == self.metadata.name").message("spec.purge.confirm must be the name of this Archive (not the archived name, which others may have as well): purging destroys the data for ever"),
    validation = Rule::new("self.spec.object == oldSelf.spec.object || (self.spec.object == '{}' && has(oldSelf.status) && has(oldSelf.status.phase) && oldSelf.status.phase in ['Adopted', 'Purging', 'Purged'])").message("an Archive is a record and cannot be changed; only its spec.object is blanked when the data is purged"),
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("self.kind == oldSelf.kind && self.id == oldSelf.id && self.name == oldSelf.name && self.tenantId == oldSelf.tenantId && self.tenantName == oldSelf.tenantName && self.__namespace__ == oldSelf.__namespace__ && self.archivedAt == oldSelf.archivedAt").message("an Archive is a record and cannot be changed; only retainUntil and purge can"))]
#[x_kube(validation = Rule::new("self.databases == oldSelf.databases && self.volumes == oldSelf.volumes && self.secrets == oldSelf.secrets && self.ledger == oldSelf.ledger").message("an Archive is a record and cannot be changed; only retainUntil and purge can"))]
#[x_kube(validation = Rule::new("self.life == oldSelf.life && has(self.dataGeneration) == has(oldSelf.dataGeneration) && (!has(self.dataGeneration) || self.dataGeneration == oldSelf.dataGeneration) && has(self.releaseHash) == has(oldSelf.releaseHash) && (!has(self.releaseHash) || self.releaseHash == oldSelf.releaseHash)").message("an Archive is a record and cannot be changed; only retainUntil and purge can"))]
#[x_kube(validation = Rule::new("has(self.release) == has(oldSelf.release) && (!has(self.release) || self.release == oldSelf.release)").message("an Archive is a record and cannot be changed; only retainUntil and purge can"))]
#[x_kube(validation = Rule::new("!has(oldSelf.purge) || (has(self.purge) && self.purge.confirm == oldSelf.purge.confirm && (!(has(oldSelf.purge.beforeRetention) && oldSelf.purge.beforeRetention) || (has(self.purge.beforeRetention) && self.purge.beforeRetention)))").message("a purge that was asked for cannot be taken back"))]
pub struct ArchiveSpec {
    /// Tenant or CrmInstance.
    pub kind: ArchivedKind,
    /// Id of what was archived.
    #[schemars(length(min = 10, max = 10))]
    pub id: String,
    /// Its name when it lived.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Which life of it ended, counted from 1.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub life: u32,
    /// Id of the tenant.
    #[schemars(length(min = 10, max = 10))]
    pub tenant_id: String,
    /// Name of the tenant.
    #[schemars(length(min = 1, max = 63))]
    pub tenant_name: String,
    /// Namespace in which volumes and Secrets are kept.
    #[schemars(length(min = 1, max = 63))]
    pub namespace: String,
    /// Databases kept.
    #[serde(default)]
    #[schemars(length(max = 20))]
    pub databases: Vec<KeptDatabase>,
    /// Volume claims kept.
    #[serde(default)]
    #[schemars(length(max = 200), inner(length(max = 253)))]
    pub volumes: Vec<String>,
    /// Secrets kept: without them the application could not read its own data.
    #[serde(default)]
    #[schemars(length(max = 200), inner(length(max = 253)))]
    pub secrets: Vec<String>,
    /// Generation of the data that was in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1_000_000))]
    pub data_generation: Option<u32>,
    /// Hash of the pinned release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub release_hash: Option<String>,
    /// The pinned release as JSON, so that the data can be taken over when nothing else has it any more. Left away
    /// where it is longer than this field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 200_000))]
    pub release: Option<String>,
    /// The object's spec as JSON, for `adopt`; `{}` when the data was purged: it names people.
    // The longest spec that the definitions admit, every character escaped, is shorter: tests/rules.rs.
    #[schemars(length(max = 700_000))]
    pub object: String,
    /// The recorded end of its billing stream as JSON.
    #[schemars(length(max = 4096))]
    pub ledger: String,
    /// When it was archived, RFC 3339.
    #[schemars(length(max = 40))]
    pub archived_at: String,
    /// Until when the data is kept at least, RFC 3339. Nothing is destroyed by itself afterwards.
    #[schemars(length(max = 40))]
    pub retain_until: String,
    /// Set to destroy the data for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purge: Option<Purge>,
}

/// The demand to destroy the data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Purge {
    /// The name of this Archive, written once more. (The archived name in demands of earlier versions.)
    #[schemars(length(min = 1, max = 63))]
    pub confirm: String,
    /// Destroys the data although `retainUntil` has not passed. Without it a purge waits for that day, and who adopts
    /// the archive before it is not refused.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub before_retention: bool,
}

/// A database that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeptDatabase {
    /// Name of the DatabaseServer.
    #[schemars(length(min = 1, max = 63))]
    pub server: String,
    /// Name of the database.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
}

/// Phases of an archive.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum ArchivePhase {
    /// The data is kept.
    #[default]
    Archived,
    /// A living object took the data over.
    Adopted,
    /// The data is being destroyed.
    Purging,
    /// The data is gone; this object remains as the record.
    Purged,
}

/// Observed state of an archive.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ArchiveStatus {
    /// Generation that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Phase.
    #[serde(default)]
    pub phase: ArchivePhase,
    /// PersistentVolumes behind the claims, noted before a purge takes the claims away: the data is gone when they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200), inner(length(max = 253)))]
    pub volumes: Vec<String>,
    /// Whether a purge has dropped the databases.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub databases_gone: bool,
    /// `Purged`, with what holds a purge up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}
