//! The terms of a tenant as options of `create` and `set`, and what they make of a spec. No I/O.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use tenantry_api::tenant::{Contract, SupportPlan};

/// Terms that can be given at creation and changed later.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Terms")]
pub struct Terms {
    /// Name of the customer, for people
    #[arg(long, value_name = "TEXT")]
    pub display_name: Option<String>,
    /// Seats: a number, `unlimited` (by special licence), or `plan` for the plan's
    #[arg(long, value_name = "N", value_parser = seats)]
    pub seats: Option<Seats>,
    /// Storage, decimal, for example 50G, or `plan` for the plan's
    #[arg(long, value_name = "SIZE", value_parser = storage)]
    pub storage: Option<String>,
    /// Rented or bought
    #[arg(long, value_name = "KIND", value_parser = words::<Contract>(["rent", "buy"]))]
    pub contract: Option<Contract>,
    /// Last day of the term
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = date)]
    pub until: Option<String>,
    /// Support plan
    #[arg(long, value_name = "NAME", value_parser = words::<SupportPlan>(["basic", "business", "premium"]))]
    pub support_plan: Option<SupportPlan>,
    /// Time zone, for example Asia/Ho_Chi_Minh; the site's when not given
    #[arg(long, value_name = "ZONE", value_parser = zone)]
    pub time_zone: Option<String>,
    /// E-mail address that notices go to; can be repeated
    #[arg(long = "contact", value_name = "EMAIL")]
    pub contacts: Vec<String>,
    /// Days that data is kept after deletion; the site's when not given
    #[arg(long, value_name = "DAYS")]
    pub retention_days: Option<u32>,
}

/// What `--seats` said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seats {
    /// This many seats.
    Number(u32),
    /// No limit.
    Unlimited,
    /// What the plan says.
    Plan,
}

fn seats(text: &str) -> Result<Seats, String> {
    match text {
        "unlimited" => Ok(Seats::Unlimited),
        "plan" => Ok(Seats::Plan),
        number => match number.parse() {
            Ok(n) if n > 0 => Ok(Seats::Number(n)),
            _ => Err(format!("{text:?} is not a number of seats; write a number from 1, `unlimited` or `plan`")),
        },
    }
}

fn storage(text: &str) -> Result<String, String> {
    if text == "plan" {
        return Ok(text.to_owned());
    }
    tenantry_core::quantity::bytes(text).map(|_| text.to_owned()).map_err(|e| e.to_string())
}

/// A name of the IANA list; an empty text removes the field.
fn zone(text: &str) -> Result<String, String> {
    match text {
        "" => Ok(String::new()),
        zone => tenantry_core::zone::check(zone).map(|()| zone.to_owned()).map_err(|e| e.to_string()),
    }
}

fn date(text: &str) -> Result<String, String> {
    let date: jiff::civil::Date = text.parse().map_err(|_| format!("{text:?} is not a date like 2027-03-31"))?;
    Ok(date.to_string())
}

/// One of some words, parsed as the API's type parses it.
pub fn words<T: DeserializeOwned + Clone + Send + Sync + 'static>(
    words: impl IntoIterator<Item = &'static str>,
) -> impl TypedValueParser<Value = T> {
    PossibleValuesParser::new(words).try_map(|text| serde_json::from_value::<T>(Value::String(text)))
}

impl Terms {
    /// The fields of a spec that these terms set; null removes a field.
    pub fn patch(&self) -> Map<String, Value> {
        let mut spec = Map::new();
        let mut put = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                spec.insert(key.to_owned(), value);
            }
        };
        put("displayName", self.display_name.clone().map(emptied));
        put("contract", self.contract.map(|c| json!(c)));
        put("until", self.until.clone().map(Value::from));
        put("supportPlan", self.support_plan.map(|s| json!(s)));
        put("timeZone", self.time_zone.clone().map(emptied));
        put("contacts", (!self.contacts.is_empty()).then(|| json!(self.contacts)));
        put("retentionDays", self.retention_days.map(Value::from));
        put("storage", self.storage.clone().map(|s| if s == "plan" { Value::Null } else { s.into() }));
        if let Some(seats) = self.seats {
            put("seats", Some(if let Seats::Number(n) = seats { n.into() } else { Value::Null }));
            put("unlimitedSeats", Some(if seats == Seats::Unlimited { true.into() } else { Value::Null }));
        }
        spec
    }
}

/// An empty text removes the field.
fn emptied(text: String) -> Value {
    if text.is_empty() { Value::Null } else { text.into() }
}

/// The fields that are not null: a new object has nothing to remove.
pub fn without_nulls(fields: Map<String, Value>) -> Map<String, Value> {
    fields.into_iter().filter(|(_, v)| !v.is_null()).collect()
}
