//! A gate that makes the k-th call fail, and the Kubernetes client that passes every request through it. Does I/O.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use tenantry_core::calls::{Fault, Gate, Injected};
use tower::{BoxError, Service};

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mode {
    /// It fails and nothing was done.
    Error,
    /// It was done, its answer is lost.
    Timeout,
    /// The process dies before it.
    CrashBefore,
    /// The process dies after it was done.
    CrashAfter,
}

impl Mode {
    pub const ALL: [Self; 4] = [Self::Error, Self::Timeout, Self::CrashBefore, Self::CrashAfter];

    fn early(self) -> bool {
        matches!(self, Self::Error | Self::CrashBefore)
    }

    fn injected(self) -> Injected {
        let fault = match self {
            Self::Error => Fault::Error,
            Self::Timeout => Fault::Timeout,
            Self::CrashBefore | Self::CrashAfter => Fault::Crash,
        };
        Injected { fault, moment: if self.early() { "before" } else { "after" } }
    }
}

/// Which call fails, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nth {
    /// Of all calls.
    Call(usize),
    /// Of those that may change something or ask a database server.
    Change(usize),
}

/// A fault that is to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planned {
    pub nth: Nth,
    pub mode: Mode,
}

impl From<(usize, Mode)> for Planned {
    fn from((k, mode): (usize, Mode)) -> Self {
        Self { nth: Nth::Call(k), mode }
    }
}

/// Whether a call does more than read Kubernetes, or than take or give back the lock of a database's name: that lock is
/// its session's, and gone with it. What happens to it is tried on real servers (database/tests/servers/alone.rs).
pub fn is_change(call: &str) -> bool {
    !call.starts_with("kube GET") && !call.ends_with("lock name")
}

#[derive(Debug, Default)]
struct State {
    plan: Option<Planned>,
    calls: usize,
    changes: usize,
    fired: Option<String>,
    dead: Option<Mode>,
    /// Calls that change something or go to a database server; reads of Kubernetes are not kept.
    writes: Vec<String>,
    all: Vec<String>,
}

impl State {
    /// How this call fails, if it is the one.
    fn due(&self, call: &str) -> Option<Mode> {
        let Planned { nth, mode } = self.plan.filter(|_| self.fired.is_none())?;
        let it = match nth {
            Nth::Call(k) => self.calls == k,
            Nth::Change(k) => self.changes == k && is_change(call),
        };
        it.then_some(mode)
    }
}

/// Counts calls and makes one of them fail.
#[derive(Debug, Default)]
pub struct FaultGate(Mutex<State>);

impl FaultGate {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Begins to count anew, with a fault to come or none.
    pub fn arm(&self, plan: Option<impl Into<Planned>>) {
        *self.lock() = State { plan: plan.map(Into::into), ..State::default() };
    }

    /// Begins to count anew, without a fault to come.
    pub fn count_anew(&self) {
        self.arm(None::<Planned>);
    }

    pub fn calls(&self) -> usize {
        self.lock().calls
    }

    /// The call that failed.
    pub fn fired(&self) -> Option<String> {
        self.lock().fired.clone()
    }

    pub fn dead(&self) -> bool {
        self.lock().dead.is_some()
    }

    /// Calls that may change something: no reads of Kubernetes, no questions to somebody's mail server.
    pub fn writes(&self) -> Vec<String> {
        self.lock().writes.clone()
    }

    /// How many calls there were that may change something.
    pub fn changes(&self) -> usize {
        self.lock().changes
    }

    /// Every call, for messages.
    pub fn all(&self) -> Vec<String> {
        self.lock().all.clone()
    }
}

impl Gate for FaultGate {
    fn before(&self, call: &str) -> Result<(), Injected> {
        let mut state = self.lock();
        if let Some(mode) = state.dead {
            return Err(mode.injected());
        }
        state.calls += 1;
        state.all.push(call.to_owned());
        if is_change(call) {
            state.changes += 1;
            if call != "check integration" && call != "http front" {
                state.writes.push(call.to_owned());
            }
        }
        match state.due(call) {
            // One that nobody answers has no end of its own.
            Some(mode) if mode.early() || call == "http front" => {
                state.fired = Some(call.to_owned());
                state.dead = matches!(mode, Mode::CrashBefore | Mode::CrashAfter).then_some(mode);
                Err(mode.injected())
            }
            // There is no node, so that no Service leads anywhere: said at once, and not after a time.
            _ if call == "http front" => Err(Mode::Error.injected()),
            _ => Ok(()),
        }
    }

    fn after(&self, call: &str) -> Result<(), Injected> {
        let mut state = self.lock();
        if let Some(mode) = state.dead {
            return Err(mode.injected());
        }
        match state.due(call) {
            Some(mode) if !mode.early() => {
                state.fired = Some(call.to_owned());
                state.dead = (mode == Mode::CrashAfter).then_some(mode);
                Err(mode.injected())
            }
            _ => Ok(()),
        }
    }
}

/// The layer: every request passes the gate, then goes out through a client that many share.
#[derive(Clone)]
struct Gated {
    inner: Client,
    gate: Arc<FaultGate>,
}

impl Service<Request<Body>> for Gated {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Self { inner, gate } = self.clone();
        Box::pin(async move {
            let label = format!("kube {} {}", request.method(), request.uri().path());
            gate.before(&label)?;
            let answer = inner.send(request).await;
            gate.after(&label)?;
            Ok(answer?)
        })
    }
}

/// A client all of whose requests pass a gate.
pub fn gated(base: &Client, gate: &Arc<FaultGate>) -> Client {
    Client::new(Gated { inner: base.clone(), gate: gate.clone() }, "default")
}
