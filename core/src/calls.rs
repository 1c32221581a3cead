//! The gate through which every call out of the process goes, so that tests can make the k-th one fail. No I/O.

use std::fmt;

/// What a test makes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The call fails; nothing was done.
    Error,
    /// The call was done, but its answer is lost.
    Timeout,
    /// The process dies here: every later call of the same gate is refused with the same fault.
    Crash,
}

/// The error a refused call ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("injected fault: {fault:?} at {moment} of a call")]
pub struct Injected {
    /// The fault.
    pub fault: Fault,
    /// `before` or `after` the call was done.
    pub moment: &'static str,
}

/// Asked before and after every call out of the process (Kubernetes, SQL, HTTP, child process).
pub trait Gate: Send + Sync + fmt::Debug {
    /// Asked before the call is made. An error stands for a call that never reached the other side.
    ///
    /// # Errors
    /// The fault of this call.
    fn before(&self, call: &str) -> Result<(), Injected>;

    /// Asked after the call was made. An error stands for an answer that never came back.
    ///
    /// # Errors
    /// The fault of this call.
    fn after(&self, call: &str) -> Result<(), Injected>;
}

/// The gate of production: everything passes.
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
