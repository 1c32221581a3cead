//! The gate that every call out of the process passes, so that tests can make the k-th call fail. No I/O.

use std::fmt;

/// How a test makes a call fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The call fails; nothing was done.
    Error,
    /// The call was done, but its answer was lost.
    Timeout,
    /// The process dies here: every later call of the same gate is refused with the same fault.
    Crash,
}

/// The error with which a refused call ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("injected fault: {fault:?} at {moment} of a call")]
pub struct Injected {
    /// The fault.
    pub fault: Fault,
    /// `before` or `after` the call was done.
    pub moment: &'static str,
}

/// Receives every call out of the process (Kubernetes, SQL, HTTP, child process), before and after it.
pub trait Gate: Send + Sync + fmt::Debug {
    /// Called before the call is made. An error means that the call never reached the other side.
    ///
    /// # Errors
    /// The fault of this call.
    fn before(&self, call: &str) -> Result<(), Injected>;

    /// Called after the call was made. An error means that the answer never came back.
    ///
    /// # Errors
    /// The fault of this call.
    fn after(&self, call: &str) -> Result<(), Injected>;
}

/// The gate in production, which lets every call pass.
#[derive(Debug, Clone, Copy, Default)]
pub struct Open;

impl Gate for Open {
    fn before(&self, _call: &str) -> Result<(), Injected> {
        Ok(())
    }

    fn after(&self, _call: &str) -> Result<(), Injected> {
        Ok(())
    }
}
