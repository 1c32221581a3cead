//! `tenantry instance settings check`: whether integrations answer, as the operator last saw. Does I/O.

use serde_json::{Value, json};
use tenantry_api::crm_instance::CrmInstance;
use tenantry_api::integration::IntegrationState;

use super::shown;
use crate::args::Targets;
use crate::error::{Exit, Problem};
use crate::output::Format;
use crate::session::Session;
use crate::target::{self, address_of};

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which ones.
    #[command(flatten)]
    pub targets: Targets,
}

/// Runs it.
pub async fn run(args: &Args, session: &Session) -> Result<Exit, Problem> {
    let instances = target::instances(session, &args.targets, false).await?;
    let (out, now) = (&session.out, session.now());
    match out.format {
        Format::Json | Format::Yaml => {
            let all: Vec<Value> = instances.iter().map(document).collect();
            match all.as_slice() {
                [one] => out.document(one)?,
                several => out.document(&json!({"instances": several}))?,
            }
        }
        Format::Name => instances.iter().filter(|i| fails(i)).for_each(|i| out.line(&address_of(i))),
        Format::Text | Format::Wide => {
            for instance in &instances {
                out.line(&out.paint.bold(&address_of(instance)));
                if instance.status.as_ref().is_none_or(|s| s.integrations.is_empty()) {
                    let offers = format!("blueprint {show} offers none", show = instance.spec.blueprint);
                    out.line(&format!("no integrations are known: {offers}, or it is not set up yet"));
                } else {
                    out.table(&shown::integrations(instance, now));
                }
            }
        }
    }
    Ok(if instances.iter().any(fails) { Exit::FAILED } else { Exit::DONE })
}

fn document(instance: &CrmInstance) -> Value {
    let integrations = instance.status.as_ref().map(|s| s.integrations.clone()).unwrap_or_default();
    json!({"instance": address_of(instance), "integrations": integrations})
}

/// Whether one of an instance's integrations does not answer as it should.
pub fn fails(instance: &CrmInstance) -> bool {
    let all = instance.status.iter().flat_map(|s| &s.integrations);
    all.into_iter().any(|i| matches!(i.state, IntegrationState::Unreachable | IntegrationState::Refused))
}
