//! The engines of database servers that Tenantry administers. No I/O.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

crate::listed! {
    /// Engines that Tenantry administers.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
    #[serde(rename_all = "lowercase")]
    pub enum Engine {
        /// PostgreSQL 13 and newer.
        Postgresql,
        /// MariaDB 10.5 and newer.
        Mariadb,
    }
}

impl Engine {
    /// The engine's name in specs and messages.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Postgresql => "postgresql",
            Self::Mariadb => "mariadb",
        }
    }

    /// The port on which the engine listens by default.
    #[must_use]
    pub const fn port(self) -> u16 {
        match self {
            Self::Postgresql => 5432,
            Self::Mariadb => 3306,
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A text that names no engine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no engine; engines are {known}", known = Engine::ALL.map(Engine::word).join(", "))]
pub struct UnknownEngine(pub String);

impl FromStr for Engine {
    type Err = UnknownEngine;

    fn from_str(text: &str) -> Result<Self, UnknownEngine> {
        Self::ALL.into_iter().find(|e| e.word() == text).ok_or_else(|| UnknownEngine(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_engine_comes_back_from_its_word() {
        for engine in Engine::ALL {
            assert_eq!(engine.word().parse(), Ok(engine));
            assert_eq!(serde_json::to_value(engine).unwrap(), engine.word());
        }
        assert_eq!("oracle".parse::<Engine>(), Err(UnknownEngine("oracle".into())));
    }
}
