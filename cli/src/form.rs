//! An object of a file as one of our types; a field that does not fit is reported with its place. No I/O.

use serde::de::DeserializeOwned;
use serde_json::Value;

/// Reads an object.
///
/// # Errors
/// What is wrong, after the place of the field: `spec.processes[0].port: invalid type: ...`.
pub fn read<T: DeserializeOwned>(object: Value) -> Result<T, String> {
    serde_path_to_error::deserialize(object).map_err(|e| match e.path().to_string() {
        // `.` is the object itself.
        place if place == "." => e.into_inner().to_string(),
        place => format!("{place}: {}", e.into_inner()),
    })
}
