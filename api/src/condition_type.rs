//! The types of conditions, of all kinds: their words, what people call them, and their order on an instance's road. No
//! I/O.

use std::fmt;

/// The type of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConditionType {
    /// Of every kind: it is as it should be.
    Ready,
    /// An instance: its spec can be.
    SpecValid,
    /// An instance: its host is its own.
    HostClaimed,
    /// A copy: the original's data is there.
    Copied,
    /// A copy: it cannot write to customers.
    Neutralised,
    /// An instance: its database is there.
    DatabaseReady,
    /// An instance: its database is filled, and its own.
    Installed,
    /// An instance: what it should run runs.
    ProcessesReady,
    /// An instance: a log-in and a record, written and read.
    Verified,
    /// How people reach an instance; whether a database server answers.
    Reachable,
    /// An instance: the server of its database answers.
    DatabaseReachable,
    /// An instance: nothing of it runs, as its suspended tenant wants.
    Stopped,
    /// An instance: false while it was made with other values.
    SettingsApplied,
    /// A tenant or an instance that goes: how far its archive is.
    Archived,
    /// A tenant: its plan exists.
    PlanKnown,
    /// A tenant: namespace, quota and network rules.
    NamespaceReady,
    /// An Archive: the data is gone.
    Purged,
    /// A blueprint: it can be used.
    Valid,
    /// A managed database server: its volume.
    VolumeReady,
    /// A database server: every database belongs to somebody.
    NoOrphans,
    /// The Site: requests of people get through the network rules.
    IngressAdmitted,
    /// The Site: credentials of registries can be used.
    ImagePullSecretsReady,
}

/// The road of an instance: its conditions in the order in which they become true.
pub const ROAD: [ConditionType; 7] = {
    use ConditionType::{DatabaseReady, HostClaimed, Installed, ProcessesReady, Reachable, SpecValid, Verified};
    [SpecValid, HostClaimed, DatabaseReady, Installed, ProcessesReady, Verified, Reachable]
};
/// The road of a copy of another instance.
pub const ROAD_OF_A_COPY: [ConditionType; 9] = {
    use ConditionType::{
        Copied, DatabaseReady, HostClaimed, Installed, Neutralised, ProcessesReady, Reachable, SpecValid, Verified,
    };
    [SpecValid, HostClaimed, Copied, Neutralised, DatabaseReady, Installed, ProcessesReady, Verified, Reachable]
};

impl ConditionType {
    /// Its word, as it stands in `type`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::SpecValid => "SpecValid",
            Self::HostClaimed => "HostClaimed",
            Self::Copied => "Copied",
            Self::Neutralised => "Neutralised",
            Self::DatabaseReady => "DatabaseReady",
            Self::Installed => "Installed",
            Self::ProcessesReady => "ProcessesReady",
            Self::Verified => "Verified",
            Self::Reachable => "Reachable",
            Self::DatabaseReachable => "DatabaseReachable",
            Self::Stopped => "Stopped",
            Self::SettingsApplied => "SettingsApplied",
            Self::Archived => "Archived",
            Self::PlanKnown => "PlanKnown",
            Self::NamespaceReady => "NamespaceReady",
            Self::Purged => "Purged",
            Self::Valid => "Valid",
            Self::VolumeReady => "VolumeReady",
            Self::NoOrphans => "NoOrphans",
            Self::IngressAdmitted => "IngressAdmitted",
            Self::ImagePullSecretsReady => "ImagePullSecretsReady",
        }
    }

    /// What people call it.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::SpecValid => "spec",
            Self::HostClaimed => "host",
            Self::Copied => "copied",
            Self::Neutralised => "neutralised",
            Self::DatabaseReady => "database",
            Self::Installed => "installed",
            Self::ProcessesReady => "application",
            Self::Verified => "verified",
            Self::Reachable => "reached",
            Self::DatabaseReachable => "database server",
            Self::Stopped => "stopped",
            Self::SettingsApplied => "settings",
            Self::Archived => "archived",
            Self::PlanKnown => "plan",
            Self::NamespaceReady => "namespace",
            Self::Purged => "purged",
            Self::Valid => "valid",
            Self::VolumeReady => "volume",
            Self::NoOrphans => "orphans",
            Self::IngressAdmitted => "ingress",
            Self::ImagePullSecretsReady => "image pull secrets",
        }
    }
}

impl AsRef<str> for ConditionType {
    fn as_ref(&self) -> &str {
        self.word()
    }
}

impl fmt::Display for ConditionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
