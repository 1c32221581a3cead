//! tenantry-operator: the controllers. This crate does the I/O; what should be is decided in tenantry-plan.
//!
//! One reconcile is one straight road: observe, validate, plan, apply, status, requeue. Folders: `cluster`
//! talks to Kubernetes, `sql` keeps the administrations of database servers, the others are one controller
//! each, `process` is what surrounds them (start, leadership, health, metrics).

pub mod archive;
pub mod blueprint;
pub mod cluster;
pub mod context;
pub mod error;
pub mod halt;
pub mod instance;
pub mod integration;
pub mod process;
pub mod server;
pub mod site;
pub mod sql;
pub mod tenant;
