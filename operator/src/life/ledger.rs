//! Writes billing events: the event first, then the annotation that records how far the stream is. Does I/O.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::api::Api;
use tenantry_api::billing_event::BillingEvent;
use tenantry_api::condition::ConditionType;
use tenantry_core::class::ErrorClass;
use tenantry_core::id::Id;
use tenantry_core::ledger::{Facts, Recorded, fold, next_event};
use tenantry_core::names;
use tenantry_plan::event::{self, Subject};

use crate::cluster::post_params;
use crate::context::Ctx;
use crate::error::{Error, Result};
use crate::halt::Halt;

/// A stream with its recorded end.
#[derive(Debug, Clone)]
pub struct Stream {
    /// The object that the stream belongs to.
    pub subject: Subject,
    /// The recorded end.
    pub recorded: Recorded,
}

/// Writes the events between what is recorded and what is true, and returns the new recorded end.
///
/// The caller stores the new end in the object's annotation (or in the Archive), and only then reports the state. An
/// event that exists already, from before a crash, is folded in as it is, whatever is true now. This also holds when
/// nothing would be written now, because otherwise the stream would keep saying what that event says.
///
/// # Errors
/// [`Error::Kube`].
pub async fn record(ctx: &Ctx, stream: &Stream, now_true: &Facts, now: Timestamp) -> Result<Recorded> {
    let api: Api<BillingEvent> = Api::namespaced(ctx.client.clone(), &ctx.system_namespace);
    let (mut recorded, id) = (stream.recorded.clone(), &stream.subject.id);
    loop {
        let Some(next) = next_event(&recorded, now_true) else {
            let end = whole(ctx, id, &recorded).await?;
            if end == recorded {
                return Ok(recorded);
            }
            recorded = end;
            continue;
        };
        // The answer may be lost: until it arrives, the end of the stream is not known.
        ctx.memory.stream_ends(id, None);
        let source = ctx.site().await?.spec.id;
        let object = event::build(&stream.subject, &next, &source, &ctx.system_namespace, now);
        let stored = match api.create(&post_params(), &object).await {
            Ok(made) => {
                ctx.memory.stream_ends(id, Some(next.sequence));
                made
            }
            Err(kube::Error::Api(status)) if status.code == 409 => {
                let name = names::billing_event(&stream.subject.id, next.sequence);
                api.get(&name).await.map_err(Error::kube("get billing event"))?
            }
            Err(e) => return Err(Error::kube("create billing event")(e)),
        };
        recorded = fold(&recorded, stored.spec.sequence, &stored.spec.after);
    }
}

/// The recorded end of an object's stream, from its annotation.
///
/// # Errors
/// [`Halt`] at `Ready` when it cannot be read: better to stop than to number events from the start again.
pub fn recorded_of(annotations: &BTreeMap<String, String>) -> std::result::Result<Option<Recorded>, Halt> {
    let Some(text) = annotations.get(names::ANNOTATION_LEDGER) else { return Ok(None) };
    serde_json::from_str(text).map(Some).map_err(|e| {
        let text = format!(
            "annotation {} cannot be read ({e}); nothing is recorded until it is restored, or removed to be read from the events again",
            names::ANNOTATION_LEDGER
        );
        Halt::fail(ConditionType::Ready, "LedgerUnreadable", text, ErrorClass::Blocked)
    })
}

/// The recorded end of a stream, including the events that were not noted because of a crash. A process looks for such
/// events once.
///
/// # Errors
/// [`Error::Kube`].
pub async fn whole(ctx: &Ctx, id: &Id, recorded: &Recorded) -> Result<Recorded> {
    let api: Api<BillingEvent> = Api::namespaced(ctx.client.clone(), &ctx.system_namespace);
    let mut end = recorded.clone();
    while !ctx.memory.is_end_of_stream(id, end.sequence) {
        let name = names::billing_event(id, end.sequence + 1);
        match api.get_opt(&name).await.map_err(Error::kube("get billing event"))? {
            // An event whose number differs from its name is not ours.
            Some(event) if event.spec.sequence == end.sequence + 1 => {
                end = fold(&end, event.spec.sequence, &event.spec.after);
            }
            _ => ctx.memory.stream_ends(id, Some(end.sequence)),
        }
    }
    Ok(end)
}

/// The recorded end of a stream, computed from its events, for an object that lost its own note of the end.
///
/// # Errors
/// [`Error::Kube`].
pub async fn replay(ctx: &Ctx, id: &Id) -> Result<Recorded> {
    let api: Api<BillingEvent> = Api::namespaced(ctx.client.clone(), &ctx.system_namespace);
    let mut recorded = Recorded::default();
    loop {
        let name = names::billing_event(id, recorded.sequence + 1);
        let Some(event) = api.get_opt(&name).await.map_err(Error::kube("get billing event"))? else {
            return Ok(recorded);
        };
        recorded = fold(&recorded, event.spec.sequence, &event.spec.after);
    }
}
