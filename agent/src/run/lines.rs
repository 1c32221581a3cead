//! Reads a child's output line by line, within bounds. Does I/O: reads one pipe.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use regex::Regex;
use tenantry_core::progress::{Event, MESSAGE_MAX};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::report::{Reporter, cut};

/// Maximum number of bytes of a line that are examined. The rest of the line is read and dropped.
const LINE_MAX: usize = 64 * 1024;
/// Maximum number of lines and bytes of a step that are reported. Further output is only counted and checked for
/// `failOnOutput`.
const LINES_MAX: u64 = 2_000;
const BYTES_MAX: u64 = 512 * 1024;
/// Number of last lines that are kept for the message of a failure, and maximum number of characters of each.
const TAIL_LINES: usize = 8;
const TAIL_LINE_MAX: usize = 200;

/// The output from both pipes of one step.
pub struct Output {
    reporter: Reporter,
    step: String,
    fail_on: Option<Regex>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    lines: u64,
    bytes: u64,
    tail: VecDeque<String>,
    matched: Option<String>,
}

impl Output {
    pub fn new(reporter: &Reporter, step: &str, fail_on: Option<Regex>) -> Arc<Self> {
        Arc::new(Self { reporter: reporter.clone(), step: step.to_owned(), fail_on, seen: Mutex::default() })
    }

    /// The line that matched `failOnOutput`, if there was one.
    pub fn matched(&self) -> Option<String> {
        self.seen().matched.clone()
    }

    /// The last lines, for the message of a failure.
    pub fn tail(&self) -> String {
        self.seen().tail.iter().cloned().collect::<Vec<_>>().join(" | ")
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn line(&self, raw: &[u8], long: bool) {
        let text = String::from_utf8_lossy(raw);
        let text = text.trim_end();
        if text.is_empty() {
            return;
        }
        let said = if long { self.reporter.redact_cut(text) } else { self.reporter.redact(text) };
        let report = {
            let mut seen = self.seen();
            if seen.matched.is_none() && self.fail_on.as_ref().is_some_and(|r| r.is_match(text)) {
                seen.matched = Some(cut(&said, TAIL_LINE_MAX));
            }
            if seen.tail.len() == TAIL_LINES {
                seen.tail.pop_front();
            }
            seen.tail.push_back(cut(&said, TAIL_LINE_MAX));
            seen.lines += 1;
            let before = seen.lines <= LINES_MAX && seen.bytes <= BYTES_MAX;
            seen.bytes += said.len().min(MESSAGE_MAX) as u64;
            before
        };
        if report {
            self.reporter.say(&self.step, Event::Output, &said);
        }
    }

    /// Reports how many lines there were, if some were not reported.
    pub fn close(&self) {
        let lines = self.seen().lines;
        let (over_lines, over_bytes) = (lines > LINES_MAX, self.seen().bytes > BYTES_MAX);
        if over_lines || over_bytes {
            self.reporter.say(&self.step, Event::Output, &format!("{lines} lines in all; the rest is not shown"));
        }
    }

    /// Reads a pipe to its end. A line ends with a line feed or a carriage return (which progress bars use).
    pub async fn read(self: Arc<Self>, mut pipe: impl AsyncRead + Unpin) {
        let mut chunk = vec![0_u8; 8 * 1024];
        let mut line: Vec<u8> = Vec::new();
        let mut long = false;
        loop {
            let read = match pipe.read(&mut chunk).await {
                Ok(0) | Err(_) => break,
                Ok(read) => read,
            };
            for &byte in chunk.iter().take(read) {
                if byte == b'\n' || byte == b'\r' {
                    self.take(&mut line, &mut long);
                } else if line.len() < LINE_MAX {
                    line.push(byte);
                } else {
                    long = true;
                }
            }
        }
        self.take(&mut line, &mut long);
    }

    fn take(&self, line: &mut Vec<u8>, long: &mut bool) {
        self.line(line, *long);
        line.clear();
        *long = false;
    }
}
