//! Refusing an id, or an archive, to an object that has no right to it. No I/O.

use tenantry_api::condition::ConditionType;
use tenantry_core::class::ErrorClass;

use crate::halt::Halt;

/// Reason of a refusal: the id belongs to another object.
pub const ID_TAKEN: &str = "IdTaken";

/// A refusal: the id, or the archive, is not for this object.
#[must_use]
pub fn refuse(message: String) -> Halt {
    Halt::fail(ConditionType::Ready, ID_TAKEN, message, ErrorClass::Invalid)
}
