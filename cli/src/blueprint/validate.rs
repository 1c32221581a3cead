//! `tenantry blueprint validate`: checks blueprints in files, without a cluster. Reads files.

use std::path::PathBuf;

use kube::ResourceExt;
use serde_json::{Value, json};
use tenantry_api::blueprint::Blueprint;

use crate::blueprint::sample;
use crate::error::{Exit, Problem};
use crate::output::Out;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Files with blueprints as YAML or JSON; - for standard input
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
}

/// Runs it.
pub fn run(args: &Args, out: &Out) -> Result<Exit, Problem> {
    let mut reports = Vec::new();
    for file in &args.files {
        for (name, problems) in checked(crate::diff::read(file)?) {
            reports.push((file.display().to_string(), name, problems));
        }
    }
    let wrong = reports.iter().filter(|(_, _, p)| !p.is_empty()).count();
    if out.is_document() {
        let items: Vec<Value> =
            reports.iter().map(|(file, name, p)| json!({"file": file, "name": name, "problems": p})).collect();
        out.document(&json!({"valid": wrong == 0, "blueprints": items}))?;
    } else {
        for (file, name, problems) in &reports {
            if problems.is_empty() {
                out.line(&format!("{} {name} ({file})", out.paint.good("✔")));
            }
            for problem in problems {
                out.line(&format!("{} {name} ({file}): {}", out.paint.bad("✘"), crate::output::text::clean(problem)));
            }
        }
    }
    if reports.is_empty() {
        return Err(Problem::not_found("there is no Blueprint in these files"));
    }
    Ok(if wrong == 0 { Exit::DONE } else { Exit::REFUSED })
}

/// The blueprints among some objects, each with its problems.
fn checked(documents: Vec<Value>) -> Vec<(String, Vec<String>)> {
    let blueprints = documents.into_iter().filter(|d| d.get("kind").and_then(Value::as_str) == Some("Blueprint"));
    blueprints
        .map(|d| {
            let named = d.pointer("/metadata/name").and_then(Value::as_str).unwrap_or("(no name)").to_owned();
            match serde_json::from_value::<Blueprint>(d) {
                Ok(blueprint) => (blueprint.name_any(), problems(&blueprint)),
                Err(e) => (named, vec![e.to_string()]),
            }
        })
        .collect()
}

/// Everything that is wrong: statically, as the operator sees it, and by rendering every release once.
pub fn problems(blueprint: &Blueprint) -> Vec<String> {
    let mut found = tenantry_plan::blueprint::problems(&blueprint.spec);
    if found.is_empty() {
        for release in &blueprint.spec.releases {
            let wanted = sample::Wanted { release: Some(release.version.clone()), ..sample::Wanted::default() };
            match sample::rendered(blueprint, &wanted) {
                Ok(_) => {
                    let wrong = sample::for_install(blueprint, &wanted);
                    found.extend(wrong.into_iter().map(|p| format!("release {}: {p}", release.version)));
                }
                Err(problems) => {
                    found.extend(problems.into_iter().map(|p| format!("release {}: {p}", release.version)))
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blueprint(command: &str) -> Value {
        json!({
            "apiVersion": "tenantry.dev/v1alpha1", "kind": "Blueprint", "metadata": {"name": "demo"},
            "spec": {
                "title": "Demo",
                "releases": [{"version": "1.0", "image": "demo:1.0", "vars": {"mode": "fast"}}],
                "processes": [{"name": "web", "port": 80, "serves": true, "command": ["run", command]}],
            }
        })
    }

    #[test]
    fn a_file_that_needs_an_instance_does_not_fit_an_install_by_commands() {
        for (content, by, fits) in [
            ("{{ instance.host }}", json!({"command": ["setup"]}), false),
            ("{% if instance is defined %}{{ instance.host }}{% endif %}", json!({"command": ["setup"]}), true),
            ("{{ instance.host }}", json!({"sql": "SELECT 1"}), true),
        ] {
            let mut step = by.clone();
            step["name"] = "tables".into();
            let mut product = blueprint("x");
            product["spec"]["database"] = json!({"engines": [{"engine": "postgresql"}]});
            product["spec"]["files"] = json!([{"path": "/etc/demo.ini", "content": content}]);
            product["spec"]["install"] = json!({"steps": [step]});
            let report = checked(vec![product]);
            assert_eq!(report[0].1.is_empty(), fits, "{content} {by}: {:?}", report[0].1);
        }
    }

    #[test]
    fn a_blueprint_is_fit_or_its_problems_are_named() {
        for (command, fits) in [
            ("--mode={{ release.vars.mode }}", true),
            ("{{ instance.hots }}", false),
            ("{{ admin.password }}", false),
            ("{{ instance.host | tojson", false),
            ("{{ instance.host | int }}", false),
        ] {
            let report = checked(vec![blueprint(command)]);
            assert_eq!(report[0].1.is_empty(), fits, "{command}: {:?}", report[0].1);
        }
    }

    #[test]
    fn an_unknown_field_is_a_problem_and_other_kinds_are_passed_over() {
        let mut wrong = blueprint("x");
        wrong["spec"]["proceses"] = json!([]);
        assert!(checked(vec![wrong])[0].1[0].contains("proceses"));
        assert!(checked(vec![json!({"kind": "Plan"})]).is_empty());
    }
}
