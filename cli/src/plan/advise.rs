//! `tenantry plan advise`: which package fits a customer, and what to run it on. Does I/O; the advice is pure.

use std::path::PathBuf;

use kube::ResourceExt;
use serde_json::{Value, json};
use tenantry_api::blueprint::BlueprintSpec;
use tenantry_api::plan::{Plan, PlanSpec};
use tenantry_core::quantity;
use tenantry_plan::advise::{Advice, Judged, Needs, advise};

use crate::error::{Exit, Problem};
use crate::form;
use crate::output::Out;
use crate::output::page::Page;
use crate::output::table::Table;
use crate::session::Session;
use crate::target::{self, BLUEPRINT};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Active users
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub users: u32,
    /// Storage of database and files together, decimal, for example 20G
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub storage: u64,
    /// Users at work at the same moment
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub concurrent: u32,
    /// Product, whose needs are taken into account
    #[arg(long, value_name = "NAME", add = crate::completion::blueprints())]
    pub blueprint: Option<String>,
    /// File with plans as YAML or JSON, and the blueprint if one is named, instead of the cluster's; can be repeated
    #[arg(short, long = "file", value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

fn size(text: &str) -> Result<u64, String> {
    quantity::bytes(text).map_err(|e| e.to_string())
}

/// Advises with the plans of the cluster.
pub async fn run(args: &Args, session: &Session) -> Result<Exit, Problem> {
    let plans = session.cluster.list(&session.cluster.plans(), "plans", None).await?;
    let plans: Vec<(String, PlanSpec)> = plans.into_iter().map(|p| (p.name_any(), p.spec)).collect();
    let blueprint = match &args.blueprint {
        Some(name) => Some(target::one(session, &session.cluster.blueprints(), BLUEPRINT, name).await?.spec),
        None => None,
    };
    told(args, &plans, blueprint.as_ref(), &session.out)
}

/// Advises with the objects in files, without a cluster.
pub fn run_files(args: &Args, out: &Out) -> Result<Exit, Problem> {
    let (mut plans, mut blueprint) = (Vec::new(), None);
    for file in &args.files {
        for document in crate::diff::read(file)? {
            let kind = document.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
            let name = document.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned();
            let wrong = |why: String| {
                Problem::refused(format!("{kind} {name:?} in {} cannot be read", file.display())).why(why)
            };
            if kind == "Plan" {
                let plan: Plan = form::read(document).map_err(wrong)?;
                plans.push((name, plan.spec));
            } else if kind == "Blueprint" && args.blueprint.as_deref() == Some(&name) {
                let read: tenantry_api::blueprint::Blueprint = form::read(document).map_err(wrong)?;
                blueprint = Some(read.spec);
            }
        }
    }
    if let (Some(name), None) = (&args.blueprint, &blueprint) {
        return Err(Problem::not_found(format!("there is no Blueprint {name:?} in these files")));
    }
    told(args, &plans, blueprint.as_ref(), out)
}

fn told(
    args: &Args,
    plans: &[(String, PlanSpec)],
    blueprint: Option<&BlueprintSpec>,
    out: &Out,
) -> Result<Exit, Problem> {
    if args.concurrent > args.users {
        return Err(Problem::usage(format!(
            "{} users cannot be at work at once: there are {}",
            args.concurrent, args.users
        )));
    }
    let needs = Needs { users: args.users, storage_bytes: args.storage, concurrent: args.concurrent };
    let advice = advise(needs, plans, blueprint);
    if out.is_document() {
        out.document(&document(&advice))?;
    } else {
        out.line(&page(&advice).render(&out.paint, out.columns));
    }
    Ok(if advice.plan.is_some() { Exit::DONE } else { Exit::NOT_FOUND })
}

fn document(advice: &Advice) -> Value {
    let plan = |p: &Judged| json!({"name": p.plan, "fits": p.fits, "reasons": p.reasons});
    let size = &advice.size;
    json!({
        "plan": advice.plan.as_ref().map(plan),
        "others": advice.others.iter().map(plan).collect::<Vec<_>>(),
        "size": {
            "replicas": size.replicas,
            "cpu": format!("{}m", size.cpu_milli),
            "memoryBytes": size.memory_bytes,
            "ownDatabaseServer": size.own_server,
            "reasons": size.reasons,
        },
    })
}

fn page(advice: &Advice) -> Page {
    let mut page = Page::new("Advice");
    match &advice.plan {
        Some(plan) => page.noted("Plan", plan.plan.clone(), plan.reasons.join(", ")),
        None => page.fact("Plan", "none fits: make one, or give the tenant its own --seats and --storage"),
    };
    let size = &advice.size;
    page.fact("Replicas", size.replicas.to_string());
    page.fact("Processor", format!("{}m for each", size.cpu_milli));
    page.fact("Memory", format!("{} for each", quantity::human(size.memory_bytes)));
    page.fact("Database", if size.own_server { "a server of its own" } else { "a shared server does" });
    page.text("Why");
    for reason in &size.reasons {
        page.text(format!("  {reason}"));
    }
    page.text("  numbers for each person at work are assumptions: measure, and correct them");
    let mut table = Table::new(&["PLAN", "FITS", "WHY"]);
    for other in &advice.others {
        table.row(vec![other.plan.clone(), if other.fits { "yes" } else { "no" }.into(), other.reasons.join(", ")]);
    }
    if !advice.others.is_empty() {
        page.table("Other plans", table);
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_advice_from_the_committed_plans_names_one_and_why() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests");
        let files: Vec<PathBuf> = std::fs::read_dir(folder.join("plans"))
            .unwrap()
            .map(|e| e.unwrap().path())
            .chain([folder.join("blueprints/tryton.yaml")])
            .collect();
        let args = Args {
            users: 12,
            storage: 60_000_000_000,
            concurrent: 8,
            blueprint: Some("tryton".into()),
            files: files.clone(),
        };
        assert_eq!(run_files(&args, &Out::new(crate::output::Format::Name)), Ok(Exit::DONE));
        let many = Args { concurrent: 13, ..args };
        assert_eq!(run_files(&many, &Out::new(crate::output::Format::Name)).unwrap_err().exit, Exit::USAGE);
        let unknown = Args { concurrent: 8, blueprint: Some("nothing".into()), ..many };
        assert_eq!(run_files(&unknown, &Out::new(crate::output::Format::Name)).unwrap_err().exit, Exit::NOT_FOUND);
    }
}
