//! `tenantry billing pending`: facts that wait for the hub. Does I/O; what is printed is pure.

use clap::Subcommand;
use jiff::Timestamp;
use kube::{Api, ResourceExt};
use tenantry_api::billing_event::BillingEvent;
use tenantry_core::names::SYSTEM_NAMESPACE;

use crate::error::{Exit, Problem};
use crate::listing::{self, Listed};
use crate::output::text::relative_text;
use crate::session::Session;

#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Lists the facts that the hub has not acknowledged yet
    Pending(PendingArgs),
}

#[derive(Debug, Clone, clap::Args)]
pub struct PendingArgs {
    /// Only of these tenants
    #[arg(value_name = "TENANT")]
    pub tenants: Vec<String>,
    /// Namespace of the operator
    #[arg(short, long, value_name = "NAME", default_value = SYSTEM_NAMESPACE)]
    pub namespace: String,
}

pub async fn run(command: &Command, session: &Session) -> Result<Exit, Problem> {
    let Command::Pending(args) = command;
    let api: Api<BillingEvent> = Api::namespaced(session.cluster.client.clone(), &args.namespace);
    let mut all = session.cluster.list_whole(&api, "billing events").await?;
    all.retain(|e| args.tenants.is_empty() || args.tenants.contains(&e.spec.tenant_name));
    all.sort_by(|a, b| {
        (&a.spec.time, &a.spec.subject, a.spec.sequence).cmp(&(&b.spec.time, &b.spec.subject, b.spec.sequence))
    });
    listing::list(
        &session.out,
        &all,
        session.now(),
        "nothing waits: everything is acknowledged, or nothing has happened yet",
    )
}

impl Listed for BillingEvent {
    fn headings(wide: bool) -> Vec<&'static str> {
        let mut all = vec!["EVENT", "TYPE", "TENANT", "SUBJECT", "SEQUENCE", "HAPPENED"];
        if wide {
            all.extend(["SOURCE", "TIME", "PLAN", "SEATS"]);
        }
        all
    }

    fn row(&self, wide: bool, now: Timestamp) -> Vec<String> {
        let spec = &self.spec;
        let mut row = vec![
            spec.id.clone(),
            spec.event_type.strip_prefix("dev.tenantry.").unwrap_or(&spec.event_type).to_owned(),
            spec.tenant_name.clone(),
            spec.subject.clone(),
            spec.sequence.to_string(),
            relative_text(&spec.time, now),
        ];
        if wide {
            let limits = spec.after.limits.as_ref();
            row.extend([
                spec.source.clone(),
                spec.time.clone(),
                limits.map(|l| l.plan.clone()).unwrap_or_default(),
                limits.map(|l| l.seats.map_or_else(|| "unlimited".to_owned(), |s| s.to_string())).unwrap_or_default(),
            ]);
        }
        row
    }

    fn address(&self) -> String {
        self.name_any()
    }
}
