//! A gate that makes the k-th call fail. No I/O.

use std::sync::Mutex;

use tenantry_core::calls::{Fault, Gate, Injected};

#[derive(Debug)]
pub struct Breaking {
    at: usize,
    fault: Fault,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    calls: Vec<String>,
    fired: bool,
    dead: bool,
}

impl Breaking {
    /// The `at`-th call (from 1) fails so; 0: none, calls are only counted.
    pub fn new(at: usize, fault: Fault) -> Self {
        Self { at, fault, state: Mutex::default() }
    }

    pub fn fired(&self) -> bool {
        self.state.lock().unwrap().fired
    }

    pub fn calls(&self) -> Vec<String> {
        self.state.lock().unwrap().calls.clone()
    }

    pub fn last(&self) -> String {
        self.state.lock().unwrap().calls.get(self.at.wrapping_sub(1)).cloned().unwrap_or_default()
    }
}

impl Gate for Breaking {
    fn before(&self, call: &str) -> Result<(), Injected> {
        let mut state = self.state.lock().unwrap();
        state.calls.push(call.to_owned());
        let now = state.calls.len() == self.at && self.fault != Fault::Timeout;
        if now {
            state.fired = true;
            state.dead = self.fault == Fault::Crash;
        }
        if now || state.dead {
            return Err(Injected { fault: self.fault, moment: "before" });
        }
        Ok(())
    }

    fn after(&self, _call: &str) -> Result<(), Injected> {
        let mut state = self.state.lock().unwrap();
        if state.calls.len() == self.at && self.fault == Fault::Timeout {
            state.fired = true;
            return Err(Injected { fault: self.fault, moment: "after" });
        }
        Ok(())
    }
}
