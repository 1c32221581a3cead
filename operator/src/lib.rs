//! tenantry-operator: the controllers. This crate does the I/O; the desired state is decided in tenantry-plan.
//!
//! One reconcile is one straight sequence: observe, validate, plan, apply, status, requeue. The modules:
//!
//! - `runtime`: the operator as a process: watches, leadership, health, metrics.
//! - `cluster`: the API server: apply, memory, objects, volumes. `sql`: the administrations of database servers.
//! - `life`: what all kinds share: claim, finalizer, adoption, ledger, the archive that remains at the end.
//! - `generation`: which generation of an instance's data is current, and how far a new one is.
//! - `operation`: jobs that do one-shot work: attempts, outcome, Secrets.
//! - `status` and `requeue`: one writer for every kind, and when an object is looked at again.
//! - The other modules are one controller each.

pub mod archive;
pub mod blueprint;
pub mod cluster;
pub mod context;
pub mod error;
mod generation;
pub mod halt;
pub mod instance;
pub mod integration;
pub mod life;
mod operation;
mod requeue;
pub mod runtime;
pub mod server;
pub mod site;
pub mod sql;
mod status;
pub mod tenant;
