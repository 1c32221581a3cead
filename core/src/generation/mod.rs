//! Generations of an instance's data, and how one replaces another: which row decides, and what is done next. No I/O.
//!
//! Decision 13 (docs/adr) says why it is as it is. `tenantry_database::Generations` keeps the rows on the servers and
//! makes each step that is a write. The operator writes the rows of an instance's first generation
//! along its own road and does not ask `next` yet; nothing replaces a generation yet.

mod machine;
#[cfg(test)]
mod model_tests;
mod row;
mod truth;

pub use machine::{Seen, Step, Wish, next};
pub use row::{Freeze, Number, Progress, Rights, Role, Row, Token};
pub use truth::{Truth, next_number, truth};
