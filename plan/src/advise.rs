//! Advises which plan fits a customer and what size of instance it needs, with the numbers behind the advice. No I/O.
//!
//! Vendors say that the advice depends on users, storage and use, that unlimited users are sold by special licence
//! only, and that big customers run a chain of several servers and a database of their own (FACTS.md, contracts of
//! OnlineCRM and the price list of Spacesoft). They give no numbers for processors and memory: the numbers here are
//! named constants, to be corrected by measuring.

use tenantry_api::blueprint::BlueprintSpec;
use tenantry_api::plan::{PlanSpec, Tenancy};
use tenantry_core::quantity;

/// Number of people at work at the same moment that one replica can serve. An assumption.
pub const CONCURRENT_PER_REPLICA: u32 = 50;
/// Processor time for each person at work, in thousandths of a processor. An assumption.
pub const MILLICPU_PER_USER: u32 = 20;
/// Memory for each person at work, in bytes, on top of the memory of an idle process. An assumption.
pub const MEMORY_PER_USER: u64 = 16_000_000;
/// Memory of an idle process when the blueprint says nothing, in bytes: the operator's own default request.
pub const MEMORY_IDLE: u64 = 134_217_728;
/// Connections that one tenant's role may hold on a shared server, unless the server says otherwise
/// (`connectionsPerTenant`). The assumption is that each person at work holds one connection at the busiest moment.
pub const SHARED_CONNECTIONS: u32 = 50;

/// What a customer needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needs {
    /// Active users.
    pub users: u32,
    /// Storage of database and files together, in bytes.
    pub storage_bytes: u64,
    /// Users at work at the same moment.
    pub concurrent: u32,
}

/// The recommended size of the instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Size {
    /// Replicas of the process that serves.
    pub replicas: u32,
    /// Processor time of each replica, in thousandths of a processor.
    pub cpu_milli: u32,
    /// Memory of each replica, in bytes.
    pub memory_bytes: u64,
    /// Whether the customer should have a database server of its own.
    pub own_server: bool,
    /// The reasons, with the numbers.
    pub reasons: Vec<String>,
}

/// A plan, whether it fits, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// Name of the plan.
    pub plan: String,
    /// Whether it fits.
    pub fits: bool,
    /// The reasons.
    pub reasons: Vec<String>,
}

/// The advice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advice {
    /// The smallest plan that fits. None means that no plan fits.
    pub plan: Option<Judged>,
    /// The other plans: plans that fit first, then by size, smallest first.
    pub others: Vec<Judged>,
    /// The recommended size of the instance.
    pub size: Size,
}

/// Advises on plan and size. `plans` holds the name and content of each plan on offer.
#[must_use]
pub fn advise(needs: Needs, plans: &[(String, PlanSpec)], blueprint: Option<&BlueprintSpec>) -> Advice {
    let size = size(needs, blueprint);
    let mut all: Vec<(&PlanSpec, Judged)> = plans.iter().map(|(name, p)| (p, judge(needs, &size, name, p))).collect();
    // Smallest first. A plan with unlimited users comes last, however few users the customer has, because it is a
    // special licence. A dedicated server costs more than a place on a shared one, so a dedicated plan comes first only
    // where a dedicated server is needed.
    all.sort_by_key(|(p, judged)| {
        let storage = quantity::bytes(&p.storage).unwrap_or(u64::MAX);
        let own = (p.database_tenancy == Tenancy::Dedicated) != size.own_server;
        (!judged.fits, p.unlimited_seats, own, p.seats.unwrap_or(u32::MAX), storage, judged.plan.clone())
    });
    let mut all = all.into_iter().map(|(_, judged)| judged);
    let first = all.next();
    match first {
        Some(best) if best.fits => Advice { plan: Some(best), others: all.collect(), size },
        other => Advice { plan: None, others: other.into_iter().chain(all).collect(), size },
    }
}

fn judge(needs: Needs, size: &Size, name: &str, plan: &PlanSpec) -> Judged {
    let (mut reasons, mut fits) = (Vec::new(), true);
    match plan.seats.filter(|_| !plan.unlimited_seats) {
        None => reasons.push("unlimited users, by special licence only".to_owned()),
        Some(seats) if seats >= needs.users => reasons.push(format!("{seats} seats for {} users", needs.users)),
        Some(seats) => {
            fits = false;
            reasons.push(format!("{seats} seats are {} too few", needs.users - seats));
        }
    }
    let wanted = quantity::human(needs.storage_bytes);
    match quantity::bytes(&plan.storage) {
        Ok(bytes) if bytes >= needs.storage_bytes => {
            reasons.push(format!("{} of storage for {wanted}", quantity::human(bytes)));
        }
        Ok(bytes) => {
            fits = false;
            reasons.push(format!("{} of storage are too little for {wanted}", quantity::human(bytes)));
        }
        Err(e) => {
            fits = false;
            reasons.push(e.to_string());
        }
    }
    if plan.database_tenancy == Tenancy::Dedicated {
        reasons.push("with a database server of its own".to_owned());
    } else if size.own_server {
        reasons.push("on a shared database server: name one of its own when the instance is made".to_owned());
    }
    Judged { plan: name.to_owned(), fits, reasons }
}

fn size(needs: Needs, blueprint: Option<&BlueprintSpec>) -> Size {
    let serving = blueprint.and_then(|b| b.processes.iter().find(|p| p.serves));
    let most = serving.map_or(1, |p| p.replicas.max.max(1));
    let useful = needs.concurrent.div_ceil(CONCURRENT_PER_REPLICA).max(1);
    let replicas = useful.min(most);
    let each = needs.concurrent.div_ceil(replicas).max(1);
    let own = serving.and_then(|p| p.resources.as_ref());
    let idle = own.and_then(|r| r.memory_request.as_deref()).and_then(|m| quantity::bytes(m).ok());
    let idle = idle.unwrap_or(MEMORY_IDLE);
    let memory_bytes = idle.saturating_add(MEMORY_PER_USER.saturating_mul(u64::from(each)));
    let cpu_milli = MILLICPU_PER_USER.saturating_mul(each);
    let mut reasons = vec![format!(
        "{} at work at once, {CONCURRENT_PER_REPLICA} for each replica: {useful} would be useful",
        needs.concurrent
    )];
    match serving {
        Some(p) if useful > most => reasons.push(format!(
            "process {:?} bears {most} at most (replicas.max), so each is made larger: {each} at work on it",
            p.name
        )),
        None if useful > 1 => {
            reasons.push("without --blueprint one replica is taken: not every product bears several".to_owned());
        }
        _ => {}
    }
    reasons.push(format!("processor: {each} x {MILLICPU_PER_USER}m = {cpu_milli}m for each replica"));
    reasons.push(format!(
        "memory: {} idle + {each} x {} = {} for each replica",
        quantity::human(idle),
        quantity::human(MEMORY_PER_USER),
        quantity::human(memory_bytes)
    ));
    let database = blueprint.is_none_or(|b| b.database.is_some());
    let own_server = database && needs.concurrent > SHARED_CONNECTIONS;
    reasons.push(match (database, own_server) {
        (false, _) => "the product has no database".to_owned(),
        (_, true) => format!(
            "database: {} connections at the busiest moment, more than the {SHARED_CONNECTIONS} that a tenant has on a shared server: a server of its own",
            needs.concurrent
        ),
        (_, false) => format!(
            "database: {} connections at the busiest moment, within the {SHARED_CONNECTIONS} that a tenant has on a shared server",
            needs.concurrent
        ),
    });
    Size { replicas, cpu_milli, memory_bytes, own_server, reasons }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn plan(name: &str, seats: Option<u32>, storage: &str, dedicated: bool) -> (String, PlanSpec) {
        let mut spec = json!({"storage": storage, "databaseTenancy": if dedicated { "dedicated" } else { "shared" }});
        match seats {
            Some(seats) => spec["seats"] = seats.into(),
            None => spec["unlimitedSeats"] = true.into(),
        }
        (name.to_owned(), serde_json::from_value(spec).unwrap())
    }

    /// The price list of Fibo (FACTS.md), and two plans of others.
    fn plans() -> Vec<(String, PlanSpec)> {
        vec![
            plan("unlimited", None, "500G", false),
            plan("fibo-3", Some(10), "50G", false),
            plan("fibo-4", Some(15), "100G", false),
            plan("fibo-8", Some(150), "500G", false),
            plan("enterprise", Some(200), "500G", true),
        ]
    }

    fn needs(users: u32, storage_bytes: u64, concurrent: u32) -> Needs {
        Needs { users, storage_bytes, concurrent }
    }

    fn blueprint(max: u32) -> BlueprintSpec {
        serde_json::from_value(json!({
            "title": "Demo", "releases": [{"version": "1", "image": "demo:1"}],
            "database": {"engines": [{"engine": "postgresql"}]},
            "processes": [{"name": "web", "port": 80, "serves": true, "replicas": {"default": 1, "max": max},
                           "resources": {"memoryRequest": "100M"}}],
        }))
        .unwrap()
    }

    #[test]
    fn the_smallest_plan_that_fits_is_advised_and_unlimited_users_last() {
        for (users, storage, wanted) in [
            (10, 20_000_000_000, Some("fibo-3")),
            (10, 60_000_000_000, Some("fibo-4")),
            (11, 1, Some("fibo-4")),
            (160, 1, Some("enterprise")),
            (500, 1, Some("unlimited")),
            (5, 600_000_000_000, None),
        ] {
            let advice = advise(needs(users, storage, 1), &plans(), None);
            assert_eq!(advice.plan.map(|p| p.plan).as_deref(), wanted, "{users} {storage}");
            assert_eq!(advice.others.len(), plans().len() - usize::from(wanted.is_some()));
        }
    }

    #[test]
    fn many_at_work_get_replicas_and_a_database_server_of_their_own() {
        let advice = advise(needs(120, 1, 120), &plans(), Some(&blueprint(8)));
        assert_eq!((advice.size.replicas, advice.size.cpu_milli, advice.size.own_server), (3, 800, true));
        assert_eq!(advice.size.memory_bytes, 100_000_000 + 40 * MEMORY_PER_USER);
        assert_eq!(advice.plan.unwrap().plan, "enterprise");
        let few = advise(needs(120, 1, 50), &plans(), Some(&blueprint(8)));
        assert_eq!((few.size.replicas, few.size.own_server), (1, false));
    }

    #[test]
    fn a_product_that_bears_one_replica_gets_a_larger_one() {
        let size = advise(needs(120, 1, 120), &plans(), Some(&blueprint(1))).size;
        assert_eq!((size.replicas, size.cpu_milli), (1, 2_400));
        assert!(size.reasons.iter().any(|r| r.contains("replicas.max")), "{:?}", size.reasons);
    }

    #[test]
    fn every_plan_is_told_with_its_reasons() {
        let advice = advise(needs(12, 1, 1), &plans(), None);
        let small = advice.others.iter().find(|p| p.plan == "fibo-3").unwrap();
        assert!(!small.fits && small.reasons[0] == "10 seats are 2 too few", "{small:?}");
    }
}
