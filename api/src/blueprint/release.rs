//! Releases of a blueprint, and the pinned form that an instance keeps. No I/O.

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};
use tenantry_core::bounds;
use tenantry_core::hash::content_hash;

use super::BlueprintSpec;

/// For whom a release is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    /// For everyone.
    #[default]
    Stable,
    /// For those who asked to try it before the product update.
    Early,
}

/// One version of a product.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("self.image == oldSelf.image && has(self.vars) == has(oldSelf.vars) && (!has(self.vars) || self.vars == oldSelf.vars)").message("image and vars of a release cannot change, instances may run it: add a new release under a new version"))]
pub struct Release {
    /// Version.
    #[schemars(length(min = 1, max = 40), regex(pattern = "^[0-9A-Za-z][0-9A-Za-z._+-]*$"))]
    pub version: String,
    /// Image, by digest in production.
    #[schemars(length(min = 1, max = 500))]
    pub image: String,
    /// Stable or early.
    #[serde(default)]
    pub channel: Channel,
    /// Whether it mends a security fault.
    #[serde(default)]
    pub security: bool,
    /// Versions from which an upgrade to this one is allowed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(max = 40)))]
    pub follows: Vec<String>,
    /// Values that differ between releases, for templates as `release.vars.NAME`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(transform = bounds::map(50, bounds::NAME, Some(1_000)))]
    pub vars: BTreeMap<String, String>,
}

/// A blueprint with exactly one release: what an instance pins. It is kept, content-addressed, so that
/// a later change of the Blueprint cannot restart or alter a running tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Effective {
    /// Name of the blueprint.
    pub blueprint: String,
    /// The blueprint's content without its list of releases.
    pub spec: BlueprintSpec,
    /// SHA-256 over blueprint name and spec.
    pub hash: String,
}

/// A release that does not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownRelease {
    /// What was asked for; none: any of the stable channel.
    pub wanted: Option<String>,
    /// What there is.
    pub known: Vec<String>,
}

impl std::fmt::Display for UnknownRelease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let known = self.known.join(", ");
        match &self.wanted {
            Some(wanted) => write!(f, "release {wanted:?} does not exist; releases: {known}"),
            None => write!(f, "no release is in the stable channel; name one of: {known}"),
        }
    }
}

impl std::error::Error for UnknownRelease {}

impl Effective {
    /// Pins one release of a blueprint: the named one, or the last of the stable channel.
    ///
    /// # Errors
    /// [`UnknownRelease`] when there is none.
    pub fn pin(blueprint: &str, spec: &BlueprintSpec, wanted: Option<&str>) -> Result<Self, UnknownRelease> {
        let found = match wanted {
            Some(version) => spec.releases.iter().find(|r| r.version == version),
            None => spec.releases.iter().rev().find(|r| r.channel == Channel::Stable),
        };
        let release = found.ok_or_else(|| UnknownRelease {
            wanted: wanted.map(str::to_owned),
            known: spec.releases.iter().map(|r| r.version.clone()).collect(),
        })?;
        let mut pinned = spec.clone();
        // What is for people, or says for whom the release is, changes nothing that runs: it is not pinned,
        // so that promoting a release to stable or mending a text builds no template anew.
        pinned.releases =
            vec![Release { channel: Channel::Stable, security: false, follows: Vec::new(), ..release.clone() }];
        pinned.description = None;
        pinned.homepage = None;
        pinned.verified = false;
        // A spec that came through JSON can always be written as JSON; the empty hash would be refused later.
        let hash = content_hash(&(blueprint, &pinned)).unwrap_or_default();
        Ok(Self { blueprint: blueprint.to_owned(), spec: pinned, hash })
    }

    /// The release of a hash, if the blueprint still has it with the same content.
    #[must_use]
    pub fn find(blueprint: &str, spec: &BlueprintSpec, hash: &str) -> Option<Self> {
        // The newest is the likeliest.
        let mut all = spec.releases.iter().rev();
        all.find_map(|r| Self::pin(blueprint, spec, Some(&r.version)).ok().filter(|found| found.hash == hash))
    }

    /// The pinned release.
    #[must_use]
    pub fn release(&self) -> Option<&Release> {
        self.spec.releases.first()
    }
}
