//! `tenantry doctor`: is the cluster fit, is the operator well, what is stuck. Does I/O.

pub mod cluster;
pub mod operator;
pub mod orphans;
pub mod passwords;
pub mod records;
pub mod report;
pub mod stuck;
#[cfg(test)]
mod tests;

use std::time::Duration;

use tenantry_core::names::SYSTEM_NAMESPACE;

use crate::args::time;
use crate::cluster::{Cluster, Where};
use crate::error::{Exit, Problem};
use crate::output::Out;
use crate::session::{Leave, Session};
use report::{Check, Verdict};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// How long something may be wrong before it counts as stuck
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = time)]
    pub stuck_after: Duration,
    /// Namespace of the operator
    #[arg(short, long, value_name = "NAME", default_value = SYSTEM_NAMESPACE)]
    pub namespace: String,
}

/// Longest time for all checks together, because nobody waits longer for a doctor.
const PATIENCE: Duration = Duration::from_secs(60);

pub async fn run(args: &Args, place: &Where, out: Out) -> Result<Exit, Problem> {
    let checks = match tokio::time::timeout(PATIENCE, examined(args, place, &out)).await {
        Ok(checks) => checks,
        Err(_) => {
            vec![Check::new(Verdict::Fail, "The cluster answers").line("it did not finish answering within 60 s")]
        }
    };
    if out.is_document() {
        out.document(&report::document(&checks))?;
    } else {
        out.line(&report::text(&checks, out.paint));
    }
    Ok(report::exit(&checks))
}

async fn examined(args: &Args, place: &Where, out: &Out) -> Vec<Check> {
    let cluster = match Cluster::connect(place).await {
        Ok(cluster) => cluster,
        Err(problem) => return vec![Check::from_problem("A cluster is named", &problem)],
    };
    let session = Session { out: out.clone(), cluster, leave: Leave::default() };
    let mut checks = cluster::checks(&session).await;
    // Without a cluster or our kinds, the other checks could only repeat that failure.
    if checks.iter().any(|c| c.verdict == Verdict::Fail && c.is_ground) {
        return checks;
    }
    checks.extend(operator::checks(&session, &args.namespace).await);
    checks.extend(stuck::checks(&session, args.stuck_after).await);
    checks.push(records::check(&session).await);
    checks.push(orphans::check(&session, &args.namespace).await);
    checks.extend(passwords::check(&session).await);
    checks
}
