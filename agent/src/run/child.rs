//! Runs one command in its own process group: starts, feeds and watches it, and ends all its processes. Does I/O.

use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions, kill_process_group, test_kill_process_group, waitpgid};
use tenantry_core::steps::RenderedStep;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use super::lines::Output;

/// Time between SIGTERM and SIGKILL.
pub const GRACE: Duration = Duration::from_secs(10);
/// Maximum time until the pipes are empty once the whole group is gone.
const DRAIN: Duration = Duration::from_secs(2);
/// Pause between two checks of a group that is ending.
const LOOK: Duration = Duration::from_millis(20);

/// How a command ended.
#[derive(Debug)]
pub enum Ended {
    /// The command ended by itself.
    Exited(ExitStatus),
    /// The command was killed, because its time was over or the agent was told to stop.
    Cut(Cut),
    /// The command could not be started or watched.
    Broken(String),
}

/// Why a command was killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The step's own time was over.
    Step,
    /// The time of the whole run was over.
    Run,
    /// The agent received SIGTERM.
    Stopped,
}

/// Runs a command until it ends by itself or `cut` gives a reason to end it.
pub async fn run(step: &RenderedStep, output: &Arc<Output>, cut: impl Future<Output = Cut>) -> Ended {
    let mut child = match start(step) {
        Ok(child) => child,
        Err(e) => return Ended::Broken(format!("cannot be started: {e}")),
    };
    // The group has the id of its leader. The id exists until the child has been waited for.
    let Some(group) = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) else {
        return Ended::Broken("it has no process id".into());
    };
    let mut readers = Vec::new();
    if let Some(pipe) = child.stdout.take() {
        readers.push(tokio::spawn(Arc::clone(output).read(pipe)));
    }
    if let Some(pipe) = child.stderr.take() {
        readers.push(tokio::spawn(Arc::clone(output).read(pipe)));
    }
    let feeder = child.stdin.take().zip(step.stdin.clone()).map(|(mut pipe, text)| {
        tokio::spawn(async move {
            // A child need not read its input.
            let _ = pipe.write_all(text.as_bytes()).await;
        })
    });

    let ended = tokio::select! {
        status = child.wait() => match status {
            Ok(status) => Ended::Exited(status),
            Err(e) => Ended::Broken(format!("cannot be waited for: {e}")),
        },
        why = cut => {
            end_gently(&mut child, group).await;
            Ended::Cut(why)
        }
    };
    // Processes that the command left behind end with it, so that the next step starts alone.
    let _ = kill_process_group(group, Signal::KILL);
    reap(group);
    if let Some(feeder) = feeder {
        feeder.abort();
    }
    for mut reader in readers {
        if timeout(DRAIN, &mut reader).await.is_err() {
            // A process that left the group still has the pipe open.
            reader.abort();
        }
    }
    output.close();
    ended
}

fn start(step: &RenderedStep) -> std::io::Result<Child> {
    let missing = || std::io::Error::new(std::io::ErrorKind::InvalidInput, "the command is empty");
    let (program, args) = step.command.split_first().ok_or_else(missing)?;
    let mut command = Command::new(program);
    command.args(args).envs(&step.env);
    if let Some(dir) = &step.working_dir {
        command.current_dir(dir);
    }
    command
        .stdin(if step.stdin.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
}

/// Sends SIGTERM to the group, and SIGKILL to the rest of it after the grace time.
async fn end_gently(child: &mut Child, group: Pid) {
    let _ = kill_process_group(group, Signal::TERM);
    let deadline = Instant::now() + GRACE;
    let leader_gone = tokio::time::timeout_at(deadline, child.wait()).await.is_ok();
    while leader_gone && Instant::now() < deadline {
        // If we are pid 1, orphans of the group are our children: an unreaped zombie would look alive.
        reap(group);
        if test_kill_process_group(group).is_err() {
            return;
        }
        sleep(LOOK).await;
    }
    let _ = kill_process_group(group, Signal::KILL);
    if !leader_gone {
        // No process can refuse SIGKILL. A leader that is stuck in the kernel is left to kill_on_drop.
        let _ = timeout(DRAIN, child.wait()).await;
    }
}

/// Reaps the zombies of a group whose leader has been waited for.
fn reap(group: Pid) {
    while let Ok(Some(_)) = waitpgid(group, WaitOptions::NOHANG) {}
}
