//! Real servers for the tests, faults at the k-th call, and dumps of what a server holds — does I/O.

mod dump;
mod fault;
mod mover;
mod world;

pub use fault::Breaking;
pub use mover::{Mover, Served};
pub use world::{Kind, World};
