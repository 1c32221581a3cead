//! The row of a generation, and the changes that may be made to it. No I/O.

use std::time::Duration;

use tenantry_core::generation::{Number, Progress, Rights, Role, Row, Token};

/// A generation on another server or on the same one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Other {
    /// Name of its DatabaseServer.
    pub server: String,
    /// Its number.
    pub number: Number,
}

/// A generation, as the registry of its server has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GenerationRow {
    /// What decides about it.
    pub row: Row,
    /// What its role may do.
    pub rights: Rights,
    /// How often its filling was begun again.
    pub fills: u64,
    /// Name of its database.
    pub database: String,
    /// The role that works in it.
    pub role: String,
    /// Server of the generation that it replaces.
    pub supersedes_server: Option<String>,
    /// Server of the generation that replaced it.
    pub successor_server: Option<String>,
    /// The operation that made the row what it is.
    pub operation: Option<String>,
    /// When the freeze that is held ends (UTC, RFC 3339), by the server's clock.
    pub frozen_until: Option<String>,
    /// When the row was written (UTC, RFC 3339).
    pub created_at: String,
    /// When it last changed (UTC, RFC 3339).
    pub updated_at: String,
}

/// A freeze whose time is over, or rights that were taken for a freeze that nobody holds any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overdue {
    /// Owner of the generation.
    pub owner: String,
    /// Its number.
    pub number: Number,
    /// The freeze that is held and over. None: only its rights are left to be given back.
    pub held: Option<Token>,
    /// The freeze for which rights are taken. None: they are whole.
    pub taken: Option<Token>,
}

/// A generation to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewGeneration {
    /// Its number, above every number that was ever used.
    pub number: Number,
    /// Name of its database, which is also the name of its role.
    pub database: String,
    /// The generation that it replaces, and the freeze under which it is filled. None: it is the first.
    pub supersedes: Option<(Other, Token)>,
    /// The operation that makes it.
    pub operation: Option<String>,
}

/// A change of a generation's row, or of the rights of its role. Each is conditional, and safe to repeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Writes the row of a candidate. Nothing is done while the server has another candidate of this owner.
    Begin(NewGeneration),
    /// Notes how far a candidate is, if this beginning of its filling is the newest. It never goes back.
    Progress {
        /// The candidate.
        number: Number,
        /// How far it is.
        to: Progress,
        /// The beginning whose work this is, as the row or [`super::Generations::begin_fill`] gave it.
        fill: u64,
    },
    /// Holds a freeze with a new token, while the generation is current and no freeze is held on it.
    Freeze {
        /// The current generation.
        number: Number,
        /// The operation that freezes it.
        operation: String,
        /// How long the freeze may be held, by the server's clock.
        holds: Duration,
    },
    /// Takes the rights to write, while this freeze is held.
    TakeRights {
        /// The generation.
        number: Number,
        /// The freeze.
        token: Token,
    },
    /// Ends writers, waits until they have gone, and notes the print of what is frozen.
    Fence {
        /// The generation.
        number: Number,
        /// The freeze.
        token: Token,
    },
    /// The decision: retires a generation in favour of another one, while its freeze is held, fenced and not over, and
    /// nothing was written in it since the fence.
    Decide {
        /// The generation that people work in.
        number: Number,
        /// The generation that replaces it.
        to: Other,
        /// The freeze under which the other one was filled.
        token: Token,
    },
    /// Ends a freeze: nobody decides by it from now on.
    ClearToken {
        /// The generation.
        number: Number,
        /// The freeze.
        token: Token,
    },
    /// Gives the rights back that were taken for this freeze.
    GiveBack {
        /// The generation.
        number: Number,
        /// The freeze.
        token: Token,
    },
    /// Keeps the role of a retired generation from logging in, and ends its sessions.
    Lock(Number),
    /// Notes that a verified candidate is current, if it was not filled again since. A first generation that is
    /// transformed is verified by this.
    MakeCurrent {
        /// The candidate.
        number: Number,
        /// The beginning of its filling that was verified.
        fill: u64,
    },
    /// Lets the role of the current generation log in.
    Unlock(Number),
    /// Leaves the tombstone of a generation whose database is gone.
    Bury(Number),
}

/// Whether a change was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// It is as the change wants it.
    Done,
    /// A condition of the change does not hold (any more): look again.
    NotNow,
}

impl Change {
    /// The generation that it is about.
    #[must_use]
    pub fn number(&self) -> Number {
        match self {
            Self::Begin(new) => new.number,
            Self::Progress { number, .. }
            | Self::Freeze { number, .. }
            | Self::TakeRights { number, .. }
            | Self::Fence { number, .. }
            | Self::Decide { number, .. }
            | Self::ClearToken { number, .. }
            | Self::GiveBack { number, .. }
            | Self::Lock(number)
            | Self::MakeCurrent { number, .. }
            | Self::Unlock(number)
            | Self::Bury(number) => *number,
        }
    }
}

/// The text of a role in the registry.
pub(super) fn role_text(role: Role) -> &'static str {
    match role {
        Role::Candidate => "candidate",
        Role::Current => "current",
        Role::Retired => "retired",
        Role::Dropped => "dropped",
    }
}

/// The text of a candidate's progress in the registry.
pub(super) fn progress_text(progress: Progress) -> &'static str {
    match progress {
        Progress::Filling => "filling",
        Progress::Filled => "filled",
        Progress::Transformed => "transformed",
        Progress::Verified => "verified",
    }
}

/// All degrees of a candidate's progress, in their order.
pub(super) const PROGRESS: [Progress; 4] =
    [Progress::Filling, Progress::Filled, Progress::Transformed, Progress::Verified];

/// Reads the text of a role.
pub(super) fn role_of(text: &str) -> Option<Role> {
    [Role::Candidate, Role::Current, Role::Retired, Role::Dropped].into_iter().find(|r| role_text(*r) == text)
}

/// Reads the text of a progress.
pub(super) fn progress_of(text: &str) -> Option<Progress> {
    PROGRESS.into_iter().find(|p| progress_text(*p) == text)
}
