//! Which billable event comes next, from what is recorded and what is true now. No I/O.
//!
//! Every tenant and instance has one numbered stream of events. The last recorded state is kept in an annotation of the
//! object ([`crate::names::ANNOTATION_LEDGER`]), not in its status, so that losing a status neither repeats nor loses
//! an event. An event is written first, under a name made from the stream and the number; the annotation follows. After
//! a crash between the two, the next reconcile finds the event that is one ahead and records its state, whatever has
//! become true meanwhile.

use serde::{Deserialize, Serialize};

/// What an instance runs, for billing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Installed {
    /// Name of the blueprint.
    pub blueprint: String,
    /// Version of the release.
    pub release: String,
    /// `production`, `staging` or `rehearsal`; only production counts seats.
    pub environment: String,
    /// The host it answers on.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub host: Option<String>,
}

/// Resolved limits of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Name of the plan that the limits come from.
    pub plan: String,
    /// Seats. None means unlimited.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub seats: Option<u32>,
    /// Storage in bytes.
    pub storage_bytes: u64,
    /// Bandwidth in bytes a month. None means not limited.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub bandwidth_bytes: Option<u64>,
    /// Records. None means not limited.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub records: Option<u64>,
}

/// Where an object is between creation and purge.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Life {
    /// The object exists.
    #[default]
    Active,
    /// The object was deleted and its data is kept.
    Archived,
    /// The data is destroyed.
    Purged,
}

/// The billable state of one tenant or instance.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    /// Set once the first verification passed (instances only).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub installed: Option<Installed>,
    /// Whether the tenant is suspended by a person (tenants only).
    #[serde(default)]
    pub suspended: bool,
    /// Resolved limits (of tenants; instances have the limits from their installation).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub limits: Option<Limits>,
    /// Whether the object exists, is archived or is purged.
    #[serde(default)]
    pub life: Life,
}

/// The recorded end of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Recorded {
    /// Number of the last recorded event. 0 means that no event is recorded yet.
    pub sequence: u64,
    /// The state after that event.
    pub facts: Facts,
}

/// Kinds of billable events in a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventKind {
    /// An instance was installed and verified for the first time.
    Installed,
    /// A person suspended the tenant.
    Suspended,
    /// The tenant was resumed.
    Resumed,
    /// Seats, storage, bandwidth, records or the plan changed.
    LimitsChanged,
    /// The object was deleted; its data is kept.
    Archived,
    /// An archive was adopted and its data is in use again.
    Adopted,
    /// The data was destroyed on request.
    Purged,
}

impl EventKind {
    /// The `type` in CloudEvents.
    #[must_use]
    pub fn event_type(self) -> &'static str {
        match self {
            Self::Installed => "dev.tenantry.installed",
            Self::Suspended => "dev.tenantry.suspended",
            Self::Resumed => "dev.tenantry.resumed",
            Self::LimitsChanged => "dev.tenantry.limits-changed",
            Self::Archived => "dev.tenantry.archived",
            Self::Adopted => "dev.tenantry.adopted",
            Self::Purged => "dev.tenantry.purged",
        }
    }
}

/// An event to be written: its number, its kind, and the state after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NextEvent {
    /// Number in the stream, one more than the last recorded number.
    pub sequence: u64,
    /// What happened.
    pub kind: EventKind,
    /// The state after the event: exactly one step from the recorded state.
    pub after: Facts,
}

/// The next event on the way from the recorded state to the current one. None means that both agree.
///
/// Each call gives one step, so that a crash can only fall between whole events. Call it again with the result of
/// [`fold`] to get the following event, until there is none.
#[must_use]
pub fn next_event(recorded: &Recorded, now: &Facts) -> Option<NextEvent> {
    let was = &recorded.facts;
    let mut after = was.clone();
    let kind = if was.life == Life::Purged {
        // Nothing more can happen to data that is destroyed.
        return None;
    } else if now.life == Life::Purged && was.life == Life::Active {
        // A purge goes through the archive, so that the ledger always shows both events.
        after.life = Life::Archived;
        EventKind::Archived
    } else if now.life == Life::Purged {
        after.life = Life::Purged;
        EventKind::Purged
    } else if was.life == Life::Archived && now.life == Life::Active {
        after.life = Life::Active;
        EventKind::Adopted
    } else if was.life == Life::Archived {
        // Changes of an archive's other facts are not billable.
        return None;
    } else if was.installed.is_none() && now.installed.is_some() {
        after.installed.clone_from(&now.installed);
        after.limits.clone_from(&now.limits);
        EventKind::Installed
    } else if was.suspended != now.suspended {
        after.suspended = now.suspended;
        if now.suspended { EventKind::Suspended } else { EventKind::Resumed }
    } else if was.installed.is_none() && was.limits.is_some() && now.limits.is_some() && was.limits != now.limits {
        after.limits.clone_from(&now.limits);
        EventKind::LimitsChanged
    } else if now.life == Life::Archived {
        after.life = Life::Archived;
        EventKind::Archived
    } else {
        return None;
    };
    Some(NextEvent { sequence: recorded.sequence + 1, kind, after })
}

/// The recorded state after an event. An event that does not have the next number changes nothing.
#[must_use]
pub fn fold(recorded: &Recorded, sequence: u64, after: &Facts) -> Recorded {
    if sequence == recorded.sequence + 1 { Recorded { sequence, facts: after.clone() } } else { recorded.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn limits(seats: u32) -> Limits {
        Limits { plan: "fibo-2".into(), seats: Some(seats), storage_bytes: 1, bandwidth_bytes: None, records: None }
    }

    fn facts() -> impl Strategy<Value = Facts> {
        (any::<bool>(), any::<bool>(), 0_u32..3, 0_u8..3).prop_map(|(installed, suspended, seats, life)| Facts {
            installed: installed.then(|| Installed {
                blueprint: "tryton".into(),
                release: "7.0".into(),
                environment: "production".into(),
                host: None,
            }),
            suspended,
            limits: Some(limits(seats)),
            life: [Life::Active, Life::Archived, Life::Purged][usize::from(life)],
        })
    }

    proptest! {
        #[test]
        fn every_stream_comes_to_rest_with_numbers_without_gaps(start in facts(), ends in prop::collection::vec(facts(), 1..6)) {
            let mut recorded = Recorded { sequence: 0, facts: start };
            for end in ends {
                let mut steps = 0;
                while let Some(event) = next_event(&recorded, &end) {
                    prop_assert_eq!(event.sequence, recorded.sequence + 1);
                    prop_assert_ne!(&event.after, &recorded.facts);
                    recorded = fold(&recorded, event.sequence, &event.after);
                    steps += 1;
                    prop_assert!(steps < 8, "does not end");
                }
            }
        }

        #[test]
        fn folding_an_event_twice_is_folding_it_once(start in facts(), end in facts()) {
            let recorded = Recorded { sequence: 4, facts: start };
            if let Some(event) = next_event(&recorded, &end) {
                let once = fold(&recorded, event.sequence, &event.after);
                prop_assert_eq!(fold(&once, event.sequence, &event.after), once);
            }
        }
    }

    #[test]
    fn a_suspension_and_its_end_are_two_events_even_after_a_crash_between() {
        let recorded = Recorded { sequence: 3, facts: Facts { limits: Some(limits(7)), ..Facts::default() } };
        let suspended = Facts { suspended: true, ..recorded.facts.clone() };
        let event = next_event(&recorded, &suspended).unwrap();
        assert_eq!((event.sequence, event.kind), (4, EventKind::Suspended));
        // The event was written but not the annotation; meanwhile a person resumed the tenant.
        let folded = fold(&recorded, event.sequence, &event.after);
        let next = next_event(&folded, &recorded.facts).unwrap();
        assert_eq!((next.sequence, next.kind), (5, EventKind::Resumed));
    }

    #[test]
    fn the_first_limits_are_a_baseline_and_not_a_change() {
        let now = Facts { limits: Some(limits(7)), ..Facts::default() };
        assert_eq!(next_event(&Recorded::default(), &now), None);
    }
}
