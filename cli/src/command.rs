//! The command line as a whole: which commands there are. Does I/O (reads the arguments of the process).

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::CompleteEnv;

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
    #[command(subcommand)]
    pub command: Command,
}

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

/// The command line under the name that the program was called by.
pub fn command() -> clap::Command {
    let command = Cli::command();
    if program::name() == "tenantry" {
        command
    } else {
        command.bin_name(program::name()).display_name(program::name())
    }
}

/// Reads the arguments of the process. When they are not understood, prints what is wrong and ends the process.
pub fn read() -> Cli {
    let matches = command().get_matches();
    Cli::from_arg_matches(&matches).unwrap_or_else(|e| e.exit())
}

/// Answers a shell that asks for completions, and in that case ends the process.
pub fn answer() {
    CompleteEnv::with_factory(command).var(completion::VARIABLE).complete();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
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
