//! One line of progress. No I/O.

use std::time::Duration;

use crate::output::paint::Paint;
use crate::output::text::{clean, duration, pad};

/// Columns of the label and of the detail.
const LABEL: usize = 22;
const DETAIL: usize = 43;

/// The state of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    Running,
    Done,
    Failed,
}

/// ` ✔ database               acme_crm on pg-shared-1                     0.3 s`
pub fn line(mark: Mark, label: &str, detail: &str, took: Option<Duration>, paint: Paint) -> String {
    let sign = match mark {
        Mark::Running => paint.dim("…"),
        Mark::Done => paint.good("✔"),
        Mark::Failed => paint.bad("✘"),
    };
    let took = took.map(duration).unwrap_or_default();
    let text = format!("{} {} {}", pad(&clean(label), LABEL), pad(&clean(detail), DETAIL), took);
    format!(" {sign} {}", text.trim_end())
}

/// The moving line.
pub fn running(label: &str, detail: &str) -> String {
    format!("{} {}", pad(&clean(label), LABEL), clean(detail)).trim_end().to_owned()
}
