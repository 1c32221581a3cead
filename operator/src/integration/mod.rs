//! Integrations of instances: whether customers' own services answer. Checks run beside the reconciles, a few at once.

mod checks;
pub mod front;
mod probe;
mod tls;

pub use checks::{Begun, Checks, Found, Question};
pub use probe::run;
