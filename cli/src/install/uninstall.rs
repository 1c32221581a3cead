//! `tenantry uninstall`: takes the operator away; definitions, tenants and their data stay. Does I/O.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, ResourceExt};
use serde_json::json;
use tenantry_core::names;

use super::{CHARTS, helm};
use crate::args::{Confirm, DryRun};
use crate::confirm;
use crate::error::{Exit, Problem, api};
use crate::output::text::count;
use crate::session::Session;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Also removes the definitions; refused while any object of them exists
    #[arg(long)]
    pub purge_crds: bool,
    /// The name of the cluster once more.
    #[command(flatten)]
    pub confirm: Confirm,
    #[command(flatten)]
    pub dry: DryRun,
}

pub async fn run(args: &Args, session: &Session) -> Result<Exit, Problem> {
    let helm = helm::Helm::find(&session.cluster.asked).await?;
    let objects = existing(session).await?;
    if args.purge_crds && !objects.is_empty() {
        let list: Vec<String> = objects.iter().map(|(kind, n)| format!("{n} {kind}")).collect();
        return Err(Problem::refused("the definitions are in use")
            .safe("nothing was changed: removing them would remove every object of theirs")
            .why(format!("there are {}", list.join(", ")))
            .next("take away the operator alone", "uninstall"));
    }
    if !args.dry.dry_run {
        session.out.note(&format!("this takes the operator away from {}", session.cluster.name));
        confirm::names(&session.out, "uninstall from", std::slice::from_ref(&session.cluster.name), &args.confirm)
            .await?;
    }
    helm.uninstall(CHARTS[1], args.dry.dry_run).await?;
    if args.purge_crds {
        helm.uninstall(CHARTS[0], args.dry.dry_run).await?;
        remove_definitions(session, args.dry.dry_run).await?;
    }
    if session.out.is_document() {
        let kept: Vec<_> = objects.iter().map(|(kind, n)| json!({"kind": kind, "count": n})).collect();
        session
            .out
            .document(&json!({"dryRun": args.dry.dry_run, "definitionsRemoved": args.purge_crds, "kept": kept}))?;
        return Ok(Exit::DONE);
    }
    session.out.say(&text(&objects, args.purge_crds, args.dry.dry_run));
    Ok(Exit::DONE)
}

fn text(objects: &[(String, usize)], purged: bool, dry_run: bool) -> String {
    let tenants = objects.iter().find(|(kind, _)| kind == "Tenant").map_or(0, |(_, n)| *n);
    let definitions = if purged { "the definitions go too" } else { "the definitions stay" };
    let operator = if dry_run { "the operator would be taken away (dry run)" } else { "the operator is taken away" };
    format!(
        "{operator}; {definitions}\n  {} run on with all their data; nobody looks after them until it is back\n  bring it back  {}",
        count(tenants, "tenant"),
        crate::program::command("install"),
    )
}

/// The number of objects of each of our kinds. A kind whose definition is gone has no objects.
async fn existing(session: &Session) -> Result<Vec<(String, usize)>, Problem> {
    let mut found = Vec::new();
    for crd in tenantry_api::definitions() {
        let (kind, plural) = (crd.spec.names.kind.clone(), crd.spec.names.plural.clone());
        let version = GroupVersionKind::gvk(tenantry_api::GROUP, tenantry_api::VERSION, &kind);
        let resource = ApiResource::from_gvk_with_plural(&version, &plural);
        let all: Api<DynamicObject> = Api::all_with(session.cluster.client.clone(), &resource);
        match all.list_metadata(&ListParams::default()).await {
            Ok(list) if list.items.is_empty() => {}
            Ok(list) => found.push((kind, list.items.len())),
            Err(kube::Error::Api(s)) if s.is_not_found() => {}
            Err(e) => return Err(api::problem(&format!("count {plural}"), &e)),
        }
    }
    Ok(found)
}

/// helm keeps the definitions, so they are removed one by one.
async fn remove_definitions(session: &Session, dry_run: bool) -> Result<(), Problem> {
    if dry_run {
        // The policy tenantry-ground demands the name in an annotation first, and a dry run does not write the
        // annotation.
        return Ok(());
    }
    let definitions: Api<CustomResourceDefinition> = Api::all(session.cluster.client.clone());
    for crd in tenantry_api::definitions() {
        let name = crd.name_any();
        let failed = |e: &kube::Error| api::problem(&format!("remove definition {name}"), e);
        let confirmed = json!({ "metadata": { "annotations": { names::ANNOTATION_CONFIRM_DELETION: name.as_str() } } });
        match definitions.patch_metadata(&name, &PatchParams::default(), &Patch::Merge(&confirmed)).await {
            Ok(_) => {}
            Err(kube::Error::Api(s)) if s.is_not_found() => continue,
            Err(e) => return Err(failed(&e)),
        }
        match definitions.delete(&name, &DeleteParams::default()).await {
            Ok(_) => {}
            Err(kube::Error::Api(s)) if s.is_not_found() => {}
            Err(e) => return Err(failed(&e)),
        }
    }
    Ok(())
}
