//! New ids from the system's random numbers. Does I/O.

use tenantry_core::id::{ID_LENGTH, Id};

use crate::error::Problem;

/// A new id.
pub fn id() -> Result<Id, Problem> {
    let mut random = [0_u8; ID_LENGTH];
    getrandom::fill(&mut random)
        .map_err(|e| Problem::failed(format!("the system gives no random numbers: {e}")).safe("nothing was changed"))?;
    Ok(Id::mint(random))
}
