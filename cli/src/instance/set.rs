//! `tenantry instance set`: changes the size, the place and the administrator's address of instances. Does I/O.

use serde_json::Value;

use super::size::Size;
use super::{settings, track, view};
use crate::args::{Change, ConfirmAll, Targets};
use crate::change::patch::patched;
use crate::confirm::every;
use crate::error::{Exit, Problem};
use crate::listing;
use crate::progress::Progress;
use crate::session::Session;
use crate::target;
use crate::wait::Until;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub targets: Targets,
    #[command(flatten)]
    pub sure: ConfirmAll,
    /// E-mail address of the administrator
    #[arg(long, value_name = "EMAIL")]
    pub admin_email: Option<String>,
    #[command(flatten)]
    pub size: Size,
    #[command(flatten)]
    pub change: Change,
}

pub async fn run(args: &Args, session: &Session) -> Result<Exit, Problem> {
    let until = Until::after(args.change.wait.timeout);
    let mut spec = args.size.patch();
    if let Some(email) = &args.admin_email {
        spec.insert("adminEmail".into(), email.clone().into());
    }
    if spec.is_empty() {
        return Err(Problem::usage("what should change? name at least one of --replicas, --node-selector, ..."));
    }
    let instances = target::instances(session, &args.targets, false).await?;
    if args.admin_email.is_some() {
        let blueprints = settings::blueprints(session, &instances).await?;
        for instance in &instances {
            let Some(blueprint) = blueprints.get(&instance.spec.blueprint) else { continue };
            settings::decide::field_reaches(
                instance,
                blueprint,
                "instance.admin_email",
                "the administrator's address",
            )?;
        }
    }
    every(session, "change", &args.targets, args.change.dry, &instances, &args.sure).await?;
    let (mut changed, mut text) = patched(session, &instances, &Value::Object(spec), args.change.dry.dry_run).await?;
    if args.change.waits() {
        let mut progress = Progress::new(&session.out);
        for instance in &mut changed {
            *instance = track::until_ready(session, instance, until, &mut progress).await?;
            text.push_str("\n\n");
            text.push_str(
                &view::page(instance, None, false, session.now()).render(&session.out.paint, session.out.columns),
            );
        }
        progress.end();
    }
    settings::hidden(session, &mut changed).await?;
    listing::changed(&session.out, &changed, &text)
}
