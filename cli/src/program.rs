//! The name under which the program runs: `tenantry`, or `kubectl tenantry` as a plugin. No I/O.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::OnceLock;

static NAME: OnceLock<&'static str> = OnceLock::new();

/// The name that usage and advice show, from the first argument of the process.
pub fn name_of(argument: Option<&OsStr>) -> &'static str {
    let stem = argument.map(Path::new).and_then(Path::file_stem).and_then(OsStr::to_str).unwrap_or_default();
    if stem.starts_with("kubectl-") { "kubectl tenantry" } else { "tenantry" }
}

/// Remembers the name for the life of the process.
pub fn set(name: &'static str) {
    let _ = NAME.set(name);
}

pub fn name() -> &'static str {
    NAME.get().copied().unwrap_or("tenantry")
}

/// A command line that a person can copy.
pub fn command(rest: &str) -> String {
    format!("{} {rest}", name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plugin_shows_the_commands_of_kubectl() {
        for (argument, wanted) in [
            ("/usr/local/bin/kubectl-tenantry", "kubectl tenantry"),
            ("kubectl-tenantry.exe", "kubectl tenantry"),
            ("./tenantry", "tenantry"),
        ] {
            assert_eq!(name_of(Some(OsStr::new(argument))), wanted);
        }
    }
}
