//! Options that many commands share. No I/O.

use std::time::Duration;

use crate::completion;

/// Which objects: NAME..., -l SELECTOR or --all.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Which ones")]
pub struct Targets {
    /// Names
    #[arg(value_name = "NAME", conflicts_with_all = ["selector", "all"], add = completion::names())]
    pub names: Vec<String>,
    /// All with these labels, for example tier=gold,region!=north
    #[arg(short = 'l', long, value_name = "SELECTOR", conflicts_with = "all")]
    pub selector: Option<String>,
    /// All there are
    #[arg(long)]
    pub all: bool,
}

impl Targets {
    /// Whether nothing was named at all.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty() && self.selector.is_none() && !self.all
    }
}

/// Whether and how long to wait.
#[derive(Debug, Clone, Copy, clap::Args)]
#[command(next_help_heading = "Waiting")]
pub struct WaitArgs {
    /// Waits until it is done and shows the progress; Ctrl-C leaves and the work goes on
    #[arg(long)]
    pub wait: bool,
    /// Longest time to wait; afterwards the work goes on and the exit code is 5
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = time)]
    pub timeout: Duration,
}

/// Like [`WaitArgs`] for commands whose result comes at the end.
#[derive(Debug, Clone, Copy, clap::Args)]
#[command(next_help_heading = "Waiting")]
pub struct NoWaitArgs {
    /// Returns at once; the work goes on
    #[arg(long)]
    pub no_wait: bool,
    /// Longest time to wait; afterwards the work goes on and the exit code is 5
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = time)]
    pub timeout: Duration,
}

/// Whether to change anything.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct DryRun {
    /// Changes nothing; the cluster checks everything and says what would happen
    #[arg(long)]
    pub dry_run: bool,
}

/// Options of commands that make or change something: whether to wait, whether only to try.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Change {
    #[command(flatten)]
    pub wait: WaitArgs,
    #[command(flatten)]
    pub dry: DryRun,
}

impl Change {
    /// Whether to wait: a dry run has nothing to wait for.
    pub fn waits(self) -> bool {
        self.wait.wait && !self.dry.dry_run
    }
}

/// The name once more, for what cannot be taken back lightly.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Confirm {
    /// The name once more, instead of the question; needed without a terminal. For several: repeat, or a,b,c
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub confirm: Vec<String>,
}

/// Options of commands that take something away: the name once more, whether to wait, whether only to try.
#[derive(Debug, Clone, clap::Args)]
pub struct Sure {
    #[command(flatten)]
    pub confirm: Confirm,
    #[command(flatten)]
    pub wait: NoWaitArgs,
    #[command(flatten)]
    pub dry: DryRun,
}

/// Options of commands that destroy data for ever.
#[derive(Debug, Clone, clap::Args)]
pub struct Destroy {
    #[command(flatten)]
    pub sure: Sure,
    /// Destroys also what is to be kept until a later day
    #[arg(long)]
    pub before_retention: bool,
}

/// The word once more, for what changes everything there is.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ConfirmAll {
    /// With --all: the word once more, instead of the question; needed without a terminal
    #[arg(long, value_name = "all", value_parser = ["all"], hide_possible_values = true, requires = "all")]
    pub confirm: Option<String>,
}

/// A time such as 90s, 10m or 1h30m.
pub fn time(text: &str) -> Result<Duration, String> {
    let signed: jiff::SignedDuration =
        text.parse().map_err(|_| format!("{text:?} is not a time; write for example 90s, 10m or 1h30m"))?;
    Duration::try_from(signed).map_err(|_| "a time cannot be negative".to_owned())
}

/// `KEY=VALUE`.
pub fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("{text:?} is not KEY=VALUE")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        assert_eq!(time("10m"), Ok(Duration::from_secs(600)));
        assert_eq!(time("1h30m"), Ok(Duration::from_secs(5_400)));
        assert!(time("10").is_err());
        assert!(time("-1s").is_err());
    }
}
