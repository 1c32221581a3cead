//! The arguments of `tenantry instance create`, which makes a new instance or a copy. No I/O.

use clap::builder::TypedValueParser;
use tenantry_api::crm_instance::Environment;

use super::make;
use crate::args::{Change, pair};
use crate::tenant::fields::words;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The new instance, for example acme/staging
    #[arg(value_name = "TENANT/INSTANCE")]
    pub name: String,
    /// Its tenant, when the name is given without
    #[arg(long, value_name = "TENANT")]
    pub tenant: Option<String>,
    #[command(flatten)]
    pub product: Asked,
    /// What it is for; only production counts as billed seats. A copy is staging unless said otherwise
    #[arg(long, value_name = "KIND", value_parser = environment())]
    pub environment: Option<Environment>,
    #[command(flatten)]
    pub copy: Copying,
    /// Label, for -l; can be repeated
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = pair)]
    pub labels: Vec<(String, String)>,
    #[command(flatten)]
    pub change: Change,
}

/// What an instance is; a copy takes over what is not given.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Product")]
pub struct Asked {
    /// Blueprint
    #[arg(long, value_name = "NAME", required_unless_present = "from", conflicts_with = "from", add = crate::completion::blueprints())]
    pub blueprint: Option<String>,
    /// Version of the release; the newest of the stable channel when not given
    #[arg(long, value_name = "VERSION", conflicts_with = "from")]
    pub release: Option<String>,
    /// Host under which it answers; of a copy NAME-HOST beside its original when not given
    #[arg(long, value_name = "HOST", required_unless_present = "from", value_parser = super::make::host)]
    pub host: Option<String>,
    #[command(flatten)]
    pub choices: make::Choices,
}

/// A copy, and its end.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Copy for staging")]
pub struct Copying {
    /// Begins with database and files of this instance of the same tenant, kept from writing to customers
    #[arg(long, value_name = "TENANT/INSTANCE", add = crate::completion::instances())]
    pub from: Option<String>,
    /// When it ends by itself and is archived: a time from now (12h, 7d) or the end of a day (2026-12-31)
    #[arg(long, value_name = "WHEN")]
    pub expires: Option<String>,
}

impl Asked {
    /// The product of an instance that is no copy; clap has checked that everything required was given.
    pub fn own(&self) -> make::Product {
        make::Product {
            blueprint: self.blueprint.clone().unwrap_or_default(),
            release: self.release.clone(),
            host: self.host.clone().unwrap_or_default(),
            choices: self.choices.clone(),
        }
    }
}

/// What an instance is for, as an argument.
pub fn environment() -> impl TypedValueParser<Value = Environment> {
    words::<Environment>(Environment::ALL.map(Environment::word))
}
