//! Checks a verification before it runs. No I/O.

use std::collections::BTreeSet;
use std::fmt;

use super::program::{regex, valid_header, valid_method};
use super::{STEPS_MAX, Verify, VerifyStep};
use crate::template;

/// A problem in a verification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The place, such as `verify.steps[2].capture.token`.
    pub place: String,
    /// The problem, for the author of the blueprint.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

/// Maximum time for all steps together, in seconds.
const TIMEOUT_MAX: u32 = 3_600;

/// All problems. An empty list means that the verification can run. Whether variables outside `captures` exist is
/// checked by the caller, who knows the context; [`template::check`] lists the variables.
#[must_use]
pub fn check(verify: &Verify) -> Vec<Problem> {
    let mut found = Found { at: "verify".into(), problems: Vec::new() };
    if verify.steps.is_empty() || verify.steps.len() > STEPS_MAX {
        found.say("steps", format!("{} steps; 1 to {STEPS_MAX} are run", verify.steps.len()));
    }
    if verify.timeout_seconds == 0 || verify.timeout_seconds > TIMEOUT_MAX {
        found.say("timeoutSeconds", format!("1 to {TIMEOUT_MAX} seconds"));
    }
    let mut names = BTreeSet::new();
    let mut captured: BTreeSet<&str> = BTreeSet::new();
    for (n, step) in verify.steps.iter().enumerate() {
        found.at = format!("verify.steps[{n}]");
        if step.name.trim().is_empty() || !names.insert(step.name.as_str()) {
            found.say("name", "every step has a name of its own");
        }
        found.request(step, &captured);
        found.judgement(step, &captured);
        captured.extend(step.capture.keys().map(String::as_str));
    }
    found.problems
}

struct Found {
    at: String,
    problems: Vec<Problem>,
}

impl Found {
    fn say(&mut self, field: &str, message: impl Into<String>) {
        self.problems.push(Problem { place: format!("{}.{field}", self.at), message: message.into() });
    }

    fn request(&mut self, step: &VerifyStep, captured: &BTreeSet<&str>) {
        if !valid_method(&step.method) {
            self.say("method", format!("{:?} is not a method of HTTP in capital letters", step.method));
        }
        if !step.path.starts_with(['/', '{']) {
            self.say("path", "begins with /");
        }
        self.template("path", &step.path, captured);
        for (name, value) in &step.headers {
            if !valid_header(name) {
                self.say(&format!("headers.{name}"), "not a name of a header");
            }
            self.template(&format!("headers.{name}"), value, captured);
        }
        if let Some(body) = &step.body {
            self.template("body", body, captured);
        }
        for status in &step.status {
            if !(100..=599).contains(status) {
                self.say("status", format!("{status} is not a status"));
            }
        }
    }

    fn judgement(&mut self, step: &VerifyStep, captured: &BTreeSet<&str>) {
        for (n, e) in step.expect.iter().enumerate() {
            let place = |field: &str| format!("expect[{n}]{field}");
            let sources = [&e.json, &e.header, &e.cookie, &e.regex].into_iter().flatten().count();
            if sources > 1 {
                self.say(&place(""), "one of json, header, cookie and regex at most");
            }
            let texts = [(".equals", &e.equals), (".contains", &e.contains), (".notContains", &e.not_contains)];
            let checks = texts.iter().filter(|(_, t)| t.is_some()).count()
                + usize::from(e.exists.is_some())
                + usize::from(e.matches.is_some());
            if checks != 1 {
                self.say(&place(""), "exactly one of exists, equals, contains, notContains and matches");
            }
            if e.exists.is_some() && sources == 0 {
                self.say(&place(".exists"), "a body always exists: say which part of it");
            }
            self.pointer(&place(".json"), e.json.as_deref());
            self.regex(&place(".regex"), e.regex.as_deref());
            self.regex(&place(".matches"), e.matches.as_deref());
            for (field, text) in texts {
                if let Some(text) = text {
                    self.template(&place(field), text, captured);
                }
            }
        }
        for (name, source) in &step.capture {
            let place = format!("capture.{name}");
            let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            if !plain || !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
                self.say(&place, "letters, digits and _, beginning with a letter");
            }
            let sources = [&source.json, &source.header, &source.cookie, &source.regex].into_iter().flatten().count();
            if sources != 1 {
                self.say(&place, "exactly one of json, header, cookie and regex");
            }
            self.pointer(&place, source.json.as_deref());
            self.regex(&place, source.regex.as_deref());
        }
    }

    fn pointer(&mut self, field: &str, pointer: Option<&str>) {
        if pointer.is_some_and(|p| !p.is_empty() && !p.starts_with('/')) {
            self.say(field, "a JSON pointer begins with /");
        }
    }

    fn regex(&mut self, field: &str, source: Option<&str>) {
        if let Some(Err(message)) = source.map(regex) {
            self.say(field, message);
        }
    }

    fn template(&mut self, field: &str, source: &str, captured: &BTreeSet<&str>) {
        match template::check(field, source) {
            Ok(names) => {
                for name in names {
                    let mut parts = name.split('.');
                    if parts.next() != Some("captures") {
                        continue;
                    }
                    match parts.next() {
                        Some(capture) if captured.contains(capture) => {}
                        Some(capture) => {
                            self.say(field, format!("captures.{capture} is not captured by an earlier step"))
                        }
                        None => self.say(field, "name the capture, as captures.NAME"),
                    }
                }
            }
            Err(e) => {
                let line = e.line.map_or_else(String::new, |l| format!("line {l}: "));
                self.say(field, format!("{line}{}", e.reason));
            }
        }
    }
}
