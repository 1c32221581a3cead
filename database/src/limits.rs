//! How much is done on a server at a time. No I/O.

/// Number of copies of one template that run at the same time, where the engine allows that. A copy is limited by the
/// disk and by one processor of the server: with more copies at a time each would only take longer, and neighbours
/// would notice. The number is also below the number of the administrator's connections, so that other operations get
/// through.
pub(crate) const COPIES: u32 = 4;
