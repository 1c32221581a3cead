//! The program helm. Does I/O: starts child processes.

use std::path::Path;
use std::process::Stdio;

use tenantry_core::names::SYSTEM_NAMESPACE;
use tokio::process::Command;

use crate::cluster::Where;
use crate::error::Problem;

/// Lines of helm's error output that are shown.
const LINES: usize = 12;

/// Oldest version that can keep the values of a release and still take new defaults of the chart: major, minor.
const OLDEST: (u32, u32) = (3, 14);

/// helm, and the options that name the cluster.
pub struct Helm {
    place: Vec<String>,
}

impl Helm {
    /// Checks that helm can be started and is new enough.
    pub async fn find(place: &Where) -> Result<Self, Problem> {
        let mut arguments = Vec::new();
        if let Some(context) = &place.context {
            arguments.extend(["--kube-context".to_owned(), context.clone()]);
        }
        if let Some(file) = &place.kubeconfig {
            arguments.extend(["--kubeconfig".to_owned(), file.display().to_string()]);
        }
        let helm = Self { place: arguments };
        match helm.run(&["version", "--short"]).await {
            Ok(version) if is_too_old(&version) => {
                Err(Problem::failed("the program helm is too old").safe("nothing was changed").why(format!(
                    "it is {}; needed is version {}.{} or newer: https://helm.sh/docs/intro/install/",
                    version.trim(),
                    OLDEST.0,
                    OLDEST.1
                )))
            }
            Ok(_) => Ok(helm),
            Err(Failure::Missing(why)) => Err(Problem::failed("the program helm is needed and cannot be started")
                .safe("nothing was changed")
                .why(format!(
                    "{why}; it must be in the PATH, version {}.{} or newer: https://helm.sh/docs/intro/install/",
                    OLDEST.0, OLDEST.1
                ))),
            Err(Failure::Said(why)) => {
                Err(Problem::failed("the program helm does not work").safe("nothing was changed").why(why))
            }
        }
    }

    /// Installs or updates a chart; `values` are the arguments of helm that name the values.
    pub async fn upgrade(&self, name: &str, chart: &Path, values: &[String], dry_run: bool) -> Result<(), Problem> {
        let chart = chart.display().to_string();
        let mut arguments =
            vec!["upgrade", "--install", name, &chart, "--namespace", SYSTEM_NAMESPACE, "--create-namespace"];
        arguments.extend(values.iter().map(String::as_str));
        if dry_run {
            arguments.push("--dry-run=server");
        }
        self.run(&arguments).await.map(|_| ()).map_err(|failure| {
            Problem::failed(format!("helm could not install the chart {name}"))
                .safe("tenants are not touched; the same command can be run again")
                .why(failure.text())
                .next("is the cluster fit?", "doctor")
        })
    }

    /// Uninstalls a release.
    pub async fn uninstall(&self, name: &str, dry_run: bool) -> Result<(), Problem> {
        let mut arguments = vec!["uninstall", name, "--namespace", SYSTEM_NAMESPACE, "--ignore-not-found"];
        if dry_run {
            arguments.push("--dry-run");
        }
        self.run(&arguments).await.map(|_| ()).map_err(|failure| {
            Problem::failed(format!("helm could not take {name} away"))
                .safe("tenants are not touched; the same command can be run again")
                .why(failure.text())
        })
    }

    async fn run(&self, arguments: &[&str]) -> Result<String, Failure> {
        let output = Command::new("helm")
            .args(arguments)
            .args(&self.place)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .map_err(|e| Failure::Missing(e.to_string()))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(Failure::Said(last_lines(&String::from_utf8_lossy(&output.stderr))))
    }
}

enum Failure {
    Missing(String),
    Said(String),
}

impl Failure {
    fn text(self) -> String {
        match self {
            Self::Missing(text) | Self::Said(text) => text,
        }
    }
}

/// The last lines of a program's output, without control characters.
fn last_lines(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(crate::output::text::clean).filter(|l| !l.is_empty()).collect();
    let from = lines.len().saturating_sub(LINES);
    if lines.is_empty() { "it said nothing".into() } else { lines[from..].join("\n") }
}

/// Whether helm is older than needed; `text` is the output of `helm version --short`, such as `v3.19.0+g3d8990f`. A
/// version that cannot be read counts as new enough.
fn is_too_old(text: &str) -> bool {
    let mut numbers = text.trim().trim_start_matches('v').split(['.', '+', '-']).map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) < OLDEST,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_helm_that_cannot_keep_values_is_too_old() {
        for old in ["v3.13.9+g1", "v2.17.0", "3.9"] {
            assert!(is_too_old(old), "{old}");
        }
        for fit in ["v3.14.0", "v3.19.0+g3d8990f", "v4.0.1\n", "v4.0.0-rc.1", "unknown", ""] {
            assert!(!is_too_old(fit), "{fit:?}");
        }
    }
}
