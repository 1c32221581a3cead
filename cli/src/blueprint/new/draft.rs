//! A draft of a blueprint, and the commented text of it. No I/O.

use std::collections::BTreeMap;
use std::fmt::Write;

use tenantry_api::database_server::Engine;

/// A process of a draft.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Process {
    pub name: String,
    /// Image of a companion; None means that the process runs the product's image.
    pub image: Option<String>,
    /// Program and arguments.
    pub command: Vec<String>,
    /// Environment variables that only this process has.
    pub env: BTreeMap<String, String>,
    pub port: Option<u16>,
    /// Whether this process answers the instance's requests.
    pub serves: bool,
    /// Command that tells whether the process is ready.
    pub readiness: Vec<String>,
    /// Names of the volumes of a companion.
    pub volumes: Vec<String>,
}

/// What is known of a product.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Draft {
    /// Name of the blueprint.
    pub name: String,
    /// Image of the product.
    pub image: String,
    /// Engine of its database.
    pub engine: Option<Engine>,
    /// Names of generated secrets.
    pub secrets: Vec<String>,
    /// Settings with their defaults.
    pub settings: BTreeMap<String, String>,
    /// Environment of all processes; values are templates.
    pub env: BTreeMap<String, String>,
    /// Volumes: name and path.
    pub volumes: Vec<(String, String)>,
    pub processes: Vec<Process>,
    /// User and group.
    pub user: Option<(i64, Option<i64>)>,
    /// What could not be carried over.
    pub remarks: Vec<String>,
}

/// Version from the tag of an image; 1 when the image names none.
pub fn version(image: &str) -> String {
    let image = image.split('@').next().unwrap_or(image);
    let last = image.rsplit('/').next().unwrap_or(image);
    let tag = last.split_once(':').map_or("", |(_, tag)| tag);
    let fits = |c: char| c.is_ascii_alphanumeric() || "._+-".contains(c);
    if tag.is_empty() || tag == "latest" || tag.len() > 40 || !tag.chars().all(fits) { "1".into() } else { tag.into() }
}

/// A text as it stands in YAML, where JSON's quotes are valid.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn list(words: &[String]) -> String {
    format!("[{}]", words.iter().map(|w| quoted(w)).collect::<Vec<_>>().join(", "))
}

/// The text as a comment of one line: control characters become blanks.
fn comment(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

impl Draft {
    /// The blueprint as text, with its comments.
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "# A first draft. Next: tenantry blueprint validate, render and test.")?;
        writeln!(out, "# All fields: docs/blueprints.md; for editors: tenantry blueprint schema.")?;
        for remark in &self.remarks {
            writeln!(out, "# TO DO: {}", comment(remark))?;
        }
        writeln!(
            out,
            "apiVersion: tenantry.dev/v1alpha1\nkind: Blueprint\nmetadata:\n  name: {}\nspec:",
            quoted(&self.name)
        )?;
        writeln!(out, "  title: {}", quoted(&self.name))?;
        writeln!(out, "  # true once `tenantry blueprint test` has passed.\n  verified: false\n")?;
        if let Some(engine) = self.engine {
            writeln!(out, "  database:\n    engines:\n      - {{engine: {}}}\n", engine.word())?;
        }
        writeln!(
            out,
            "  # The first administrator: its password is generated, see `personalise`.\n  admin: {{login: admin}}\n"
        )?;
        if !self.settings.is_empty() {
            writeln!(out, "  # What an instance may choose.\n  settings:")?;
            for (name, default) in &self.settings {
                writeln!(out, "    {name}: {{default: {}}}", quoted(default))?;
            }
            writeln!(out)?;
        }
        if !self.secrets.is_empty() {
            writeln!(out, "  # Generated once for each instance; nothing was copied from anywhere.\n  secrets:")?;
            for name in &self.secrets {
                writeln!(out, "    - {{name: {name}}}")?;
            }
            writeln!(out)?;
        }
        if !self.volumes.is_empty() {
            writeln!(
                out,
                "  # Shares of the plan's storage. A product that keeps all in its database needs none.\n  volumes:"
            )?;
            let percent = (80 / self.volumes.len()).max(1);
            for (name, path) in &self.volumes {
                writeln!(out, "    - {{name: {name}, mountPath: {}, percentOfStorage: {percent}}}", quoted(path))?;
            }
            writeln!(out)?;
        }
        Self::map(out, "  env:", "    ", &self.env)?;
        writeln!(out, "  releases:\n    # By digest in production: registry/name@sha256:...")?;
        writeln!(out, "    - version: {}\n      image: {}\n", quoted(&version(&self.image)), quoted(&self.image))?;
        if self.engine.is_some() {
            out.push_str(INSTALL);
        }
        writeln!(out, "  processes:")?;
        for process in &self.processes {
            process.write(out)?;
        }
        out.push_str(VERIFY);
        out.push_str(SECURITY);
        if let Some((user, group)) = self.user {
            writeln!(out, "    runAsUser: {user}")?;
            if let Some(group) = group {
                writeln!(out, "    runAsGroup: {group}")?;
            }
        }
        Ok(())
    }

    fn map(out: &mut String, head: &str, indent: &str, all: &BTreeMap<String, String>) -> std::fmt::Result {
        if all.is_empty() {
            return Ok(());
        }
        writeln!(out, "{head}")?;
        for (name, value) in all {
            writeln!(out, "{indent}{}: {}", quoted(name), quoted(value))?;
        }
        if indent.len() == 4 { writeln!(out) } else { Ok(()) }
    }
}

impl Process {
    fn write(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "    - name: {}", self.name)?;
        if let Some(image) = &self.image {
            writeln!(
                out,
                "      # A companion: a program of its own beside the product.\n      image: {}",
                quoted(image)
            )?;
        }
        if !self.command.is_empty() {
            writeln!(out, "      command: {}", list(&self.command))?;
        }
        Draft::map(out, "      env:", "        ", &self.env)?;
        if let Some(port) = self.port {
            writeln!(out, "      port: {port}")?;
        }
        if self.serves {
            writeln!(out, "      serves: true")?;
        } else if self.image.is_none() {
            writeln!(
                out,
                "      # Workers act on customers: they wait until the verification passed.\n      afterVerify: true"
            )?;
        }
        if !self.volumes.is_empty() {
            writeln!(out, "      volumes: {}", list(&self.volumes))?;
        }
        if !self.readiness.is_empty() {
            writeln!(out, "      readiness: {{command: {}}}", list(&self.readiness))?;
        } else if self.port.is_none() && self.image.is_none() {
            writeln!(
                out,
                "      # It has no port to ask; say how to know that it works:\n      # readiness: {{command: [...]}}"
            )?;
        }
        writeln!(out)
    }
}

const INSTALL: &str =
    "  # Fills an empty database, once for each release on each server; every instance is a copy of it. Without it each
  # instance begins with an empty database, and the product must fill it when it starts.
  # install:
  #   timeoutSeconds: 1800
  #   steps:
  #     - name: schema
  #       command: [bin/setup]
  # Makes a copy one instance's own; must be repeatable. At least the administrator's password:
  # personalise:
  #   steps:
  #     - name: administrator
  #       sql: UPDATE users SET password = {{ admin.password|bcrypt(instance.id)|sql_quote }} WHERE login = 'admin'
  # Makes a copy for staging unable to write to customers:
  # neutralise:
  #   steps:
  #     - name: no mail
  #       sql: DELETE FROM mail_queue

";

const VERIFY: &str =
    "  # How to know that it works. An answer at / proves little: log in, write a record, read it, delete it.
  verify:
    steps:
      - name: answers
        path: /
        status: [200, 301, 302, 303, 307]

  # How active users are counted and refused:
  # seats:
  #   countSql: SELECT count(*) FROM users WHERE active
  #   tables:
  #     - {table: users, activeWhen: \"{row}.active\"}

";

const SECURITY: &str = "  podSecurity:
    # restricted is better and runs on every Site: it needs an image that runs as a user other than root.
    level: baseline
    # true is better: name what must be writable in writablePaths.
    readOnlyRootFilesystem: false
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_tag_of_the_image() {
        for (image, wanted) in [
            ("odoo:17", "17"),
            ("odoo", "1"),
            ("odoo:latest", "1"),
            ("registry.example:5000/a/odoo", "1"),
            ("registry.example:5000/a/odoo:17.0@sha256:abc", "17.0"),
        ] {
            assert_eq!(version(image), wanted, "{image}");
        }
    }
}
