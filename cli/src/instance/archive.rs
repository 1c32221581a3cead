//! `tenantry instance archive`: removes instances and keeps their data. Does I/O.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{Api, ResourceExt};
use tenantry_api::archive::Archive;
use tenantry_api::crm_instance::CrmInstance;

use super::settings;
use crate::archive::ending;
use crate::archive::living::Living;
use crate::archive::view::commands;
use crate::error::{Exit, Problem};
use crate::listing;
use crate::output::paint::Paint;
use crate::session::Session;
use crate::target::{self, address_of};

pub use crate::archive::ending::Args;

impl Living for CrmInstance {
    const WORD: &'static str = "instance";

    fn api(&self, session: &Session) -> Api<Self> {
        session.cluster.instances(&self.namespace().unwrap_or_default())
    }

    fn state(&self) -> (String, &[Condition]) {
        self.status.as_ref().map_or_else(Default::default, |s| (format!("{:?}", s.phase), s.conditions.as_slice()))
    }
}

pub async fn run(args: &Args, session: &Session) -> Result<Exit, Problem> {
    let mut instances = target::instances(session, &args.targets, false).await?;
    settings::hidden(session, &mut instances).await?;
    if let Some(exit) = ending::begin(session, &instances, &args.sure).await? {
        return Ok(exit);
    }
    ending::gone(session, &instances, &args.sure).await?;
    let all = session.cluster.list(&session.cluster.archives(), "archives", None).await?;
    let archives: Vec<Archive> = instances.iter().filter_map(|i| newest(&all, i)).cloned().collect();
    let names: Vec<String> = instances.iter().map(address_of).collect();
    listing::changed(&session.out, &archives, &text(&names, &archives))
}

/// The archive of an instance's last life.
fn newest<'a>(all: &'a [Archive], instance: &CrmInstance) -> Option<&'a Archive> {
    let id = instance.spec.id.as_deref()?;
    all.iter().filter(|a| a.spec.id == id).max_by_key(|a| a.spec.life)
}

fn text(names: &[String], archives: &[Archive]) -> String {
    let mut page = ending::page(names, archives, "there was no data yet");
    for (key, line) in archives.iter().flat_map(commands) {
        page.fact(&format!("  {key}"), line);
    }
    page.render(&Paint::default(), None)
}
