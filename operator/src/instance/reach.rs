//! How people reach an instance: the last look before it counts as back goes the way that people take, through the
//! ingress where there is one that the operator reaches, else to the Service. Never makes an instance un-Ready. Does
//! I/O (HTTP).

use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::networking::v1::Ingress;
use kube::api::Api;
use tenantry_api::condition::{ConditionType, Said, find, holds};
use tenantry_core::calls::Gate;
use tenantry_core::hash::short_hash;
use tenantry_core::id::Id;
use tenantry_core::names;
use tenantry_plan::Settings;
use tenantry_plan::instance::Wanted;

use super::pass::Pass;
use crate::context::Ctx;
use crate::error::Error;
use crate::integration::front::{Answer, Front, Missed, ask};

/// The condition that says how people reach the instance.
pub const CONDITION: ConditionType = ConditionType::Reachable;
/// Reason why a suspended instance is not reported as stopped yet.
pub const STILL_ANSWERS: &str = "StillAnswers";
/// How many times longer than a Service an ingress is asked while its answer is not the CRM's answer: an ingress takes
/// longer to learn of endpoints.
const INGRESS: u32 = 3;
/// How long an ingress that refuses requests is asked again.
const REFUSED: Duration = Duration::from_secs(3);
/// How often an instance that people do not reach is looked at again, because nothing reports on an ingress elsewhere.
pub const AGAIN: Duration = Duration::from_secs(60);

/// Print of the way that people take to an instance: its host, and the Site's ingress.
#[must_use]
pub fn way(wanted: &Wanted, settings: &Settings) -> String {
    let ingress = serde_json::to_string(&settings.site.ingress).unwrap_or_default();
    short_hash(format!("{}/{:?}/{ingress}", wanted.host, wanted.front()).as_bytes())
}

/// Finds out how people reach the instance by this way. The instance's processes are ready.
#[tracing::instrument(target = "tenantry::trace", level = "debug", name = "reach", skip_all)]
pub async fn run(ctx: &Ctx, pass: &Pass, wanted: &Wanted, settings: &Settings, way: &str) -> Said {
    let Some(path) = wanted.front() else {
        return Said::yes(CONDITION, "NothingServes", "nothing of it is meant to be reached");
    };
    // If an earlier pass asked already and the processes did not restart since, this pass asks once and does not wait
    // again.
    let missed = pass.instance.status.as_ref().is_some_and(|s| {
        // An operator that did not note the way asked for this way, as far as is known.
        let is_asked = s.reachable_for.as_deref().is_none_or(|w| w == way) && find(&s.conditions, CONDITION).is_some();
        holds(&s.conditions, ConditionType::ProcessesReady) && is_asked
    });
    let patience = |most: Duration| if missed { Duration::ZERO } else { most };
    let name = names::service(&wanted.id);
    let inside = match ctx.service_ip(&wanted.namespace, &name).await {
        Ok(ip) => ip,
        Err(e) => return unasked(&e.to_string()),
    };
    let url = settings.url(&wanted.host);
    let front = Front { url: &url, path, through_ingress: false };
    let outside = Front { through_ingress: true, ..front };
    // A Service that was switched a moment ago may still lead to the page.
    let own = match until(&ctx.gate, &front, &inside, 80, patience(ctx.patience), |seen| !seen.is_page()).await {
        Ok(answer) | Err(Missed::Otherwise(answer)) => answer,
        Err(Missed::Away(why)) => return unasked(&why),
    };
    if own.says_page() {
        let text = "its processes are ready, and its Service still leads to the page of its suspension";
        return Said::no(CONDITION, "StillThePage", text);
    }
    let addresses = match addresses(ctx, &wanted.namespace, &name).await {
        Ok(addresses) => addresses,
        Err(why) => return through_service(&why),
    };
    let mut why = String::new();
    for (address, port) in addresses.iter().flat_map(|a| ports(settings).into_iter().map(move |p| (a, p))) {
        let place = place(address, port);
        if let Some(said) = ctx.memory.away.why(&place) {
            // Without this, every instance would wait for the place again.
            why = format!("{place} is not reached by the operator ({said})");
            continue;
        }
        match until(&ctx.gate, &outside, address, port, patience(ctx.patience * INGRESS), |seen| seen.is_of(&own)).await
        {
            Ok(_) => return Said::yes(CONDITION, "ThroughIngress", format!("it answers through {place}")),
            Err(Missed::Otherwise(seen)) if !seen.is_absence() => {
                return through_service(&format!("{place} lets nobody through at once (HTTP {})", seen.status));
            }
            Err(Missed::Otherwise(seen)) => {
                let text = format!(
                    "{place} answers {url}{path} with HTTP {}, the CRM itself with {}: people may not reach it, though all of it runs. Look at the ingress controller, and at other Ingresses with this host: kubectl get ingress --all-namespaces",
                    seen.status, own.status
                );
                return Said::no(CONDITION, "IngressAnswersOtherwise", text);
            }
            Err(Missed::Away(said)) => {
                ctx.memory.away.note(&place, &said);
                why = format!("{place} is not reached by the operator ({said})");
            }
        }
    }
    through_service(&why)
}

/// The instance whose front is looked at. These values are known even when nothing else of the instance is.
#[derive(Debug)]
pub struct Whose<'a> {
    /// Its id.
    pub id: &'a Id,
    /// Its namespace.
    pub namespace: &'a str,
    /// Its host.
    pub host: &'a str,
    /// A path at which it answers.
    pub path: &'a str,
}

/// Waits until people see the page of a suspended instance, whose processes are stopped and whose Service leads to the
/// page. Returns false while the Service still leads to the CRM. An ingress is waited for, too, but does not hold up a
/// suspension: whatever it answers in the CRM's place is not a running CRM.
#[tracing::instrument(target = "tenantry::trace", level = "debug", name = "hidden", skip_all)]
pub async fn is_hidden(ctx: &Ctx, who: &Whose<'_>, settings: &Settings) -> bool {
    let name = names::service(who.id);
    let inside = match ctx.service_ip(who.namespace, &name).await {
        Ok(inside) => inside,
        // Without an address there is nothing that could answer.
        Err(Error::Blocked(_)) => return true,
        Err(_) => return false,
    };
    let url = settings.url(who.host);
    let front = Front { url: &url, path: who.path, through_ingress: false };
    if !hides(&ctx.gate, &front, &inside, 80, ctx.patience).await {
        return false;
    }
    let outside = Front { through_ingress: true, ..front };
    let begun = Instant::now();
    for address in addresses(ctx, who.namespace, &name).await.unwrap_or_default() {
        for port in ports(settings) {
            if ctx.memory.away.why(&place(&address, port)).is_none() {
                // The time is for all places together: there may be as many places as nodes.
                let left = (ctx.patience * INGRESS).saturating_sub(begun.elapsed());
                hides(&ctx.gate, &outside, &address, port, left).await;
            }
        }
    }
    true
}

/// Asks until the page answers, or nothing does. An answer of the ingress itself says nothing about what is behind the
/// ingress: after a redirection the wait is shorter, and after a log-in there is none.
async fn hides(gate: &Arc<dyn Gate>, front: &Front<'_>, host: &str, port: u16, most: Duration) -> bool {
    let (start, mut pause) = (Instant::now(), Duration::from_millis(50));
    loop {
        let most = match ask(gate, front, host, port).await {
            Ok(seen) if !seen.is_page() => match seen.status {
                401 | 403 if front.through_ingress => return true,
                300..=399 if front.through_ingress => most / INGRESS,
                _ => most,
            },
            Ok(_) | Err(_) => return true,
        };
        if start.elapsed() + pause > most {
            return false;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(1));
    }
}

/// How messages name an ingress.
fn place(address: &str, port: u16) -> String {
    let shown = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
    format!("the ingress at {shown}:{port}")
}

fn through_service(why: &str) -> Said {
    Said::yes(CONDITION, "ThroughService", format!("it answers through its Service; {why}"))
}

fn unasked(why: &str) -> Said {
    let text = format!(
        "its processes are ready, but its Service does not answer the operator: {why}. Nothing of it was changed; look at the rules of the network between the two"
    );
    Said::no(CONDITION, "ServiceSilent", text)
}

/// The addresses at which the Ingress is served, as its controller says.
async fn addresses(ctx: &Ctx, namespace: &str, name: &str) -> Result<Vec<String>, String> {
    let api: Api<Ingress> = Api::namespaced(ctx.client.clone(), namespace);
    let found = api.get_opt(name).await.map_err(|e| format!("its Ingress cannot be read: {e}"))?;
    let served = found.and_then(|i| i.status).and_then(|s| s.load_balancer).and_then(|l| l.ingress);
    let all: Vec<String> = served.unwrap_or_default().into_iter().filter_map(|i| i.ip.or(i.hostname)).collect();
    if all.is_empty() { Err("its Ingress says no address".into()) } else { Ok(all) }
}

/// The port in URLs, and the standard port, in case something in front of the ingress changes the port.
fn ports(settings: &Settings) -> Vec<u16> {
    let ingress = &settings.site.ingress;
    let standard = if ingress.tls { 443 } else { 80 };
    let mut all: Vec<u16> = ingress.port.into_iter().chain([standard]).collect();
    all.dedup();
    all
}

/// Asks, less and less often, until the answer is the expected one.
async fn until(
    gate: &Arc<dyn Gate>,
    front: &Front<'_>,
    host: &str,
    port: u16,
    most: Duration,
    good: impl Fn(&Answer) -> bool,
) -> Result<Answer, Missed> {
    let (start, mut pause) = (Instant::now(), Duration::from_millis(50));
    loop {
        let missed = match ask(gate, front, host, port).await {
            Ok(answer) if good(&answer) => return Ok(answer),
            Ok(answer) if !answer.is_absence() => return Err(Missed::Otherwise(answer)),
            Ok(answer) => Missed::Otherwise(answer),
            // From outside there may never be a way at all. An ingress that restarts refuses for a moment.
            Err(why) if front.through_ingress && start.elapsed() > REFUSED.min(most) => return Err(Missed::Away(why)),
            Err(why) => Missed::Away(why),
        };
        if start.elapsed() + pause > most {
            return Err(missed);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(1));
    }
}

#[cfg(test)]
mod tests {
    use tenantry_core::calls::Open;

    use super::*;

    const SERVICE: Duration = Duration::from_secs(10);
    const LONG: Duration = Duration::from_secs(30);
    use crate::integration::front::tests::{NO_ENDPOINT, OTHER_PAGE, OWN_503, PAGE, PAGE_IS_WELL, server};

    #[tokio::test]
    async fn a_suspended_crm_is_hidden_when_the_page_answers_and_not_while_it_answers_itself() {
        let gate: Arc<dyn Gate> = Arc::new(Open);
        let inside = Front { url: "http://crm.acme.vn", path: "/", through_ingress: false };
        let outside = Front { through_ingress: true, ..inside };
        let (port, mut told) = server(&[PAGE, PAGE, OWN_503]).await;
        assert!(hides(&gate, &inside, "127.0.0.1", port, SERVICE).await);
        told.close();
        assert_eq!(std::iter::from_fn(|| told.try_recv().ok()).count(), 3, "it was asked until then");
        let (port, _told) = server(&[PAGE_IS_WELL]).await;
        assert!(
            hides(&gate, &inside, "127.0.0.1", port, Duration::ZERO).await,
            "where the CRM would say that it is well"
        );
        let (port, _told) = server(&[PAGE]).await;
        assert!(!hides(&gate, &inside, "127.0.0.1", port, Duration::ZERO).await, "it answers");
        let (port, _told) = server(&[LOG_IN]).await;
        assert!(!hides(&gate, &inside, "127.0.0.1", port, Duration::ZERO).await, "the CRM's own log-in");
        let (port, _told) = server(&[LOG_IN]).await;
        assert!(hides(&gate, &outside, "127.0.0.1", port, LONG).await, "a door of the ingress is not waited for");
        let (port, _told) = server(&[]).await;
        assert!(hides(&gate, &inside, "127.0.0.1", port, SERVICE).await, "nobody answers");
    }

    const LOG_IN: &str = "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n";

    #[tokio::test]
    async fn an_ingress_is_waited_for_until_it_has_heard_of_the_crm_and_a_door_of_its_own_is_not() {
        let gate: Arc<dyn Gate> = Arc::new(Open);
        let inside = Front { url: "http://crm.acme.vn", path: "/", through_ingress: false };
        let outside = Front { through_ingress: true, ..inside };
        let (port, mut told) = server(&[OWN_503, PAGE_IS_WELL, PAGE]).await;
        let own = until(&gate, &inside, "127.0.0.1", port, SERVICE, |seen| !seen.is_page()).await.unwrap();
        told.close();
        assert_eq!(std::iter::from_fn(|| told.try_recv().ok()).count(), 3, "the page of the suspension is not the CRM");
        let through = |port, most| {
            let (gate, own) = (gate.clone(), own.clone());
            async move { until(&gate, &outside, "127.0.0.1", port, most, |seen| seen.is_of(&own)).await }
        };
        let (port, mut told) = server(&[NO_ENDPOINT, NO_ENDPOINT, OTHER_PAGE]).await;
        through(port, LONG).await.unwrap();
        told.close();
        assert_eq!(std::iter::from_fn(|| told.try_recv().ok()).count(), 3, "it was asked until then");
        let (port, _told) = server(&[NO_ENDPOINT]).await;
        let missed = through(port, Duration::ZERO).await;
        assert!(matches!(&missed, Err(Missed::Otherwise(seen)) if seen.is_absence()), "{missed:?}");
        let (port, _told) = server(&[LOG_IN]).await;
        let missed = through(port, LONG).await;
        assert!(matches!(&missed, Err(Missed::Otherwise(seen)) if seen.status == 401), "{missed:?}");
        let (port, _told) = server(&[]).await;
        assert!(matches!(through(port, LONG).await, Err(Missed::Away(_))), "no way is not waited for");
    }
}
