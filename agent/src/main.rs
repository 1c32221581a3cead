//! tenantry-agent: one static binary that works inside job pods. Does I/O: it only chooses what to do.
//!
//! It has no API token: it reports everything in JSON lines on stdout.

#![allow(missing_docs)] // A program, not a library: filler helps nobody.

mod install;
mod page;
mod report;
mod run;
mod tree;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::report::Outcome;

#[derive(Parser)]
#[command(name = "tenantry-agent", version, about = "Works inside the pods of Tenantry's jobs")]
struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Copies this program into a folder, so that a product's own image can run it
    InstallTo {
        /// The folder
        dir: PathBuf,
    },
    /// Runs the steps of a job
    Run {
        /// The file with the steps
        #[arg(long, default_value = "/tenantry/job/steps.json")]
        file: PathBuf,
        /// File for the last failure; ignored when it does not exist
        #[arg(long, default_value = report::TERMINATION_LOG)]
        termination_log: PathBuf,
    },
    /// Copies everything below a folder to another, as it is; what is in the other goes first
    CopyTree {
        /// The folder that is read
        #[arg(long)]
        from: PathBuf,
        /// The folder that is written, which exists
        #[arg(long)]
        to: PathBuf,
    },
    /// Serves the page of a suspended or maintained application
    Page {
        /// Address to listen on
        #[arg(long, default_value = "[::]:8080")]
        listen: std::net::SocketAddr,
        /// The file with the page's texts; without it the texts come from the environment
        #[arg(long)]
        file: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    let args = Args::parse();
    // One thread is enough for all commands, and takes little memory.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return report::complain(&format!("no runtime: {e}"), Outcome::Failed),
    };
    let outcome = match args.what {
        What::InstallTo { dir } => match install::install_to(&dir) {
            Ok(()) => Outcome::Passed,
            Err(e) => return report::complain(&e.to_string(), Outcome::Failed),
        },
        What::Run { file, termination_log } => runtime.block_on(run::run(&file, &termination_log)),
        What::CopyTree { from, to } => match tree::copy_tree(&from, &to) {
            Ok(copied) => {
                tree::say(&copied);
                Outcome::Passed
            }
            Err(e) => return report::complain(&e.to_string(), Outcome::Failed),
        },
        What::Page { listen, file } => match runtime.block_on(page::serve(listen, file.as_deref())) {
            Ok(()) => Outcome::Passed,
            Err(e) => return report::complain(&e.to_string(), e.outcome()),
        },
    };
    // A task that reads a pipe without an end must not keep the process alive.
    runtime.shutdown_background();
    outcome.exit_code()
}
