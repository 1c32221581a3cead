//! Figures for Prometheus. No I/O.

use std::fmt::Write as _;
use std::sync::Mutex;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use super::figures::Figures;

/// Bounds of the histogram's buckets, in seconds; an alert uses 15 (charts/tenantry/rules).
const BUCKETS: [f64; 8] = [0.001, 0.004, 0.016, 0.064, 0.25, 1.0, 4.0, 15.0];

/// Labels of a reconcile.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReconcileLabels {
    /// Kind of the object.
    pub controller: &'static str,
    /// `done`, `waiting`, or the class of what stopped the reconcile.
    pub result: &'static str,
}

/// Labels of a controller.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ControllerLabels {
    /// Kind of the object.
    pub controller: &'static str,
}

/// Labels of a kind.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct KindLabels {
    /// Name of the kind.
    pub kind: String,
}

/// All figures of the operator.
#[derive(Debug)]
pub struct Metrics {
    registry: Mutex<Registry>,
    /// Reconciles by controller and result.
    pub reconciles: Family<ReconcileLabels, Counter>,
    /// Seconds of a reconcile.
    pub seconds: Family<ControllerLabels, Histogram, fn() -> Histogram>,
    /// 1 while this process leads.
    pub leader: Gauge,
    /// Objects that cannot be read, by kind.
    pub unreadable: Family<KindLabels, Gauge>,
    /// Billing events that wait in the cluster.
    pub billing_events: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("tenantry");
        let reconciles = Family::default();
        let make: fn() -> Histogram = || Histogram::new(BUCKETS);
        let seconds = Family::new_with_constructor(make);
        let leader = Gauge::default();
        registry.register("reconciles", "Reconciles by controller and result", reconciles.clone());
        registry.register("reconcile_seconds", "Time of a reconcile", seconds.clone());
        let unreadable = Family::default();
        registry.register("leader", "1 while this process leads", leader.clone());
        registry.register("unreadable_objects", "Objects that cannot be read and are left alone", unreadable.clone());
        let billing_events = Gauge::default();
        let waiting = "Facts to be billed that wait in the cluster, as counted once a minute";
        registry.register("billing_events_waiting", waiting, billing_events.clone());
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The version of this program", build);
        Self { registry: Mutex::new(registry), reconciles, seconds, leader, unreadable, billing_events }
    }
}

impl Metrics {
    /// From now on the figures of the site are counted as well. Called once in the life of a process, when it leads.
    pub fn count(&self, figures: Figures) {
        let mut registry = self.registry.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        registry.register_collector(Box::new(figures));
    }

    /// The text that Prometheus reads.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        let registry = self.registry.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Err(error) = encode(&mut out, &registry) {
            let _ = write!(out, "# cannot be encoded: {error}");
        }
        out
    }
}
