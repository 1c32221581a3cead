//! tenantry-plan: decides what should exist, from what is wanted and what was observed.
//!
//! Pure: no client, no clock, no random numbers. The operator applies what these functions return, and `tenantry diff`
//! prints it. There is one file for the builder of each kind of child.

pub mod adoption;
pub mod advise;
pub(crate) mod agent_pod;
pub mod archive;
pub mod blueprint;
pub mod child;
pub mod config;
pub mod context;
pub mod copy;
pub mod error;
pub mod event;
pub mod instance;
pub mod integrations;
pub mod job;
mod kind;
pub mod labels;
pub mod limits;
pub mod lost;
pub mod made_with;
pub mod one_node;
pub mod orphans;
mod owned;
pub mod pod;
pub mod pull;
pub mod resources;
pub mod room;
pub mod scheduling;
pub mod server;
pub mod settings;
pub mod tenant;
pub mod view;
pub mod volume;

pub use child::{Child, Kind};
pub use error::PlanError;
pub use settings::Settings;
pub use volume::Claim;
