//! Is the operator well: Deployment, lease, and what it needs for tenants. Does I/O; judgements are pure.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, ResourceExt};
use tenantry_api::database_server::{DatabaseServer, DatabaseServerPhase};

use super::report::{Check, Verdict};
use crate::install::{OPERATOR, operator_image, rollout};
use crate::session::Session;

/// All checks of the operator.
pub async fn checks(session: &Session, namespace: &str) -> Vec<Check> {
    let client = &session.cluster.client;
    let deployment = Api::<Deployment>::namespaced(client.clone(), namespace).get_opt(OPERATOR).await;
    let leases = session.cluster.list(&Api::<Lease>::namespaced(client.clone(), namespace), "leases", None).await;
    let servers = session.cluster.list(&Api::<DatabaseServer>::all(client.clone()), "database servers", None).await;
    vec![
        match deployment {
            Ok(found) => operator(found.as_ref(), namespace),
            Err(e) => unseen("Operator", &crate::error::api::problem("read the operator's Deployment", &e).what),
        },
        match leases {
            Ok(found) => lease(&found, session.now()),
            Err(problem) => unseen("Lease of the operator", &problem.what),
        },
        match servers {
            Ok(found) => database_servers(&found),
            Err(problem) => unseen("Database servers", &problem.what),
        },
    ]
}

fn unseen(title: &str, why: &str) -> Check {
    Check::new(Verdict::Warn, title).line(format!("not checked: {why}"))
}

/// Whether the operator's Deployment is available.
pub fn operator(deployment: Option<&Deployment>, namespace: &str) -> Check {
    let title = "Operator";
    let Some(deployment) = deployment else {
        return Check::new(Verdict::Fail, title)
            .line(format!(
                "Deployment {OPERATOR} does not exist in {namespace}: tenants run on, but nobody looks after them"
            ))
            .help("install");
    };
    let (done, state) = rollout(deployment);
    let image = operator_image(deployment).unwrap_or_else(|| "unknown image".into());
    if done {
        return Check::new(Verdict::Pass, title).line(format!("{state} · {image}"));
    }
    Check::new(Verdict::Fail, title)
        .line(format!("{state} · {image}; tenants run on, but nobody looks after them"))
        .elsewhere(&format!("kubectl -n {namespace} describe deployment {OPERATOR}"))
        .elsewhere(&format!("kubectl -n {namespace} logs deployment/{OPERATOR} --tail 50"))
}

/// Whether an operator holds the lease and renewed it in time.
pub fn lease(leases: &[Lease], now: Timestamp) -> Check {
    let title = "Lease of the operator";
    let Some(lease) = leases.iter().find(|l| l.name_any().starts_with("tenantry")) else {
        return Check::new(Verdict::Fail, title).line("there is none: no operator has ever worked here");
    };
    let spec = lease.spec.clone().unwrap_or_default();
    let holder = spec.holder_identity.filter(|h| !h.is_empty());
    let Some(holder) = holder else {
        return Check::new(Verdict::Fail, title).line("nobody holds it: no operator works");
    };
    let Some(renewed) = spec.renew_time.map(|t| t.0) else {
        return Check::new(Verdict::Fail, title).line(format!("{holder} holds it and has never renewed it"));
    };
    let ago = now.as_second() - renewed.as_second();
    let length = i64::from(spec.lease_duration_seconds.unwrap_or(15));
    let text = format!("{holder} holds it, renewed {}", crate::output::text::relative(renewed, now));
    if ago <= length {
        Check::new(Verdict::Pass, title).line(text)
    } else {
        Check::new(Verdict::Fail, title)
            .line(format!("{text}; it is good for {length} s only: the holder does not work"))
    }
}

/// Whether a server for databases exists.
pub fn database_servers(servers: &[DatabaseServer]) -> Check {
    let title = "Database servers";
    let ready = |s: &&DatabaseServer| s.status.as_ref().is_some_and(|s| s.phase == DatabaseServerPhase::Ready);
    let (ready, all) = (servers.iter().filter(ready).count(), servers.len());
    match (ready, all) {
        (_, 0) => Check::new(Verdict::Warn, title).line("there is none: no CRM with a database can be installed"),
        (0, _) => Check::new(Verdict::Fail, title).line(format!("none of {all} is ready")).help("database-server list"),
        (ready, all) if ready < all => {
            Check::new(Verdict::Warn, title).line(format!("{ready} of {all} are ready")).help("database-server list")
        }
        (_, all) => Check::new(Verdict::Pass, title).line(format!("{all} ready")),
    }
}
