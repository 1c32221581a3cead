//! Names of a blueprint's processes and volumes, made from those of a Compose file. No I/O.

use std::collections::BTreeMap;

/// Names that a blueprint allows, each given once.
#[derive(Default)]
pub struct Names {
    given: BTreeMap<String, String>,
}

impl Names {
    /// The name of the process for a service; always the same for the same service.
    pub fn process(&mut self, service: &str) -> String {
        self.name(&format!("process {service}"), service)
    }

    /// A name for the thing that `key` (`KIND WHAT`) identifies, as close to `wanted` as the format allows.
    pub fn name(&mut self, key: &str, wanted: &str) -> String {
        if let Some(given) = self.given.get(key) {
            return given.clone();
        }
        let folded: String = wanted
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
            .skip_while(|c| !c.is_ascii_lowercase())
            .take(17)
            .collect();
        let base = folded.trim_matches('-').to_owned();
        let base = if base.is_empty() || base == "page" { "main".to_owned() } else { base };
        let kind = key.split(' ').next().unwrap_or_default().to_owned();
        let taken = |name: &str| self.given.iter().any(|(k, v)| k.starts_with(&kind) && v == name);
        let mut name = base.clone();
        let mut n = 2;
        while taken(&name) {
            name = format!("{base}-{n}");
            n += 1;
        }
        self.given.insert(key.to_owned(), name.clone());
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_the_format_and_are_given_once() {
        let mut names = Names::default();
        assert_eq!(names.process("Page Server!"), "page-server");
        assert_eq!(names.process("Page Server!"), "page-server");
        assert_eq!(names.process("page_server"), "page-server-2");
        assert_eq!(names.process("page"), "main");
        assert_eq!(names.process("42"), "main-2");
        assert_eq!(names.name("volume page_server", "page_server"), "page-server");
        assert!(names.process(&"x".repeat(80)).len() <= 20);
    }
}
