//! The operator as a process of the operating system: start, leadership, watches, health, metrics, traces. Does I/O.

pub mod claims;
pub mod figures;
pub mod health;
pub mod http;
pub mod leader;
pub mod metrics;
pub mod run;
pub mod sight;
pub mod traces;
pub mod watches;
