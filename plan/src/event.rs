//! Billing events: builds the object for one step of a stream. No I/O.

use jiff::Timestamp;
use tenantry_api::billing_event::{BillingEvent, BillingEventSpec};
use tenantry_core::id::Id;
use tenantry_core::ledger::NextEvent;
use tenantry_core::names;

/// The tenant or instance that a stream belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Id of the tenant or instance.
    pub id: Id,
    /// `tenant` or `instance`.
    pub kind: &'static str,
    /// Id of the tenant.
    pub tenant_id: Id,
    /// Name of the tenant.
    pub tenant_name: String,
}

/// Builds the object of an event. All its bytes are fixed here, including the time: a second attempt to send it sends
/// the same bytes as the first.
#[must_use]
pub fn build(subject: &Subject, event: &NextEvent, source: &str, namespace: &str, now: Timestamp) -> BillingEvent {
    let name = names::billing_event(&subject.id, event.sequence);
    let mut object = BillingEvent::new(
        &name,
        BillingEventSpec {
            id: name.clone(),
            source: source.to_owned(),
            event_type: event.kind.event_type().to_owned(),
            time: now.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
            sequence: event.sequence,
            subject: format!("{}/{}", subject.kind, subject.id),
            tenant_id: subject.tenant_id.to_string(),
            tenant_name: subject.tenant_name.clone(),
            after: event.after.clone(),
        },
    );
    object.metadata.namespace = Some(namespace.to_owned());
    object.metadata.labels = Some(
        [
            (names::LABEL_MANAGED_BY, names::MANAGED_BY.to_owned()),
            (names::LABEL_TENANT_ID, subject.tenant_id.to_string()),
            ("tenantry.dev/stream", subject.id.to_string()),
        ]
        .into_iter()
        .map(|(k, v)| (k.to_owned(), v))
        .collect(),
    );
    object
}
