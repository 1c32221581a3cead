//! Live progress on standard error: a moving line on a terminal, plain lines elsewhere. Does I/O.

pub mod line;
pub mod steps;
#[cfg(test)]
mod tests;

use std::time::Duration;

use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};

use crate::output::Out;
use line::{Mark, line};

/// Progress of one command.
pub struct Progress {
    out: Out,
    bar: Option<ProgressBar>,
    last: String,
}

impl Progress {
    /// Nothing is shown until something happens.
    pub fn new(out: &Out) -> Self {
        Self { out: out.clone(), bar: None, last: String::new() }
    }

    /// Shows that something is going on. Without a terminal, a line is printed once, and again only when it changes.
    pub fn now(&mut self, label: &str, detail: &str) {
        if self.out.live {
            let message = line::running(label, detail);
            match &self.bar {
                Some(bar) => bar.set_message(message),
                None => self.bar = Some(spinner(message)),
            }
            return;
        }
        let text = line(Mark::Running, label, detail, None, self.out.paint_error);
        if text != self.last {
            self.out.note(&text);
            self.last = text;
        }
    }

    /// A step is done.
    pub fn done(&mut self, label: &str, detail: &str, took: Duration) {
        self.print(&line(Mark::Done, label, detail, Some(took), self.out.paint_error));
    }

    /// A step failed.
    pub fn failed(&mut self, label: &str, detail: &str, took: Duration) {
        self.print(&line(Mark::Failed, label, detail, Some(took), self.out.paint_error));
    }

    fn print(&mut self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| self.out.note(text)),
            None => self.out.note(text),
        }
    }

    /// Removes the moving line.
    pub fn end(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}

fn spinner(message: String) -> ProgressBar {
    let bar = ProgressBar::new_spinner().with_finish(ProgressFinish::AndClear);
    if let Ok(style) = ProgressStyle::with_template(" {spinner} {wide_msg} {elapsed}") {
        bar.set_style(style);
    }
    bar.set_message(message);
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}
