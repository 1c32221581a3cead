//! Reports what happens, in JSON lines on stdout and in the pod's termination message. Does I/O.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tenantry_core::progress::{Event, MESSAGE_MAX, Report};
use tenantry_core::template::Redactor;

/// File from which Kubernetes reads a pod's termination message.
pub const TERMINATION_LOG: &str = "/dev/termination-log";
/// Maximum size of the termination message that Kubernetes keeps, in bytes.
const LAST_WORDS_MAX: usize = 4096;
/// Lines of a secret with several lines that are shorter than this are not secret by themselves.
const SECRET_LINE_MIN: usize = 8;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Everything passed.
    Passed,
    /// A step failed.
    Failed,
    /// The file given to the agent is wrong; another attempt does not help.
    BadFile,
    /// Time ran out.
    TimedOut,
    /// The agent was told to stop.
    Stopped,
}

impl Outcome {
    /// The exit code: 0 passed, 1 failed, 2 bad file, 3 timed out, 143 stopped by SIGTERM.
    pub fn exit_code(self) -> ExitCode {
        ExitCode::from(match self {
            Self::Passed => 0,
            Self::Failed => 1,
            Self::BadFile => 2,
            Self::TimedOut => 3,
            Self::Stopped => 143,
        })
    }

    /// The event that reports this outcome.
    pub fn event(self) -> Event {
        match self {
            Self::Passed => Event::Finished,
            Self::TimedOut => Event::TimedOut,
            Self::Failed | Self::BadFile | Self::Stopped => Event::Failed,
        }
    }
}

/// Writes reports. All clones write to the same place.
#[derive(Clone)]
pub struct Reporter {
    inner: Arc<Inner>,
}

struct Inner {
    start: Instant,
    redactor: Redactor,
    termination_log: PathBuf,
    // Held while a line is written, so that the lines of two readers do not mix.
    out: Mutex<()>,
}

impl Reporter {
    /// A reporter that hides these secrets. If a secret has several lines, each line is also hidden by itself.
    pub fn new(secrets: &[String], redactor: &Redactor, termination_log: &Path) -> Self {
        let mut redactor = redactor.clone();
        for secret in secrets {
            redactor.add(secret);
            if secret.contains('\n') {
                secret.lines().map(str::trim).filter(|l| l.len() >= SECRET_LINE_MIN).for_each(|l| redactor.add(l));
            }
        }
        let inner =
            Inner { start: Instant::now(), redactor, termination_log: termination_log.to_owned(), out: Mutex::new(()) };
        Self { inner: Arc::new(inner) }
    }

    /// Writes one report.
    pub fn say(&self, step: &str, event: Event, message: &str) {
        let report = Report {
            at_ms: u64::try_from(self.inner.start.elapsed().as_millis()).unwrap_or(u64::MAX),
            step: step.to_owned(),
            event,
            message: cut(&self.inner.redactor.redact(message), MESSAGE_MAX),
        };
        let Ok(line) = serde_json::to_string(&report) else { return };
        let _alone = self.inner.out.lock().unwrap_or_else(PoisonError::into_inner);
        // If nobody reads stdout any more, the work goes on, and the exit code still shows how it ended.
        let _ = writeln!(io::stdout().lock(), "{line}");
    }

    /// Writes the end of the whole run, and also the termination message if the run did not pass.
    pub fn end(&self, outcome: Outcome, message: &str) -> Outcome {
        self.say("", outcome.event(), message);
        if outcome != Outcome::Passed {
            let words = self.inner.redactor.redact(message);
            // The file is not created. Outside Kubernetes it does not exist, which does no harm.
            if let Ok(mut file) = OpenOptions::new().write(true).truncate(true).open(&self.inner.termination_log) {
                let _ = file.write_all(bytes(&words, LAST_WORDS_MAX).as_bytes());
            }
        }
        outcome
    }

    /// A text that was cut off, without secrets and without the beginning of a secret at its end.
    pub fn redact_cut(&self, text: &str) -> String {
        self.inner.redactor.redact_cut(text)
    }

    /// A text without secrets.
    pub fn redact(&self, text: &str) -> String {
        self.inner.redactor.redact(text)
    }
}

/// Reports on stderr what went wrong before there was a reporter.
pub fn complain(message: &str, outcome: Outcome) -> ExitCode {
    let _ = writeln!(io::stderr().lock(), "tenantry-agent: {message}");
    outcome.exit_code()
}

/// The first characters of a text. A shortened text says that it is cut.
pub fn cut(text: &str, most: usize) -> String {
    const SIGN: &str = " (cut)";
    if text.chars().nth(most).is_none() {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(SIGN.len())).chain(SIGN.chars()).collect()
}

/// The first bytes of a text, ending between two characters.
fn bytes(text: &str, most: usize) -> &str {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cut_texts_say_so_and_stay_within_their_bounds() {
        assert_eq!(cut("abc", 3), "abc");
        let long = cut(&"ắ".repeat(5000), MESSAGE_MAX);
        assert_eq!(long.chars().count(), MESSAGE_MAX);
        assert!(long.ends_with("(cut)"));
        assert_eq!(bytes("aắ", 2), "a");
    }
}
