//! Strict templates. No I/O.
