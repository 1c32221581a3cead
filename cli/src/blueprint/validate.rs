//! `tenantry blueprint validate`: checks blueprints in files, without a cluster. Reads files.

use std::collections::BTreeSet;
use std::path::PathBuf;

use kube::ResourceExt;
use serde_json::{Value, json};
use tenantry_api::blueprint::Blueprint;
use tenantry_api::crm_instance::Environment;
use tenantry_plan::made_with;

use crate::blueprint::sample::{self, Wanted};
use crate::error::{Exit, Problem};
use crate::form;
use crate::output::Out;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Files with blueprints as YAML or JSON; - for standard input
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
}

pub fn run(args: &Args, out: &Out) -> Result<Exit, Problem> {
    let mut reports = Vec::new();
    for file in &args.files {
        for report in checked(crate::diff::read(file)?) {
            reports.push((file.display().to_string(), report));
        }
    }
    let wrong = reports.iter().filter(|(_, r)| !r.problems.is_empty()).count();
    if out.is_document() {
        let item = |(file, r): &(String, Report)| json!({"file": file, "name": r.name, "problems": r.problems, "warnings": r.warnings});
        let items: Vec<Value> = reports.iter().map(item).collect();
        out.document(&json!({"valid": wrong == 0, "blueprints": items}))?;
    } else {
        for (file, Report { name, problems, warnings }) in &reports {
            if problems.is_empty() {
                out.line(&format!("{} {name} ({file})", out.paint.good("✔")));
            }
            for problem in problems {
                out.line(&format!("{} {name} ({file}): {}", out.paint.bad("✘"), crate::output::text::clean(problem)));
            }
            for warning in warnings {
                out.line(&format!("{} {name} ({file}): {}", out.paint.warn("!"), crate::output::text::clean(warning)));
            }
        }
    }
    if reports.is_empty() {
        return Err(Problem::not_found("there is no Blueprint in these files"));
    }
    Ok(if wrong == 0 { Exit::DONE } else { Exit::REFUSED })
}

/// What was found in one blueprint.
#[derive(Debug, Default)]
struct Report {
    name: String,
    /// Each of these keeps the blueprint from being used.
    problems: Vec<String>,
    /// With these, the blueprint can be used, but does something that its author may not mean.
    warnings: Vec<String>,
}

/// The blueprints among some objects, each with its findings.
fn checked(documents: Vec<Value>) -> Vec<Report> {
    let blueprints = documents.into_iter().filter(|d| d.get("kind").and_then(Value::as_str) == Some("Blueprint"));
    blueprints
        .map(|d| {
            let named = d.pointer("/metadata/name").and_then(Value::as_str).unwrap_or("(no name)").to_owned();
            match form::read::<Blueprint>(d) {
                Ok(blueprint) => Report {
                    name: blueprint.name_any(),
                    problems: problems(&blueprint),
                    warnings: warnings(&blueprint),
                },
                Err(e) => Report { name: named, problems: vec![e], ..Report::default() },
            }
        })
        .collect()
}

/// Things that work differently from how they look.
fn warnings(blueprint: &Blueprint) -> Vec<String> {
    let settings: Vec<&str> = made_with::only_personalise(&blueprint.spec).into_iter().collect();
    let fields = made_with::fields_only_personalise(&blueprint.spec);
    let mut found = Vec::new();
    if !settings.is_empty() {
        found.push(format!(
            "settings {} are used by personalise alone, which runs when an instance is made: later changes of them are refused. What people are to change later belongs into files, env or a command of a process",
            settings.join(", ")
        ));
    }
    if !fields.is_empty() {
        found.push(format!(
            "{} are used by personalise alone, which runs when an instance is made: later changes of them reach nothing and are reported by the condition SettingsApplied",
            fields.join(", ")
        ));
    }
    found
}

/// Everything that is wrong: statically, as the operator sees it, and by rendering every release for every environment.
pub fn problems(blueprint: &Blueprint) -> Vec<String> {
    let found = tenantry_plan::blueprint::problems(&blueprint.spec);
    if !found.is_empty() {
        return found;
    }
    blueprint.spec.releases.iter().flat_map(|r| of_release(blueprint, &r.version)).collect()
}

/// Templates that do not render. Without this check, a branch for copies alone would fail only when somebody makes the
/// first copy.
fn of_release(blueprint: &Blueprint, version: &str) -> Vec<String> {
    let (mut found, mut told) = (Vec::new(), BTreeSet::new());
    let wanted = |environment| Wanted { release: Some(version.to_owned()), environment, ..Wanted::default() };
    for environment in Environment::ALL {
        let whose = match environment {
            Environment::Production => format!("release {version}"),
            other => format!("release {version}, {}", other.word()),
        };
        let wrong = sample::rendered(blueprint, &wanted(environment)).err().unwrap_or_default();
        let new = wrong.into_iter().filter(|problem| told.insert(problem.clone()));
        found.extend(new.map(|problem| format!("{whose}: {problem}")));
    }
    if found.is_empty() {
        let wrong = sample::for_install(blueprint, &wanted(Environment::Production));
        found.extend(wrong.into_iter().map(|problem| format!("release {version}: {problem}")));
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
            assert_eq!(report[0].problems.is_empty(), fits, "{content} {by}: {:?}", report[0].problems);
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
            assert_eq!(report[0].problems.is_empty(), fits, "{command}: {:?}", report[0].problems);
        }
    }

    #[test]
    fn a_setting_that_only_personalise_uses_is_a_warning_and_no_problem() {
        let mut product = blueprint("{{ settings.mode }}");
        product["spec"]["settings"] = json!({"company": {"default": ""}, "mode": {"default": "a"}});
        product["spec"]["database"] = json!({"engines": [{"engine": "postgresql"}]});
        let set =
            json!({"name": "set", "command": ["set"], "env": {"COMPANY": "{{ settings.company }}{{ settings.mode }}"}});
        product["spec"]["personalise"] = json!({"steps": [set]});
        let report = checked(vec![product]);
        assert_eq!(report[0].problems, Vec::<String>::new());
        assert!(report[0].warnings[0].starts_with("settings company are used"), "{:?}", report[0].warnings);
    }

    #[test]
    fn what_fails_for_copies_alone_is_found_and_told_once() {
        let word = "{% if instance.environment != 'production' %}{{ instance.host | int }}{% endif %}";
        let report = checked(vec![blueprint(word)]);
        let [problem] = &report[0].problems[..] else { panic!("{:?}", report[0].problems) };
        assert!(problem.starts_with("release 1.0, staging: "), "{problem}");
    }

    #[test]
    fn a_wrong_field_is_told_with_its_place() {
        for (field, value, told) in [
            ("prot", json!(80), "spec.processes[0].prot: unknown field"),
            ("port", json!("eighty"), "spec.processes[0].port: invalid type"),
            ("replicas", json!({"max": -1}), "spec.processes[0].replicas.max: invalid value"),
        ] {
            let mut wrong = blueprint("x");
            wrong["spec"]["processes"][0][field] = value;
            let report = checked(vec![wrong]);
            assert!(report[0].problems[0].starts_with(told), "{:?}", report[0].problems);
        }
    }

    #[test]
    fn an_unknown_field_is_a_problem_and_other_kinds_are_passed_over() {
        let mut wrong = blueprint("x");
        wrong["spec"]["proceses"] = json!([]);
        assert!(checked(vec![wrong])[0].problems[0].contains("proceses"));
        assert!(checked(vec![json!({"kind": "Plan"})]).is_empty());
    }
}
