//! Results of checks: `--- PASS Title` lines, the document, and the exit code. No I/O.

use serde_json::{Value, json};

use crate::error::{Exit, Problem};
use crate::output::paint::Paint;
use crate::output::text::clean;
use crate::program::command;

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Well.
    Pass,
    /// Worth a look.
    Warn,
    /// Someone must act.
    Fail,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::Warn => "WARN",
            Self::Fail => "FAIL",
        }
    }
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    pub verdict: Verdict,
    /// What was checked.
    pub title: String,
    /// What was found.
    pub lines: Vec<String>,
    /// The commands that help, of this program or of another one.
    pub help: Vec<String>,
    /// Whether other checks make no sense when this one fails.
    pub is_ground: bool,
}

impl Check {
    /// A check without findings.
    pub fn new(verdict: Verdict, title: &str) -> Self {
        Self { verdict, title: title.into(), lines: Vec::new(), help: Vec::new(), is_ground: false }
    }

    /// Adds what was found.
    pub fn line(mut self, text: impl Into<String>) -> Self {
        self.lines.push(clean(&text.into()));
        self
    }

    /// Adds a command of this program that helps.
    pub fn help(mut self, rest: &str) -> Self {
        self.help.push(command(rest));
        self
    }

    /// Adds a command of another program that helps.
    pub fn elsewhere(mut self, line: &str) -> Self {
        self.help.push(line.to_owned());
        self
    }

    /// Marks that other checks make no sense when this one fails.
    pub fn ground(mut self) -> Self {
        self.is_ground = true;
        self
    }

    /// A check that could not be made.
    pub fn from_problem(title: &str, problem: &Problem) -> Self {
        let mut check = Self::new(Verdict::Fail, title).line(problem.what.clone()).ground();
        for text in problem.why.iter().chain(&problem.safe) {
            check = check.line(text.clone());
        }
        check
    }
}

/// The text for people.
pub fn text(checks: &[Check], paint: Paint) -> String {
    let mut lines = Vec::new();
    for check in checks {
        lines.push(format!("--- {} {}", paint.state(check.verdict.word()), check.title));
        lines.extend(check.lines.iter().map(|l| format!("      {l}")));
        lines.extend(check.help.iter().map(|h| format!("      → {}", paint.bold(h))));
    }
    let count = |v: Verdict| checks.iter().filter(|c| c.verdict == v).count();
    lines.push(format!(
        "{} passed, {} to look at, {} failed",
        count(Verdict::Pass),
        count(Verdict::Warn),
        count(Verdict::Fail)
    ));
    lines.join("\n")
}

/// The document for machines.
pub fn document(checks: &[Check]) -> Value {
    let worst = match exit(checks) {
        Exit::NOT_FOUND => "fail",
        Exit::REFUSED => "warn",
        _ => "pass",
    };
    let all: Vec<Value> = checks
        .iter()
        .map(|c| {
            json!({"verdict": c.verdict.word().to_lowercase(), "title": c.title, "findings": c.lines, "commands": c.help})
        })
        .collect();
    json!({"verdict": worst, "checks": all})
}

/// 0 pass, 3 fail, 4 warn.
pub fn exit(checks: &[Check]) -> Exit {
    if checks.iter().any(|c| c.verdict == Verdict::Fail) {
        Exit(3)
    } else if checks.iter().any(|c| c.verdict == Verdict::Warn) {
        Exit(4)
    } else {
        Exit::DONE
    }
}
