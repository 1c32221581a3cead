//! What can go wrong, in at most four parts, with the exit code. No I/O.

pub mod api;
pub mod near;
#[cfg(test)]
mod tests;

use crate::output::paint::Paint;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit(pub u8);

impl Exit {
    pub const DONE: Self = Self(0);
    pub const FAILED: Self = Self(1);
    /// Wrong usage.
    pub const USAGE: Self = Self(2);
    /// Not found; for `doctor`: a check failed.
    pub const NOT_FOUND: Self = Self(3);
    /// Refused by a rule; for `doctor`: a check warns.
    pub const REFUSED: Self = Self(4);
    /// The time is up and the work goes on.
    pub const TIMED_OUT: Self = Self(5);
    /// Left with Ctrl-C; the work goes on.
    pub const LEFT: Self = Self(130);
}

/// An error: what happened, what is safe, why (if known), the commands to run next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub exit: Exit,
    /// What happened.
    pub what: String,
    /// What is safe.
    pub safe: Option<String>,
    /// Why, if known.
    pub why: Option<String>,
    /// The commands to run next, each with a remark, which may be empty.
    pub next: Vec<(String, String)>,
}

impl Problem {
    fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self { exit, what: what.into(), safe: None, why: None, next: Vec::new() }
    }

    /// Something failed.
    pub fn failed(what: impl Into<String>) -> Self {
        Self::new(Exit::FAILED, what)
    }

    /// The command was used wrongly.
    pub fn usage(what: impl Into<String>) -> Self {
        Self::new(Exit::USAGE, what)
    }

    /// Something that was named does not exist.
    pub fn not_found(what: impl Into<String>) -> Self {
        Self::new(Exit::NOT_FOUND, what)
    }

    /// A rule forbids it.
    pub fn refused(what: impl Into<String>) -> Self {
        Self::new(Exit::REFUSED, what)
    }

    /// The time is up; the work goes on.
    pub fn timed_out(what: impl Into<String>) -> Self {
        Self::new(Exit::TIMED_OUT, what)
    }

    /// The person left.
    pub fn left(what: impl Into<String>) -> Self {
        Self::new(Exit::LEFT, what)
    }

    /// Adds what is safe.
    pub fn safe(mut self, text: impl Into<String>) -> Self {
        self.safe = Some(text.into());
        self
    }

    /// Adds why it happened.
    pub fn why(mut self, text: impl Into<String>) -> Self {
        self.why = Some(text.into());
        self
    }

    /// Adds a command that helps. `command` is without the program's name.
    pub fn next(mut self, remark: impl Into<String>, command: impl AsRef<str>) -> Self {
        self.next.push((remark.into(), crate::program::command(command.as_ref())));
        self
    }

    /// One line without commands, for use as a reason inside another text.
    pub fn render_plain(&self) -> String {
        [Some(&self.what), self.why.as_ref()].into_iter().flatten().cloned().collect::<Vec<_>>().join(": ")
    }

    /// The text for people.
    pub fn render(&self, paint: Paint) -> String {
        let head = if self.exit == Exit::LEFT { String::new() } else { format!("{} ", paint.bad("error:")) };
        let mut lines = vec![format!("{head}{}", self.what)];
        lines.extend(self.safe.iter().chain(&self.why).map(|t| format!("  {}", t.replace('\n', "\n  "))));
        let widest = self.next.iter().map(|(r, _)| crate::output::text::width(r)).max().unwrap_or(0);
        for (remark, command) in &self.next {
            let remark = crate::output::text::pad(remark, widest);
            let gap = if widest == 0 { "" } else { "   " };
            lines.push(format!("  {remark}{gap}{}", paint.bold(command)));
        }
        lines.join("\n")
    }
}
