//! Generations of an instance's data on one server: their rows in its registry, and the conditional writes by which one
//! replaces another — does I/O through sessions.
//!
//! `tenantry_core::generation` decides what is done next; decision 13 (docs/adr) says why it is safe. Each change here is
//! one write that looks at everything it is conditional on.

mod flow;
mod model;
mod read;
mod rows;

pub use flow::Generations;
pub use model::{Change, Changed, GenerationRow, NewGeneration, Other, Overdue};
pub(crate) use rows::Rows;
