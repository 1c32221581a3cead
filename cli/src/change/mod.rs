//! Changes: what differs between two objects, how it is printed, and new ids.

pub mod fields;
pub mod mint;
pub mod objects;
pub mod patch;
#[cfg(test)]
mod tests;
