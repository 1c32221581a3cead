//! The points of the contract between a blueprint and Tenantry, and the report of a test of them. No I/O.

use std::time::Duration;

use serde_json::{Value, json};

use crate::output::paint::Paint;
use crate::output::text::{clean, duration, pad};

/// Columns of a point's name and of its outcome in the report.
const NAME: usize = 12;
const OUTCOME: usize = 10;
/// Longest reason that is kept, in characters.
const REASON_MAX: usize = 1_000;

tenantry_core::listed! {
    /// A promise of a blueprint, in the order of the report.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    pub enum Point {
        /// Templates, steps and rules are sound.
        Valid,
        /// A first instance gets its database and starts.
        Installs,
        /// The instance answers as the blueprint says.
        Verified,
        /// A second instance is a copy of the template, not another install.
        Copies,
        /// Two copies have no secret in common.
        Secrets,
        /// The instance comes back after its pods were deleted.
        Restarts,
        /// A suspended instance answers 503 through the page.
        Suspends,
        /// The instance comes back from behind the page.
        Resumes,
        /// Active users can be counted, and all conditions give the same count.
        Seats,
        /// The tables that must stay writable exist.
        ReadOnly,
        /// Every schedule runs and succeeds.
        Schedules,
        /// A staging copy can be made, with secrets of its own.
        Stages,
        /// The copy was made unable to write to customers.
        Neutralises,
        /// Archiving the tenant keeps all data.
        Archives,
        /// A purge leaves nothing.
        Purges,
    }
}

impl Point {
    /// The word for people and programs.
    pub fn word(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Installs => "installs",
            Self::Verified => "verified",
            Self::Copies => "copies",
            Self::Secrets => "secrets",
            Self::Restarts => "restarts",
            Self::Suspends => "suspends",
            Self::Resumes => "resumes",
            Self::Seats => "seats",
            Self::ReadOnly => "readOnly",
            Self::Schedules => "schedules",
            Self::Stages => "stages",
            Self::Neutralises => "neutralises",
            Self::Archives => "archives",
            Self::Purges => "purges",
        }
    }
}

/// The outcome of a point, with the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The promise holds.
    Passed(String),
    /// The promise does not hold.
    Failed(String),
    /// The blueprint promises nothing here.
    NotStated(String),
    /// The promise could not be tried.
    NotTested(String),
}

impl Verdict {
    /// The word for people and programs.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Passed(_) => "passed",
            Self::Failed(_) => "failed",
            Self::NotStated(_) => "not stated",
            Self::NotTested(_) => "not tested",
        }
    }

    pub fn reason(&self) -> &str {
        match self {
            Self::Passed(why) | Self::Failed(why) | Self::NotStated(why) | Self::NotTested(why) => why,
        }
    }
}

/// A point that was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    pub point: Point,
    pub verdict: Verdict,
    pub took: Duration,
}

/// The points that were tried so far.
#[derive(Debug, Clone, Default)]
pub struct Report {
    tried: Vec<Tried>,
}

impl Report {
    /// Records a point. The first verdict on a point counts.
    pub fn add(&mut self, point: Point, verdict: Verdict, took: Duration) {
        if self.tried.iter().all(|t| t.point != point) {
            self.tried.push(Tried { point, verdict, took });
        }
    }

    /// Whether nothing failed so far.
    pub fn is_well(&self) -> bool {
        !self.tried.iter().any(|t| matches!(t.verdict, Verdict::Failed(_)))
    }

    /// All points in order. Points that were not reached are reported as not tested, because of the first point that
    /// failed.
    pub fn finished(&self) -> Vec<Tried> {
        let first = self.tried.iter().find(|t| matches!(t.verdict, Verdict::Failed(_)));
        let why = first.map_or_else(|| "the test was left".to_owned(), |t| format!("{} failed", t.point.word()));
        Point::ALL
            .into_iter()
            .map(|point| {
                self.tried.iter().find(|t| t.point == point).cloned().unwrap_or_else(|| Tried {
                    point,
                    verdict: Verdict::NotTested(why.clone()),
                    took: Duration::ZERO,
                })
            })
            .collect()
    }

    /// One line for each point, for people.
    pub fn text(&self, paint: Paint) -> String {
        let lines = self.finished().into_iter().map(|t| {
            let word = pad(t.verdict.word(), OUTCOME);
            let (sign, word) = match &t.verdict {
                Verdict::Passed(_) => (paint.good("✔"), word),
                Verdict::Failed(_) => (paint.bad("✘"), paint.bad(&word)),
                Verdict::NotStated(_) | Verdict::NotTested(_) => (paint.dim("-"), paint.dim(&word)),
            };
            let took = if t.took.is_zero() { String::new() } else { format!(" ({})", duration(t.took)) };
            format!(" {sign} {} {word} {}{took}", pad(t.point.word(), NAME), cut(t.verdict.reason()))
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    /// The points for programs.
    pub fn document(&self) -> Value {
        let points = self.finished().into_iter().map(|t| {
            json!({
                "point": t.point.word(),
                "outcome": t.verdict.word(),
                "reason": cut(t.verdict.reason()),
                "seconds": (t.took.as_secs_f64() * 10.0).round() / 10.0,
            })
        });
        Value::Array(points.collect())
    }
}

fn cut(reason: &str) -> String {
    let reason = clean(reason);
    match reason.char_indices().nth(REASON_MAX) {
        Some((at, _)) => format!("{}…", reason.get(..at).unwrap_or_default()),
        None => reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_reached_is_told_as_not_tested_and_why() {
        let mut report = Report::default();
        report.add(Point::Valid, Verdict::Passed("2 releases".into()), Duration::from_secs(1));
        report.add(Point::Installs, Verdict::Failed("no image".into()), Duration::from_secs(2));
        report.add(Point::Installs, Verdict::Passed("a second word does not count".into()), Duration::ZERO);
        assert!(!report.is_well());
        let all = report.finished();
        assert_eq!(all.len(), Point::ALL.len());
        assert_eq!(all[1].verdict, Verdict::Failed("no image".into()));
        assert_eq!(all[5].verdict, Verdict::NotTested("installs failed".into()));
        let document = report.document();
        assert_eq!(
            document[1],
            json!({"point": "installs", "outcome": "failed", "reason": "no image", "seconds": 2.0})
        );
    }

    #[test]
    fn a_blueprint_that_promises_little_has_not_failed() {
        let mut report = Report::default();
        for point in Point::ALL {
            report.add(point, Verdict::NotStated("no word of it".into()), Duration::ZERO);
        }
        assert!(report.is_well());
        assert!(report.text(Paint::default()).lines().all(|l| l.contains("not stated no word of it")));
    }
}
