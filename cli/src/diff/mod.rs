//! `tenantry diff -f FILE`: what would change, object by object. Does I/O.
//!
//! Two halves: the objects of the file themselves, through a dry run in the API server, and what the operator
//! would make of them, through the functions that it plans with ([`children`]).

pub mod children;
pub mod instance;
mod planned;
pub mod release;
mod restarts;
mod server;
mod volumes;

use std::path::PathBuf;

use kube::api::{DynamicObject, Patch};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, ResourceExt};
use serde_json::Value;

use crate::change::objects::{ObjectChange, document, text};
use crate::cluster;
use crate::error::{Exit, Problem, api};
use crate::instance::settings::hide;
use crate::session::Session;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// File with objects as YAML or JSON; - for standard input
    #[arg(short, long, value_name = "FILE")]
    pub file: PathBuf,
}

pub async fn run(args: &Args, session: &Session) -> Result<Exit, Problem> {
    let (mut changes, mut restarts) = (Vec::new(), None);
    let (mut planned, documents) = (true, read(&args.file)?);
    for wanted in &documents {
        let (change, stored) = itself(session, wanted).await?;
        if stored.get("kind").and_then(Value::as_str) == Some("Site") {
            restarts = restarts::of_site(session, change.before.as_ref(), &stored).await?;
        }
        changes.push(change);
        match children::changes(session, &stored).await? {
            Some(all) => changes.extend(all),
            None => planned = false,
        }
    }
    if session.out.is_document() {
        let mut document = document(&changes);
        if let Some(restarts) = &restarts {
            document["restarts"] = restarts.document();
        }
        session.out.document(&document)?;
        return Ok(Exit::DONE);
    }
    session.out.line(&text(&changes, session.out.paint, session.out.columns));
    if let Some(restarts) = &restarts {
        session.out.line(&restarts.text());
    }
    if !planned {
        session.out.note("what the operator makes of these objects is not shown: the cluster has no Site");
    }
    Ok(Exit::DONE)
}

/// The objects of a file.
pub fn read(path: &std::path::Path) -> Result<Vec<Value>, Problem> {
    let text =
        if path.as_os_str() == "-" { std::io::read_to_string(std::io::stdin()) } else { std::fs::read_to_string(path) };
    let text = text.map_err(|e| Problem::failed(format!("cannot read {}: {e}", path.display())))?;
    let all = tenantry_core::yaml::documents(&text)
        .map_err(|e| Problem::failed(format!("{} is not YAML", path.display())).why(e.to_string()))?;
    if all.is_empty() {
        return Err(Problem::failed(format!("{} holds no objects", path.display())));
    }
    Ok(all)
}

/// The kinds that a file may hold: the plural, and whether the kind lives in a namespace.
fn resource(kind: &str) -> Option<(&'static str, bool)> {
    Some(match kind {
        "Site" => ("sites", false),
        "Plan" => ("plans", false),
        "Blueprint" => ("blueprints", false),
        "DatabaseServer" => ("databaseservers", false),
        "Tenant" => ("tenants", false),
        "CrmInstance" => ("crminstances", true),
        _ => return None,
    })
}

/// One object before, and as the API server would store it; the stored object once more for planning.
async fn itself(session: &Session, wanted: &Value) -> Result<(ObjectChange, Value), Problem> {
    let text = |path: &str| wanted.pointer(path).and_then(Value::as_str).unwrap_or_default();
    let (kind, name) = (text("/kind"), text("/metadata/name"));
    let (plural, namespaced) = resource(kind)
        .filter(|_| text("/apiVersion").starts_with("tenantry.dev/") && !name.is_empty())
        .ok_or_else(|| {
            Problem::usage(format!("{kind:?} {name:?} is not an object that can be compared here"))
                .why("needed are apiVersion tenantry.dev/v1alpha1, a kind that people write, and metadata.name")
        })?;
    let version = GroupVersionKind::gvk(tenantry_api::GROUP, tenantry_api::VERSION, kind);
    let resource = ApiResource::from_gvk_with_plural(&version, plural);
    let namespace = text("/metadata/namespace");
    if namespaced && namespace.is_empty() {
        return Err(Problem::usage(format!("{kind} {name} needs metadata.namespace: its tenant's")));
    }
    let objects: Api<DynamicObject> = if namespaced {
        Api::namespaced_with(session.cluster.client.clone(), namespace, &resource)
    } else {
        Api::all_with(session.cluster.client.clone(), &resource)
    };
    let doing = format!("compare {kind} {name}");
    let before = objects.get_opt(name).await.map_err(|e| api::problem(&doing, &e))?;
    let params = cluster::patch(true).force();
    let after = match objects.patch(name, &params, &Patch::Apply(wanted)).await {
        Ok(after) => value(&after)?,
        // The namespace belongs to a tenant that does not exist yet, so there is nothing to compare with.
        Err(kube::Error::Api(s)) if s.is_not_found() && before.is_none() && namespaced => wanted.clone(),
        Err(e) => return Err(api::problem(&doing, &e)),
    };
    let mut before = before.map(|b| value(&b)).transpose()?;
    let mut shown = after.clone();
    if kind == "CrmInstance" {
        let name = after.pointer("/spec/blueprint").and_then(Value::as_str).unwrap_or_default();
        // A blueprint that cannot be read hides every setting.
        let blueprint = session.cluster.blueprints().get_opt(name).await.ok().flatten();
        hide::mask(&mut before, &mut shown, blueprint.as_ref().map(|b| &b.spec));
    }
    Ok((ObjectChange::new(before, Some(shown)), after))
}

fn value(object: &DynamicObject) -> Result<Value, Problem> {
    serde_json::to_value(object).map_err(|e| Problem::failed(format!("cannot compare {}: {e}", object.name_any())))
}
