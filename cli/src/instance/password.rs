//! `tenantry instance password`: the one place that prints a secret. Does I/O.

use k8s_openapi::api::core::v1::Secret;
use kube::api::Patch;
use kube::{Api, ResourceExt};
use serde_json::json;
use tenantry_api::crm_instance::CrmInstance;
use tenantry_core::id::Id;
use tenantry_core::names;

use crate::cluster;
use crate::error::{Exit, Problem, api};
use crate::session::Session;
use crate::target::{self, Address};

/// Key of the password in the Secret.
pub const KEY: &str = "admin-password";
/// Annotation: when the first password was shown with `--once`.
pub const SHOWN: &str = "tenantry.dev/password-shown-at";
/// Annotation: when a person said that the first password was changed in the application.
pub const CHANGED: &str = "tenantry.dev/password-changed-at";

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which one
    #[arg(value_name = "TENANT/INSTANCE", add = crate::completion::instances())]
    pub name: Address,
    /// Prints it and remembers that it was shown: a second time is refused, and `doctor` reminds to change it
    #[arg(long, conflicts_with = "changed")]
    pub once: bool,
    /// Prints nothing; remembers that the password was changed in the application, so that `doctor` is quiet
    #[arg(long)]
    pub changed: bool,
}

/// Name of the Secret that holds the password.
pub fn secret_name(instance: &CrmInstance) -> Result<String, Problem> {
    let unready = || {
        Problem::failed(format!("{} has no password yet", target::address_of(instance)))
            .why("the operator makes one with the instance's keys")
            .next("watch", format!("instance show {} --wait", target::address_of(instance)))
    };
    let id = instance.spec.id.as_deref().and_then(|id| Id::parse(id).ok()).ok_or_else(unready)?;
    let generation = instance.status.as_ref().and_then(|s| s.data_generation).ok_or_else(unready)?;
    Ok(names::keys_secret(&id, generation))
}

pub async fn run(args: &Args, session: &Session) -> Result<Exit, Problem> {
    let (_, instance) = target::instance(session, &args.name).await?;
    let name = secret_name(&instance)?;
    let secrets: Api<Secret> =
        Api::namespaced(session.cluster.client.clone(), &instance.namespace().unwrap_or_default());
    let doing = format!("read the password of {}", args.name);
    let secret = secrets.get_opt(&name).await.map_err(|e| api::problem(&doing, &e))?.ok_or_else(|| {
        Problem::not_found(format!("the Secret with the password of {} does not exist", args.name))
            .why(format!("{name} in namespace {}", instance.namespace().unwrap_or_default()))
            .next("look", format!("instance show {}", args.name))
    })?;
    if args.changed {
        mark(&secrets, &name, CHANGED, session).await?;
        session.out.say(&format!("{}: remembered that the first password was changed", args.name));
        return Ok(Exit::DONE);
    }
    if let Some(at) = secret.annotations().get(SHOWN).filter(|_| args.once) {
        return Err(Problem::refused(format!("the first password of {} was shown already, at {at}", args.name))
            .safe("it is unchanged")
            .next("show it all the same", format!("instance password {}", args.name)));
    }
    let password = secret
        .data
        .as_ref()
        .and_then(|d| d.get(KEY))
        .and_then(|b| String::from_utf8(b.0.clone()).ok())
        .ok_or_else(|| Problem::failed(format!("Secret {name} has no key {KEY}")))?;
    if args.once {
        // First recorded, then shown, so that the record of a shown password is never missing.
        mark(&secrets, &name, SHOWN, session).await?;
    }
    let blueprint = session.cluster.blueprints().get_opt(&instance.spec.blueprint).await.ok().flatten();
    let login = blueprint.map(|b| b.spec.admin.login);
    if session.out.is_document() {
        session.out.document(&json!({"login": login, "password": password}))?;
    } else {
        session.out.line(&password);
    }
    if args.once {
        let login = login.unwrap_or_else(|| "the administrator".into());
        let done = crate::program::command(&format!("instance password {} --changed", args.name));
        session.out.note(&format!("log in as {login}, change the password there, then: {done}"));
    }
    Ok(Exit::DONE)
}

async fn mark(secrets: &Api<Secret>, name: &str, annotation: &str, session: &Session) -> Result<(), Problem> {
    let at = session.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let body = json!({"metadata": {"annotations": {annotation: at}}});
    let patched = secrets.patch_metadata(name, &cluster::patch(false), &Patch::Merge(&body)).await;
    patched.map(|_| ()).map_err(|e| api::problem("remember that the password was shown", &e))
}
