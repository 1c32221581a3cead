//! Runs one command and turns its end into an exit code. Does I/O.

use std::process::ExitCode;

use crate::cluster::{Cluster, Where};
use crate::command::{Cli, Command};
use crate::error::{Exit, Problem};
use crate::output::Out;
use crate::session::{Leave, Session};
use crate::{
    archive, billing, blueprint, completion, database_server, diff, doctor, install, instance, plan, reference, tenant,
    top, version,
};

pub fn run(cli: Cli) -> ExitCode {
    let out = Out::new(cli.output);
    let leave = Leave::default();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            out.note(&Problem::failed(format!("cannot start: {e}")).render(out.paint_error));
            return ExitCode::from(Exit::FAILED.0);
        }
    };
    let ended = runtime.block_on(async {
        tokio::select! {
            ended = dispatch(cli.command, &cli.place, out.clone(), leave.clone()) => ended,
            () = left(&leave) => Err(leave.problem()),
        }
    });
    // A question that nobody answers any more must not keep the process alive.
    runtime.shutdown_background();
    match ended {
        Ok(exit) => ExitCode::from(exit.0),
        Err(problem) => {
            if !problem.what.is_empty() {
                out.note(&problem.render(out.paint_error));
            }
            ExitCode::from(problem.exit.0)
        }
    }
}

async fn left(leave: &Leave) {
    loop {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        if !leave.passes() {
            return;
        }
    }
}

async fn dispatch(command: Command, place: &Where, out: Out, leave: Leave) -> Result<Exit, Problem> {
    // Commands that need no cluster.
    let command = match command {
        Command::Completion(args) => return completion::run(&args, &out),
        Command::Reference => {
            out.line(&reference::markdown());
            return Ok(Exit::DONE);
        }
        Command::Version(args) => return version::run(&args, place, &out).await,
        Command::Blueprint(blueprint::Command::Validate(args)) => return blueprint::validate::run(&args, &out),
        Command::Blueprint(blueprint::Command::Render(args)) => return blueprint::render::run(&args, &out),
        Command::Blueprint(blueprint::Command::New(args)) => return blueprint::new::run(&args, &out).await,
        Command::Blueprint(blueprint::Command::Schema) => return blueprint::schema::run(&out),
        Command::Plan(plan::Command::Advise(args)) if !args.files.is_empty() => {
            return plan::advise::run_files(&args, &out);
        }
        Command::Doctor(args) => return doctor::run(&args, place, out).await,
        other => other,
    };
    let cluster = Cluster::connect(place).await?;
    let session = Session { out, cluster, leave };
    match command {
        Command::Tenant(command) => tenant::run(command, &session).await,
        Command::Instance(command) => instance::run(command, &session).await,
        Command::Plan(command) => plan::run(&command, &session).await,
        Command::Blueprint(command) => blueprint::run(&command, &session).await,
        Command::DatabaseServer(command) => database_server::run(&command, &session).await,
        Command::Archive(command) => archive::run(command, &session).await,
        Command::Billing(command) => billing::run(&command, &session).await,
        Command::Diff(args) => diff::run(&args, &session).await,
        Command::Top(args) => top::run(&args, &session).await,
        Command::Install(args) => install::run(&args, &session).await,
        Command::Uninstall(args) => install::uninstall::run(&args, &session).await,
        Command::Completion(_) | Command::Reference | Command::Version(_) | Command::Doctor(_) => Ok(Exit::DONE),
    }
}
