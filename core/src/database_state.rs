//! How far a database is, as the row of its server's own registry says. No I/O.

use std::fmt;
use std::str::FromStr;

crate::listed! {
    /// State of a database. Kept in the server's registry as text.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub enum State {
        /// Recorded, perhaps incomplete; nothing was ever served from it.
        Creating,
        /// Created, with the content of its source.
        Loaded,
        /// The blueprint's installation is running in it, or a copy is being filled.
        Installing,
        /// Sealed: nobody connects, and copies are made from it.
        Template,
        /// The blueprint's own steps for this instance are done.
        Personalised,
        /// Its owner is archived; the role is locked.
        Archived,
        /// Being dropped, perhaps partly gone.
        Dropping,
    }
}

/// A text that names no state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown state {0:?}")]
pub struct UnknownState(pub String);

impl State {
    /// The text form kept in the registry.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Loaded => "loaded",
            Self::Installing => "installing",
            Self::Template => "template",
            Self::Personalised => "personalised",
            Self::Archived => "archived",
            Self::Dropping => "dropping",
        }
    }

    /// Whether the database holds more than the half-made content of an earlier attempt.
    #[must_use]
    pub const fn is_data(self) -> bool {
        match self {
            Self::Loaded | Self::Personalised | Self::Archived => true,
            Self::Creating | Self::Installing | Self::Template | Self::Dropping => false,
        }
    }

    /// Whether somebody may have worked in a database in this state, so that its absence is a loss.
    #[must_use]
    pub const fn was_made(self) -> bool {
        match self {
            Self::Loaded | Self::Installing | Self::Template | Self::Personalised | Self::Archived => true,
            Self::Creating | Self::Dropping => false,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for State {
    type Err = UnknownState;

    fn from_str(text: &str) -> Result<Self, UnknownState> {
        Self::ALL.into_iter().find(|s| s.as_str() == text).ok_or_else(|| UnknownState(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_comes_back_from_its_text_and_unknown_text_is_an_error() {
        for state in State::ALL {
            assert_eq!(state.as_str().parse::<State>().unwrap(), state);
        }
        assert!("sleeping".parse::<State>().unwrap_err().to_string().contains("sleeping"));
    }
}
