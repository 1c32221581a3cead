//! Planning of a CrmInstance. No I/O.

mod build_budget;
mod build_cron_job;
mod build_deployment;
mod build_ingress;
mod build_network_policy;
mod build_page;
mod build_secrets;
mod build_service;
mod build_volume;
mod children;
mod choose;
mod database_step;
mod elsewhere;
mod generation;
mod marks;
mod older;
mod phase;
pub mod release;
mod replicas;
mod serving;
mod validate;

pub use build_budget::{build_budget, may_be_many};
pub use build_page::{PAGE, PageText, build_page};
pub use build_secrets::{ANNOTATION_UNTOLD, access_of, build_database_secret, build_keys_secret, keys_of};
pub use build_service::build_service;
pub use build_volume::{build_volume, build_volume_again, volume_bytes};
pub use children::{Desired, Seen, desired};
pub use choose::{PURPOSE as SETTINGS_PURPOSE, VALUE_MAX, in_the_open, usable};
pub use database_step::{DatabaseFacts, DatabaseRow, DatabaseStep, Found, Missing, RowState, Unlocked, database_step};
pub use elsewhere::serves;
pub use generation::data_generation;
pub use marks::Marks;
pub use older::was_built_otherwise;
pub use phase::{phase_when_halted, phase_when_well};
pub use serving::{Decision, Serving, serving};
pub use validate::{Wanted, validate};
