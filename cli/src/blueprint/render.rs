//! `tenantry blueprint render`: what the templates of a blueprint give for a sample instance. Reads a file.

use std::path::PathBuf;

use serde_json::{Map, Value, json};
use tenantry_api::blueprint::Blueprint;
use tenantry_api::crm_instance::Environment;

use super::sample::{self, Wanted};
use crate::args::pair;
use crate::error::{Exit, Problem};
use crate::form;
use crate::instance::create_args::environment;
use crate::output::Out;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// File with a blueprint as YAML or JSON; - for standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Which blueprint, when the file holds several
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Release; the newest of the stable channel when not given
    #[arg(long, value_name = "VERSION")]
    pub release: Option<String>,
    /// What the sample instance is for
    #[arg(long, value_name = "KIND", value_parser = environment(), default_value = "production")]
    pub environment: Environment,
    /// Host of the sample instance
    #[arg(long, value_name = "HOST")]
    pub host: Option<String>,
    /// Setting of the sample instance; can be repeated
    #[arg(long = "setting", value_name = "KEY=VALUE", value_parser = pair)]
    pub settings: Vec<(String, String)>,
}

/// All values are samples, so no real secret can appear.
pub fn run(args: &Args, out: &Out) -> Result<Exit, Problem> {
    let blueprint = chosen(crate::diff::read(&args.file)?, args.name.as_deref())?;
    let wanted = Wanted {
        release: args.release.clone(),
        environment: args.environment,
        host: args.host.clone(),
        settings: args.settings.iter().cloned().collect(),
    };
    let all = sample::rendered(&blueprint, &wanted).map_err(|wrong| {
        Problem::refused(format!("{} does not render", args.file.display()))
            .why(wrong.join("\n"))
            .next("all problems", format!("blueprint validate {}", args.file.display()))
    })?;
    if out.is_document() {
        let map: Map<String, Value> = all.into_iter().map(|(place, text)| (place, text.into())).collect();
        out.document(&json!({"rendered": map}))?;
    } else {
        out.line(&text(&all));
    }
    Ok(Exit::DONE)
}

pub fn chosen(documents: Vec<Value>, name: Option<&str>) -> Result<Blueprint, Problem> {
    let is = |d: &Value| {
        let named = d.pointer("/metadata/name").and_then(Value::as_str);
        d.get("kind").and_then(Value::as_str) == Some("Blueprint") && (name.is_none() || named == name)
    };
    let mut found: Vec<Value> = documents.into_iter().filter(is).collect();
    match found.len() {
        1 => form::read(found.remove(0))
            .map_err(|e| Problem::refused("the blueprint does not have the form of one").why(e)),
        0 => Err(Problem::not_found("there is no such Blueprint in the file")),
        n => Err(Problem::usage(format!("the file holds {n} blueprints; say which with --name NAME"))),
    }
}

/// One line for short texts, an indented block for long ones.
fn text(all: &[(String, String)]) -> String {
    let parts: Vec<String> = all
        .iter()
        .map(|(place, text)| match text.trim_end_matches('\n') {
            line if !line.contains('\n') => format!("{place}: {line}"),
            block => format!("{place}:\n  {}", block.replace('\n', "\n  ")),
        })
        .collect();
    parts.join("\n")
}
