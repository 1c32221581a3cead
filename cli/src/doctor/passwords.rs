//! First passwords that were shown and not changed. Does I/O; reads no secret, only what is written beside it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use tenantry_core::names;

use super::report::{Check, Verdict};
use crate::instance::password::{CHANGED, SHOWN};
use crate::session::Session;

/// Reminds of first passwords. A person who may not list Secrets gets no reminder.
pub async fn check(session: &Session) -> Option<Check> {
    let api: Api<Secret> = Api::all(session.cluster.client.clone());
    let selector = format!("{}={}", names::LABEL_MANAGED_BY, names::MANAGED_BY);
    let found = api.list_metadata(&ListParams::default().labels(&selector)).await.ok()?;
    let open: Vec<String> = found
        .items
        .iter()
        .filter(|s| is_open(s.annotations()))
        .map(|s| {
            let label = |key: &str| s.labels().get(key).cloned().unwrap_or_default();
            format!("{}/{}", label(names::LABEL_TENANT), label(names::LABEL_INSTANCE))
        })
        .collect();
    Some(judged(&open))
}

/// Whether a password was shown and not changed afterwards.
pub fn is_open(annotations: &BTreeMap<String, String>) -> bool {
    match (annotations.get(SHOWN), annotations.get(CHANGED)) {
        // RFC 3339 in UTC sorts as text.
        (Some(shown), Some(changed)) => shown > changed,
        (shown, _) => shown.is_some(),
    }
}

fn judged(open: &[String]) -> Check {
    let title = "First passwords";
    if open.is_empty() {
        return Check::new(Verdict::Pass, title).line("none was shown and is still in use");
    }
    let mut check = Check::new(Verdict::Warn, title)
        .line(format!("shown once, to be changed in the application: {}", crate::output::text::some(open, 10)));
    if let Some(first) = open.first() {
        check = check.help(&format!("instance password {first} --changed"));
    }
    check
}
