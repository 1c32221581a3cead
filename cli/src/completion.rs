//! Completion of commands, options and names in bash, zsh and fish. Does I/O.

use std::ffi::OsStr;
use std::time::Duration;

use clap::ValueEnum;
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use clap_complete::env::Shells;
use jiff::Timestamp;
use kube::ResourceExt;

use crate::cluster::{Cluster, Where};
use crate::error::{Exit, Problem};
use crate::output::Out;

/// Longest time to look for names, because a person who presses Tab does not wait.
const PATIENCE: Duration = Duration::from_millis(1_500);
/// The variable that asks for completion.
pub const VARIABLE: &str = "COMPLETE";

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The shell. bash: source <(tenantry completion bash)
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Shells with completion.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Shell {
    /// bash
    Bash,
    /// zsh
    Zsh,
    /// fish
    Fish,
}

/// Prints the script, which asks this program for commands, options and names.
pub fn run(args: &Args, out: &Out) -> Result<Exit, Problem> {
    let shell = match args.shell {
        Shell::Bash => "bash",
        Shell::Zsh => "zsh",
        Shell::Fish => "fish",
    };
    let shells = Shells::builtins();
    let completer =
        shells.completer(shell).ok_or_else(|| Problem::failed(format!("{shell} cannot be completed in this build")))?;
    let mut script = Vec::new();
    completer
        .write_registration(VARIABLE, "tenantry", "tenantry", "tenantry", &mut script)
        .map_err(|e| Problem::failed(format!("cannot write the script: {e}")))?;
    out.line(&String::from_utf8_lossy(&script));
    Ok(Exit::DONE)
}

/// Names of the kind that the command is about.
pub fn names() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| matching(current, &subject(&arguments())))
}

/// Names of plans.
pub fn plans() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| matching(current, "plan"))
}

/// Names of blueprints.
pub fn blueprints() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| matching(current, "blueprint"))
}

/// Addresses of instances.
pub fn instances() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| matching(current, "instance"))
}

/// Addresses of instances; once the line names an instance, the settings of its blueprint.
pub fn settings() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let named = arguments().iter().rev().skip(1).any(|word| word.contains('/') && !word.contains('='));
        matching(current, if named { "setting" } else { "instance" })
    })
}

/// Names of archived objects.
pub fn archives() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let kind = if subject(&arguments()) == "instance" { "archived-instance" } else { "archived-tenant" };
        matching(current, kind)
    })
}

fn arguments() -> Vec<String> {
    // `tenantry -- tenantry tenant show ac`
    std::env::args().skip_while(|a| a != "--").skip(2).collect()
}

/// The kind that a command line is about: its first word that is not an option.
fn subject(arguments: &[String]) -> String {
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--context" | "--kubeconfig" | "-o" | "--output" => {
                words.next();
            }
            option if option.starts_with('-') => {}
            subject => return subject.trim_end_matches('s').to_owned(),
        }
    }
    String::new()
}

fn matching(current: &OsStr, kind: &str) -> Vec<CompletionCandidate> {
    let Some(current) = current.to_str() else { return Vec::new() };
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return Vec::new() };
    let found = runtime.block_on(async { tokio::time::timeout(PATIENCE, known(kind)).await });
    runtime.shutdown_background();
    let mut names = found.ok().flatten().unwrap_or_default();
    names.sort();
    names.dedup();
    names.into_iter().filter(|n| n.starts_with(current)).map(CompletionCandidate::new).collect()
}

/// The cluster that the unfinished command line names.
fn place(arguments: &[String]) -> Where {
    let value = |option: &str| {
        let joined = format!("{option}=");
        arguments.iter().enumerate().find_map(|(i, a)| {
            if a == option { arguments.get(i + 1).cloned() } else { a.strip_prefix(&joined).map(str::to_owned) }
        })
    };
    Where { context: value("--context"), kubeconfig: value("--kubeconfig").map(Into::into) }
}

async fn known(kind: &str) -> Option<Vec<String>> {
    use tenantry_api::archive::ArchivedKind;
    let cluster = Cluster::connect(&place(&arguments())).await.ok()?;
    let names = match kind {
        "tenant" => names_of(&cluster, cluster.tenants()).await?,
        "plan" => names_of(&cluster, cluster.plans()).await?,
        "blueprint" => names_of(&cluster, cluster.blueprints()).await?,
        "archive" => names_of(&cluster, cluster.archives()).await?,
        "database-server" => {
            let api = kube::Api::<tenantry_api::database_server::DatabaseServer>::all(cluster.client.clone());
            names_of(&cluster, api).await?
        }
        "instance" => {
            let all = cluster.read_list(&cluster.all_instances(), kind, None).await.ok()?.0;
            all.iter().map(crate::address::address_of).collect()
        }
        "setting" => settings_of(&cluster, &arguments()).await?,
        "archived-tenant" | "archived-instance" => {
            let wanted = if kind == "archived-tenant" { ArchivedKind::Tenant } else { ArchivedKind::CrmInstance };
            let all = cluster.read_list(&cluster.archives(), kind, None).await.ok()?.0;
            let now = Timestamp::now();
            let kept = all.iter().filter(|a| a.spec.kind == wanted && crate::archive::keep::is_kept(a, now));
            kept.filter_map(|a| crate::archive::keep::words(&all, a, now).into_iter().next()).collect()
        }
        _ => Vec::new(),
    };
    Some(names)
}

/// The settings of the instance that a command line names; for `set`, each with the `=` that a value follows.
async fn settings_of(cluster: &Cluster, arguments: &[String]) -> Option<Vec<String>> {
    let named = arguments.iter().find(|word| word.contains('/') && !word.contains('='))?;
    let all = cluster.read_list(&cluster.all_instances(), "instances", None).await.ok()?.0;
    let instance = all.iter().find(|i| crate::address::address_of(i) == *named)?;
    let blueprint = cluster.blueprints().get_opt(&instance.spec.blueprint).await.ok()??;
    let end = if arguments.iter().any(|word| word == "set") { "=" } else { "" };
    // A secret may not stand on a command line.
    let open = blueprint.spec.settings.iter().filter(|(_, s)| end.is_empty() || !s.secret);
    Some(open.map(|(name, _)| format!("{name}{end}")).collect())
}

async fn names_of<K>(cluster: &Cluster, api: kube::Api<K>) -> Option<Vec<String>>
where
    K: kube::Resource + Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let all = cluster.read_list(&api, "names", None).await.ok()?.0;
    Some(all.iter().map(ResourceExt::name_any).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_subject_of_a_command_line_is_its_first_word() {
        let line = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        for (text, wanted) in [
            ("tenant show a", "tenant"),
            ("--context prod instances list", "instance"),
            ("-o json database-server show", "database-server"),
        ] {
            assert_eq!(subject(&line(text)), wanted, "{text}");
        }
        assert_eq!(place(&line("--context=prod tenant show")).context.as_deref(), Some("prod"));
    }
}
