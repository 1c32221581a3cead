//! The command line as a whole: which commands there are, and the options that many share. No I/O.

use std::time::Duration;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::cluster::Where;
use crate::output::Format;
use crate::{
    archive, billing, blueprint, completion, database_server, diff, doctor, install, instance, plan, program, tenant,
    top, version,
};

/// Runs CRM systems for tenants on Kubernetes
///
/// Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 refused by a rule, 5 timed out while the
/// work goes on, 130 left with Ctrl-C while the work goes on. `doctor`: 0 pass, 3 fail, 4 warn.
#[derive(Debug, Parser)]
#[command(
    name = "tenantry",
    version,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    max_term_width = 100
)]
pub struct Cli {
    /// Which cluster.
    #[command(flatten)]
    pub place: Where,
    /// How results are written
    #[arg(
        short,
        long,
        global = true,
        value_enum,
        default_value = "text",
        value_name = "FORMAT",
        help_heading = "Output"
    )]
    pub output: Format,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Tenants: customers with one contract
    #[command(subcommand, visible_alias = "tenants")]
    Tenant(tenant::Command),
    /// Instances: running CRMs, addressed as TENANT/INSTANCE
    #[command(subcommand, visible_alias = "instances")]
    Instance(instance::Command),
    /// Plans: packages of limits
    #[command(subcommand, visible_alias = "plans")]
    Plan(plan::Command),
    /// Blueprints: how CRM products are run
    #[command(subcommand, visible_alias = "blueprints")]
    Blueprint(blueprint::Command),
    /// Servers that hold tenants' databases
    #[command(subcommand, visible_alias = "database-servers")]
    DatabaseServer(database_server::Command),
    /// Archives: what is left of tenants and instances after deletion
    #[command(subcommand, visible_alias = "archives")]
    Archive(archive::Command),
    /// Facts to be billed
    #[command(subcommand)]
    Billing(billing::Command),
    /// Shows what would change, object by object, and changes nothing
    Diff(diff::Args),
    /// Shows which tenants, instances or database servers use most
    Top(top::Args),
    /// Tells whether the cluster is fit, the operator healthy, and what is stuck
    Doctor(doctor::Args),
    /// Installs or updates Tenantry in the cluster
    Install(install::Args),
    /// Removes the operator; definitions, tenants and their data stay
    Uninstall(install::uninstall::Args),
    /// Prints the completion script of a shell
    Completion(completion::Args),
    /// Prints the versions of this program, of the operator and of the cluster
    Version(version::Args),
    /// Prints this reference as Markdown
    #[command(hide = true)]
    Reference,
}

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

/// The name once more, for what cannot be taken back lightly.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Confirm {
    /// The name once more, instead of the question; needed without a terminal. For several: repeat, or a,b,c
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub confirm: Vec<String>,
}

/// What is asked of whoever takes something away: the name once more, whether to wait, whether only to try.
#[derive(Debug, Clone, clap::Args)]
pub struct Sure {
    /// The name once more.
    #[command(flatten)]
    pub confirm: Confirm,
    /// Waiting.
    #[command(flatten)]
    pub wait: NoWaitArgs,
    /// Dry run.
    #[command(flatten)]
    pub dry: DryRun,
}

/// What is asked of whoever destroys data for ever.
#[derive(Debug, Clone, clap::Args)]
pub struct Destroy {
    /// Whether that is meant.
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

/// The command line under the name that the program was called by.
pub fn command() -> clap::Command {
    let command = Cli::command();
    if program::name() == "tenantry" {
        command
    } else {
        command.bin_name(program::name()).display_name(program::name())
    }
}

/// Reads the arguments of the process; says what is wrong and ends the process when they are not understood.
pub fn read() -> Cli {
    let matches = command().get_matches();
    Cli::from_arg_matches(&matches).unwrap_or_else(|e| e.exit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn times_are_read_as_people_write_them() {
        assert_eq!(time("10m"), Ok(Duration::from_secs(600)));
        assert_eq!(time("1h30m"), Ok(Duration::from_secs(5_400)));
        assert!(time("10").is_err());
        assert!(time("-1s").is_err());
    }

    #[test]
    fn what_changes_all_takes_the_word_all_once_more_and_no_other() {
        for line in [
            vec!["tenant", "suspend"],
            vec!["tenant", "resume"],
            vec!["tenant", "set", "--seats", "9"],
            vec!["instance", "set", "--admin-email", "a@example.org"],
            vec!["instance", "settings", "set", "language=vi"],
            vec!["instance", "settings", "unset", "language"],
        ] {
            for (words, fits) in [
                (vec!["--all", "--confirm", "all"], true),
                (vec!["--all"], true),
                (vec!["--all", "--confirm", "acme"], false),
                (vec!["--confirm", "all"], false),
            ] {
                let all = std::iter::once("tenantry").chain(line.iter().copied()).chain(words.iter().copied());
                assert_eq!(Cli::try_parse_from(all).is_ok(), fits, "{line:?} {words:?}");
            }
        }
    }

    #[test]
    fn a_verb_takes_names_a_selector_or_all_but_not_two_of_them() {
        for (line, fits) in [
            (vec!["tenant", "suspend", "a", "b"], true),
            (vec!["tenant", "suspend", "-l", "x=y"], true),
            (vec!["tenant", "suspend", "--all"], true),
            (vec!["tenant", "suspend", "a", "--all"], false),
            (vec!["tenant", "suspend", "a", "-l", "x=y"], false),
        ] {
            let parsed = Cli::try_parse_from(std::iter::once("tenantry").chain(line.iter().copied()));
            assert_eq!(parsed.is_ok(), fits, "{line:?}");
        }
    }
}
