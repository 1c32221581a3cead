//! tenantry: the command line of Tenantry; also runs as `kubectl-tenantry`. Does I/O.

#![allow(missing_docs)] // A program, not a library: filler helps nobody.

mod address;
mod archive;
mod args;
mod billing;
mod blueprint;
mod change;
mod cluster;
mod command;
mod completion;
mod confirm;
mod database_server;
mod diff;
mod doctor;
mod error;
mod form;
mod install;
mod instance;
mod listing;
mod output;
mod plan;
mod program;
mod progress;
mod proxy;
mod reference;
mod session;
mod start;
mod target;
mod tenant;
mod top;
mod version;
mod wait;

use std::process::ExitCode;

fn main() -> ExitCode {
    program::set(program::name_of(std::env::args_os().next().as_deref()));
    // Both sqlx and kube may bring a provider; one must be chosen before the first connection.
    let _ = rustls::crypto::ring::default_provider().install_default();
    command::answer();
    start::run(command::read())
}
