//! `tenantry tenant create`: a tenant with its first instance. Run again after an interruption, it goes on. Does I/O.

use std::time::Instant;

use kube::ResourceExt;
use serde_json::{Value, json};
use tenantry_api::crm_instance::CrmInstance;
use tenantry_api::tenant::{Tenant, TenantSpec};
use tenantry_core::names;

use super::{fields, follow, summary};
use crate::args::{Change, pair};
use crate::change::mint;
use crate::error::{Exit, Problem, api};
use crate::instance::{make, track};
use crate::output::Format;
use crate::progress::Progress;
use crate::session::Session;
use crate::target::{self, PLAN};
use crate::wait::Until;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the tenant
    pub name: String,
    /// Plan
    #[arg(long, value_name = "NAME", add = crate::completion::plans())]
    pub plan: String,
    /// What the first instance is
    #[command(flatten)]
    pub first: make::Product,
    /// Name of the first instance
    #[arg(long = "instance", value_name = "NAME", default_value = "crm")]
    pub instance: String,
    #[command(flatten)]
    pub terms: fields::Terms,
    /// Label on the tenant and its instance, for -l; can be repeated
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = pair)]
    pub labels: Vec<(String, String)>,
    #[command(flatten)]
    pub change: Change,
}

pub async fn run(args: &Args, session: &Session) -> Result<Exit, Problem> {
    let begun = Instant::now();
    let until = Until::after(args.change.wait.timeout);
    target::one(session, &session.cluster.plans(), PLAN, &args.plan).await?;
    make::checked(session, &args.first).await?;
    let again = "run the same command again: what exists already is taken over";
    session.leave.set(
        Problem::left(format!("left; tenant {} may be half made", args.name))
            .safe(again)
            .next("look", format!("tenant show {}", args.name)),
    );
    let wanted = wanted(args)?;
    if args.change.dry.dry_run {
        return dry_run(args, &wanted, session).await;
    }
    let mut progress = Progress::new(&session.out);
    let (tenant, is_new) = stored(&wanted, session).await?;
    follow::namespace(session, &tenant, until, &mut progress).await?;
    progress.done(&format!("tenant {}", args.name), "namespace, quota, network rules", begun.elapsed());
    let spec = make::spec(&args.name, &args.first)?;
    let instance = make::instance(&tenant, &args.instance, spec, &args.labels)?;
    let instance = make::stored(session, &tenant, instance).await;
    let instance = instance.map_err(|p| if is_new { half(p, args) } else { p })?;
    if !args.change.wait.wait {
        progress.end();
        return stored_only(args, session, &tenant, &instance);
    }
    let instance = track::until_ready(session, &instance, until, &mut progress).await?;
    progress.end();
    finished(args, session, &instance, begun).await
}

/// The tenant without its id.
fn wanted(args: &Args) -> Result<Tenant, Problem> {
    let mut spec = fields::without_nulls(args.terms.patch());
    spec.insert("plan".into(), args.plan.clone().into());
    let spec: TenantSpec = serde_json::from_value(Value::Object(spec))
        .map_err(|e| Problem::usage(format!("these terms do not fit: {e}")))?;
    let mut tenant = Tenant::new(&args.name, spec);
    tenant.metadata.labels = make::labels(&args.labels);
    Ok(tenant)
}

/// Creates the tenant, or uses the existing one when it is the same. Returns whether it is new.
async fn stored(wanted: &Tenant, session: &Session) -> Result<(Tenant, bool), Problem> {
    let (name, tenants) = (wanted.name_any(), session.cluster.tenants());
    let doing = format!("create tenant {name}");
    let existing = tenants.get_opt(&name).await.map_err(|e| api::problem(&doing, &e))?;
    if let Some(existing) = existing {
        return taken_over(existing, wanted).map(|t| (t, false));
    }
    let mut new = wanted.clone();
    new.spec.id = Some(mint::id()?.to_string());
    match tenants.create(&crate::cluster::post(false), &new).await {
        Ok(made) => Ok((made, true)),
        // Another client, perhaps an earlier try of ours, created it first.
        Err(kube::Error::Api(s)) if s.is_already_exists() => {
            let existing = tenants.get(&name).await.map_err(|e| api::problem(&doing, &e))?;
            taken_over(existing, wanted).map(|t| (t, false))
        }
        Err(e) => Err(api::problem(&doing, &e)),
    }
}

/// An existing tenant, if it is what was asked for.
fn taken_over(existing: Tenant, wanted: &Tenant) -> Result<Tenant, Problem> {
    let name = existing.name_any();
    if existing.metadata.deletion_timestamp.is_some() {
        return Err(Problem::refused(format!("tenant {name} is being archived"))
            .safe("its data is kept")
            .next("bring it back afterwards", format!("tenant adopt {name}")));
    }
    let mut compared = wanted.spec.clone();
    compared.id.clone_from(&existing.spec.id);
    make::same("tenant", &name, &existing.spec, &compared).map_err(|p| {
        p.next("change it", format!("tenant set {name} ...")).next("look", format!("tenant show {name}"))
    })?;
    Ok(existing)
}

/// The error for a tenant that exists without its instance.
fn half(problem: Problem, args: &Args) -> Problem {
    let why = [Some(problem.what), problem.why].into_iter().flatten().collect::<Vec<_>>().join("\n");
    Problem {
        exit: problem.exit,
        ..Problem::failed(format!("tenant {} was made, its instance {} was not", args.name, args.instance))
            .safe("the tenant has no CRM and no data yet")
            .why(why)
            .next(
                "finish",
                format!(
                    "instance create {}/{} --blueprint {} --host {}",
                    args.name, args.instance, args.first.blueprint, args.first.host
                ),
            )
            .next("undo", format!("tenant archive {}", args.name))
    }
}

async fn dry_run(args: &Args, wanted: &Tenant, session: &Session) -> Result<Exit, Problem> {
    let mut tenant = wanted.clone();
    tenant.spec.id = Some(mint::id()?.to_string());
    let existing = session.cluster.tenants().get_opt(&args.name).await.map_err(|e| api::problem("look", &e))?;
    let (tenant, word) = match existing {
        Some(existing) => (taken_over(existing, wanted)?, "exists already"),
        None => {
            let made = session.cluster.tenants().create(&crate::cluster::post(true), &tenant).await;
            (made.map_err(|e| api::problem(&format!("create tenant {}", args.name), &e))?, "would be created")
        }
    };
    let instance = make::instance(&tenant, &args.instance, make::spec(&args.name, &args.first)?, &args.labels)?;
    let instance = make::rehearsed(session, &instance).await?;
    let text = format!(
        "tenant {} {word} (dry run)\ninstance {}/{} would be created in its namespace (dry run)",
        args.name, args.name, args.instance
    );
    output(session, &args.name, &args.instance, json!({"dryRun": true, "tenant": tenant, "instance": instance}), &text)
}

fn stored_only(args: &Args, session: &Session, tenant: &Tenant, instance: &CrmInstance) -> Result<Exit, Problem> {
    let address = target::address_of(instance);
    let text = format!(
        "tenant {} and instance {address} are stored; the operator sets them up now\n  watch  {}",
        args.name,
        crate::program::command(&format!("instance show {address} --wait")),
    );
    output(session, &args.name, &args.instance, json!({"tenant": tenant, "instance": instance}), &text)
}

async fn finished(args: &Args, session: &Session, instance: &CrmInstance, begun: Instant) -> Result<Exit, Problem> {
    let took = begun.elapsed();
    let tenant = session.cluster.tenants().get(&args.name).await.map_err(|e| api::problem("read the tenant", &e))?;
    let blueprint = session.cluster.blueprints().get(&instance.spec.blueprint).await;
    let login = blueprint.map(|b| b.spec.admin.login).ok();
    let facts = summary::Facts { tenant: &tenant, instance, login: login.as_deref(), took };
    let document = json!({
        "tenant": tenant,
        "instance": instance,
        "url": instance.status.as_ref().and_then(|s| s.url.clone()),
        "login": login,
        "passwordSecret": {
            "namespace": instance.namespace(),
            "name": crate::instance::password::secret_name(instance).ok(),
            "key": crate::instance::password::KEY,
        },
        "namespace": names::namespace(&target::id_of(&tenant)?),
        "seconds": (took.as_secs_f64() * 1_000.0).round() / 1_000.0,
    });
    output(session, &args.name, &args.instance, document, &summary::text(&facts, session.out.paint))
}

fn output(session: &Session, tenant: &str, instance: &str, document: Value, text: &str) -> Result<Exit, Problem> {
    match session.out.format {
        Format::Json | Format::Yaml => session.out.document(&document)?,
        Format::Name => session.out.line(&format!("{tenant}/{instance}")),
        Format::Text | Format::Wide => session.out.say(text),
    }
    Ok(Exit::DONE)
}
