//! `tenantry plan list` and `show`. Does I/O; what is printed is pure.

pub mod advise;

use clap::Subcommand;
use jiff::Timestamp;
use kube::ResourceExt;
use tenantry_api::plan::{Plan, Tenancy};
use tenantry_core::quantity;

use crate::args::Targets;
use crate::error::{Exit, Problem};
use crate::listing::{self, Listed, age};
use crate::output::page::Page;
use crate::session::Session;
use crate::target::{self, PLAN};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Lists plans
    #[command(visible_alias = "ls")]
    List(Args),
    /// Shows the limits of plans
    Show(Args),
    /// Says which plan fits a customer, and what to run it on, with the numbers behind
    Advise(advise::Args),
}

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub targets: Targets,
}

pub async fn run(command: &Command, session: &Session) -> Result<Exit, Problem> {
    let api = session.cluster.plans();
    match command {
        Command::List(args) => {
            let all = target::some(session, &api, PLAN, &args.targets, true).await?;
            listing::list(&session.out, &all, session.now(), "no plans; the chart brings some: catalogue.plans")
        }
        Command::Show(args) => {
            let all = target::some(session, &api, PLAN, &args.targets, false).await?;
            listing::pages(&session.out, &all, page)
        }
        Command::Advise(args) => advise::run(args, session).await,
    }
}

impl Listed for Plan {
    fn headings(wide: bool) -> Vec<&'static str> {
        let mut all = vec!["NAME", "VENDOR", "SEATS", "STORAGE", "DATABASE", "AGE"];
        if wide {
            all.extend(["BANDWIDTH", "RECORDS", "TITLE"]);
        }
        all
    }

    fn row(&self, wide: bool, now: Timestamp) -> Vec<String> {
        let spec = &self.spec;
        let mut row = vec![
            self.name_any(),
            spec.vendor.clone().unwrap_or_default(),
            seats(self),
            size(&spec.storage),
            tenancy(spec.database_tenancy).to_owned(),
            age(self, now),
        ];
        if wide {
            row.extend([
                spec.bandwidth_per_month.as_deref().map_or_else(|| "unlimited".to_owned(), size),
                spec.records.map_or_else(|| "unlimited".to_owned(), |r| r.to_string()),
                spec.title.clone().unwrap_or_default(),
            ]);
        }
        row
    }

    fn address(&self) -> String {
        self.name_any()
    }
}

fn seats(plan: &Plan) -> String {
    plan.spec.seats.map_or_else(|| "unlimited".to_owned(), |s| s.to_string())
}

fn tenancy(tenancy: Tenancy) -> &'static str {
    match tenancy {
        Tenancy::Shared => "shared",
        Tenancy::Dedicated => "dedicated",
    }
}

/// A size for people; a text that is no size stays as it is.
pub fn size(text: &str) -> String {
    quantity::bytes(text).map_or_else(|_| text.to_owned(), quantity::human)
}

fn page(plan: &Plan) -> Page {
    let spec = &plan.spec;
    let mut page =
        Page::new([Some(plan.name_any()), spec.title.clone()].into_iter().flatten().collect::<Vec<_>>().join(" · "));
    page.maybe("Vendor", spec.vendor.as_deref());
    page.fact("Seats", seats(plan));
    page.fact("Storage", size(&spec.storage));
    match &spec.bandwidth_per_month {
        Some(bandwidth) => page.fact("Bandwidth", format!("{} a month", size(bandwidth))),
        None => page.fact("Bandwidth", "unlimited"),
    };
    page.fact("Records", spec.records.map_or_else(|| "unlimited".to_owned(), |r| r.to_string()));
    page.noted(
        "Database",
        tenancy(spec.database_tenancy),
        match spec.database_tenancy {
            Tenancy::Shared => "on a server with other tenants' databases",
            Tenancy::Dedicated => "on a server of its own",
        },
    );
    if let Some(r) = &spec.resources {
        let pair = |a: &Option<String>, b: &Option<String>| {
            format!("{} to {}", a.as_deref().unwrap_or("-"), b.as_deref().unwrap_or("no limit"))
        };
        page.noted("Processor", pair(&r.cpu_request, &r.cpu_limit), "of each process");
        page.noted("Memory", pair(&r.memory_request, &r.memory_limit), "of each process");
    }
    page
}
