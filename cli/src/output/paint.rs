//! Colours, only where the other side is a terminal that wants them. No I/O.

/// Wraps texts into colours, or leaves them alone.
#[derive(Debug, Clone, Copy, Default)]
pub struct Paint {
    on: bool,
}

impl Paint {
    /// With or without colours.
    pub fn new(on: bool) -> Self {
        Self { on }
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.on && !text.is_empty() { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    /// All is well.
    pub fn good(self, text: &str) -> String {
        self.wrap("32", text)
    }

    /// Someone must act.
    pub fn bad(self, text: &str) -> String {
        self.wrap("31", text)
    }

    /// Not done, or worth a look.
    pub fn warn(self, text: &str) -> String {
        self.wrap("33", text)
    }

    /// Less important.
    pub fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }

    /// A heading.
    pub fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    /// The colour of a phase or of a condition's status.
    pub fn state(self, text: &str) -> String {
        match text.trim_end() {
            "Ready" | "Active" | "True" | "Valid" | "PASS" => self.good(text),
            "Failed" | "Invalid" | "Degraded" | "Unreachable" | "FAIL" | "missing" => self.bad(text),
            "" | "-" => text.to_owned(),
            _ => self.warn(text),
        }
    }
}
