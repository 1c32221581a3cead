//! The row of a generation in its server's registry, and what its database says of its own rights. No I/O.

/// Names one freeze. Each is greater than all before it on the same generation.
pub type Token = u64;
/// The number of a generation.
pub type Number = u32;

/// What a generation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// It is being made, or waits for the switch. Nobody works in it.
    Candidate,
    /// People work in it.
    Current,
    /// It was current, and is kept until its time is over.
    Retired,
    /// A tombstone: its data is gone, its number is never used again.
    Dropped,
}

/// How far a candidate is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Progress {
    /// Nothing can be said of its content.
    Filling,
    /// It has all of its source.
    Filled,
    /// Its content is what it must be: migrated, neutralised, personalised.
    Transformed,
    /// It was verified, and may replace the generation that it names.
    Verified,
}

/// A freeze of the current generation: it takes no writes while this is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Freeze {
    /// Which one.
    pub token: Token,
    /// Whether its deadline has passed, by the server's own clock.
    pub is_over: bool,
    /// Whether all writers have ended since the rights were taken: what is read now does not change any more.
    pub is_fenced: bool,
}

/// A generation, as its server's registry has it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Row {
    /// Its number.
    pub number: Number,
    /// What it is.
    pub role: Role,
    /// Of a candidate, how far it is.
    pub progress: Progress,
    /// Of a candidate, the freeze during which it is filled: what its source takes after that is not in it.
    pub filled_under: Option<Token>,
    /// Of a candidate, the generation that it replaces; none: it is the first.
    pub supersedes: Option<Number>,
    /// Of a retired one, the generation that replaced it.
    pub successor: Option<Number>,
    /// The freeze that is held on it.
    pub freeze: Option<Freeze>,
}

/// What the role of a generation may do in its database, as that database itself has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rights {
    /// It reads and writes.
    Whole,
    /// It reads; the rights to write are kept for this freeze.
    Taken(Token),
    /// It does not log in.
    Locked,
}

impl Row {
    /// A row of which nothing else is said.
    #[must_use]
    pub fn new(number: Number, role: Role) -> Self {
        Self {
            number,
            role,
            progress: Progress::Filling,
            filled_under: None,
            supersedes: None,
            successor: None,
            freeze: None,
        }
    }
}
