//! `tenantry instance settings check`: whether integrations answer, as the operator last saw or sees now. Does I/O.

use kube::ResourceExt;
use serde_json::{Value, json};
use tenantry_api::crm_instance::CrmInstance;
use tenantry_api::integration::IntegrationState;
use tenantry_core::names;

use super::{again, shown};
use crate::args::{Targets, WaitArgs};
use crate::error::{Exit, Problem};
use crate::output::Format;
use crate::program::command;
use crate::session::Session;
use crate::target::{self, address_of};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub targets: Targets,
    /// Asks the operator to check now, as after a repair; without, tells what it saw last
    #[arg(long)]
    pub again: bool,
    /// Waits until the operator has checked again.
    #[command(flatten)]
    pub wait: WaitArgs,
}

pub async fn run(args: &Args, session: &Session) -> Result<Exit, Problem> {
    if args.wait.wait && !args.again {
        let problem = Problem::usage("there is nothing to wait for: what is shown is what the operator saw last");
        return Err(problem.next("check now and wait", "instance settings check TENANT/INSTANCE --again --wait"));
    }
    let mut instances = target::instances(session, &args.targets, false).await?;
    let mut trouble = None;
    if args.again {
        (instances, trouble) = again::run(session, instances, args.wait).await?;
    }
    // The last result is no answer to a person who asks for a new check.
    let only_asked = args.again && !args.wait.wait;
    show(session, &instances, only_asked)?;
    match trouble {
        Some(problem) => Err(problem),
        None if !only_asked && instances.iter().any(fails) => Ok(Exit::FAILED),
        None => Ok(Exit::DONE),
    }
}

fn show(session: &Session, instances: &[CrmInstance], only_asked: bool) -> Result<(), Problem> {
    let (out, now) = (&session.out, session.now());
    match out.format {
        Format::Json | Format::Yaml => {
            let all: Vec<Value> = instances.iter().map(document).collect();
            match all.as_slice() {
                [one] => out.document(one)?,
                several => out.document(&json!({"instances": several}))?,
            }
        }
        Format::Name => instances.iter().filter(|i| only_asked || fails(i)).for_each(|i| out.line(&address_of(i))),
        Format::Text | Format::Wide => {
            for instance in instances {
                let address = address_of(instance);
                if !again::has_integrations(instance) {
                    out.line(&out.paint.bold(&address));
                    let offers = format!("blueprint {show} offers none", show = instance.spec.blueprint);
                    out.line(&format!("no integrations are known: {offers}, or it is not set up yet"));
                } else if only_asked {
                    let look = command(&format!("instance settings check {address}"));
                    out.line(&format!("{address}: the operator is asked to check again; what it found: {look}"));
                } else {
                    out.line(&out.paint.bold(&address));
                    out.table(&shown::integrations(instance, now));
                }
            }
        }
    }
    Ok(())
}

/// The document. `asked` is the last request for a check; `checkedFor` of an integration is the last request that was
/// met.
pub fn document(instance: &CrmInstance) -> Value {
    let integrations = instance.status.as_ref().map(|s| s.integrations.clone()).unwrap_or_default();
    let asked = instance.annotations().get(names::ANNOTATION_CHECK);
    json!({"instance": address_of(instance), "asked": asked, "integrations": integrations})
}

/// Whether one of an instance's integrations does not answer as it should.
pub fn fails(instance: &CrmInstance) -> bool {
    let all = instance.status.iter().flat_map(|s| &s.integrations);
    all.into_iter().any(|i| matches!(i.state, IntegrationState::Unreachable | IntegrationState::Refused))
}
