//! Runs the steps of a job, one after the other, within their time limits. Does I/O.

mod child;
mod lines;

use std::fs;
use std::path::Path;
use std::time::Duration;

use regex::Regex;
use rustix::process::{WaitOptions, set_child_subreaper, wait};
use tenantry_core::progress::Event;
use tenantry_core::steps::{JobFile, RenderedStep};
use tenantry_core::template::Redactor;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep_until};

use self::child::{Cut, Ended};
use self::lines::Output;
use crate::report::{Outcome, Reporter};

/// Maximum size of a job file, in bytes (a Secret holds 1 MiB).
const FILE_MAX: u64 = 4 * 1024 * 1024;

/// Runs a job file. The outcome becomes the exit code.
pub async fn run(file: &Path, termination_log: &Path) -> Outcome {
    let bare = || Reporter::new(&[], &Redactor::default(), termination_log);
    let job = match read(file) {
        Ok(job) => job,
        Err(why) => return bare().end(Outcome::BadFile, &why),
    };
    let reporter = Reporter::new(&job.redact, &Redactor::default(), termination_log);
    let patterns = match patterns(&job) {
        Ok(patterns) => patterns,
        Err(why) => return reporter.end(Outcome::BadFile, &why),
    };
    let mut stop = match signal(SignalKind::terminate()) {
        Ok(stop) => stop,
        Err(e) => return reporter.end(Outcome::Failed, &format!("SIGTERM cannot be watched: {e}")),
    };
    // Makes orphans our children, so that we reap them, whichever process is pid 1. Only old kernels refuse this.
    let _ = set_child_subreaper(rustix::process::Pid::from_raw(1));

    reporter.say("", Event::Started, &format!("{} steps", job.steps.len()));
    let whole = Instant::now() + seconds(job.timeout_seconds);
    for (step, pattern) in job.steps.iter().zip(patterns) {
        let (outcome, message) = one(step, pattern, &reporter, whole, job.timeout_seconds, &mut stop).await;
        reporter.say(&step.name, outcome.event(), &message);
        // The runtime has no child here, so every process that can be waited for is an orphan.
        while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
        if outcome != Outcome::Passed {
            return reporter.end(outcome, &format!("step {}: {message}", step.name));
        }
    }
    reporter.end(Outcome::Passed, "all steps passed")
}

async fn one(
    step: &RenderedStep,
    pattern: Option<Regex>,
    reporter: &Reporter,
    whole: Instant,
    whole_seconds: u32,
    stop: &mut Signal,
) -> (Outcome, String) {
    reporter.say(&step.name, Event::Started, "");
    let own = Instant::now() + seconds(step.timeout_seconds);
    let output = Output::new(reporter, &step.name, pattern);
    let cut = async {
        tokio::select! {
            () = sleep_until(own.min(whole)) => if own <= whole { Cut::Step } else { Cut::Run },
            _ = stop.recv() => Cut::Stopped,
        }
    };
    let ended = child::run(step, &output, cut).await;
    let with_tail = |said: String| match output.tail() {
        tail if tail.is_empty() => said,
        tail => format!("{said}; last output: {tail}"),
    };
    match ended {
        Ended::Exited(status) if status.success() => match output.matched() {
            None => (Outcome::Passed, String::new()),
            Some(line) => (Outcome::Failed, format!("its output means failure: {line}")),
        },
        Ended::Exited(status) => (Outcome::Failed, with_tail(describe(status))),
        Ended::Cut(Cut::Step) => {
            (Outcome::TimedOut, with_tail(format!("killed after its {} seconds", step.timeout_seconds)))
        }
        Ended::Cut(Cut::Run) => {
            (Outcome::TimedOut, with_tail(format!("killed after the whole run's {whole_seconds} seconds")))
        }
        Ended::Cut(Cut::Stopped) => (Outcome::Stopped, with_tail("stopped by SIGTERM".into())),
        Ended::Broken(why) => (Outcome::Failed, why),
    }
}

fn describe(status: std::process::ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(9)) => "killed by SIGKILL (out of memory?)".into(),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => "ended in an unknown way".into(),
    }
}

fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(seconds.into())
}

/// Reads a JSON file. Errors do not repeat its content, because it contains secrets.
pub fn read_json<T: serde::de::DeserializeOwned>(file: &Path) -> Result<T, String> {
    let name = file.display();
    let size = fs::metadata(file).map_err(|e| format!("cannot read {name}: {e}"))?.len();
    if size > FILE_MAX {
        return Err(format!("{name} has {size} bytes; at most {FILE_MAX} are read"));
    }
    let text = fs::read(file).map_err(|e| format!("cannot read {name}: {e}"))?;
    serde_json::from_slice(&text).map_err(|e| {
        let what = match e.classify() {
            serde_json::error::Category::Data => "is JSON, but not of the expected form,",
            _ => "is not JSON",
        };
        format!("{name} {what} at line {} column {}", e.line(), e.column())
    })
}

fn read(file: &Path) -> Result<JobFile, String> {
    let job: JobFile = read_json(file)?;
    if job.steps.is_empty() {
        return Err("the job has no steps".into());
    }
    if job.timeout_seconds == 0 {
        return Err("the job has no time: timeoutSeconds is 0".into());
    }
    for step in &job.steps {
        if step.command.first().is_none_or(String::is_empty) {
            return Err(format!("step {}: the command is empty", step.name));
        }
        if step.timeout_seconds == 0 {
            return Err(format!("step {}: timeoutSeconds is 0", step.name));
        }
    }
    Ok(job)
}

fn patterns(job: &JobFile) -> Result<Vec<Option<Regex>>, String> {
    let compile = |step: &RenderedStep| {
        step.fail_on_output.as_deref().map(Regex::new).transpose().map_err(|e| {
            format!(
                "step {}: failOnOutput is not a regular expression: {}",
                step.name,
                e.to_string().replace('\n', " ")
            )
        })
    };
    job.steps.iter().map(compile).collect()
}
