//! Copies of an instance for staging: what they take over from the original, and when they end. Does no I/O itself.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use kube::ResourceExt;
use tenantry_api::blueprint::BlueprintSpec;
use tenantry_api::crm_instance::{CopySource, CrmInstance, CrmInstanceSpec, Environment};
use tenantry_api::scheduling::Scheduling;

use super::create_args::Args;
use super::make::{Choices, Product};
use super::size::{Borne, Selector, Size};
use crate::error::Problem;
use crate::target::{Address, address_of};

/// Longest time until an instance ends, in years: more is a typing error.
const YEARS: i64 = 10;

/// The address of a new instance: TENANT/INSTANCE, or INSTANCE with --tenant.
pub fn address(name: &str, tenant: Option<&str>) -> Result<Address, Problem> {
    let problem = |e: String| Problem::usage(e).safe("nothing was changed");
    let address = match tenant {
        None => name.parse::<Address>().map_err(|e| problem(format!("{e}; or add --tenant TENANT")))?,
        Some(tenant) => match name.parse::<Address>() {
            Ok(address) if address.tenant == tenant => address,
            Ok(address) => return Err(problem(format!("{address} is not of tenant {tenant}: say one of them"))),
            Err(_) if name.contains('/') => return Err(problem(format!("{name:?} is no name of an instance"))),
            Err(_) => Address { tenant: tenant.into(), instance: name.into() },
        },
    };
    Ok(address)
}

/// The original that --from names: TENANT/INSTANCE, or INSTANCE of the same tenant.
pub fn original(from: &str, copy: &Address) -> Result<Address, Problem> {
    let original = match from.parse::<Address>() {
        Ok(original) => original,
        Err(_) if !from.is_empty() && !from.contains('/') => {
            Address { tenant: copy.tenant.clone(), instance: from.into() }
        }
        Err(e) => return Err(Problem::usage(format!("--from: {e}")).safe("nothing was changed")),
    };
    if original.tenant != copy.tenant {
        return Err(Problem::refused(format!("a copy of {original} stays with tenant {}", original.tenant))
            .safe("nothing was changed")
            .why("the data of one tenant never goes to another")
            .next(
                "copy it there",
                format!("instance create {}/{} --from {original}", original.tenant, copy.instance),
            ));
    }
    if original == *copy {
        return Err(Problem::usage(format!("{original} cannot be a copy of itself")).safe("nothing was changed"));
    }
    Ok(original)
}

/// What the copy is: the original's product and settings, except for what was asked for instead. Secrets stay with the
/// original, because they belong to it: a copy that needs some is given its own.
pub fn product(args: &Args, name: &str, original: &CrmInstance, blueprint: &BlueprintSpec) -> Product {
    let (asked, of) = (&args.product.choices, &original.spec);
    let open = |key: &String| blueprint.settings.get(key).is_none_or(|s| !s.secret);
    let mut settings = of.settings.clone();
    settings.retain(|key, _| open(key));
    settings.extend(asked.settings.iter().cloned());
    Product {
        blueprint: of.blueprint.clone(),
        // The data belongs to the release that wrote it, so the operator takes that release.
        release: None,
        host: args.product.host.clone().unwrap_or_else(|| host(name, &of.host)),
        choices: Choices {
            admin_email: asked.admin_email.clone().or_else(|| of.admin_email.clone()),
            settings: settings.into_iter().collect(),
            ..asked.clone()
        },
    }
}

/// The nodes for the copy: the original's, because its volumes are there, unless others were asked for.
fn nodes(original: Option<&Scheduling>, asked: &Size) -> Option<Scheduling> {
    let mut nodes = original.cloned().unwrap_or_default();
    for selector in &asked.node_selector {
        match selector {
            Selector::Any => nodes.node_selector.clear(),
            Selector::Without(key) => drop(nodes.node_selector.remove(key)),
            Selector::Label(key, value) => drop(nodes.node_selector.insert(key.clone(), value.clone())),
        }
    }
    if !asked.tolerations.is_empty() {
        let taint = |b: &Borne| match b {
            Borne::Taint(taint) => Some((**taint).clone()),
            Borne::None => None,
        };
        nodes.tolerations = asked.tolerations.iter().filter_map(taint).collect();
    }
    nodes.spread = asked.spread.unwrap_or(nodes.spread);
    (nodes != Scheduling::default()).then_some(nodes)
}

/// `staging-crm.acme.example`: beside the original's host, so that a certificate for the whole domain covers both.
fn host(name: &str, original: &str) -> String {
    let host = format!("{name}-{original}");
    let first = host.split('.').next().unwrap_or_default();
    // A label of a host name has 63 characters at most.
    if first.len() > 63 || host.len() > tenantry_core::host::MAX { format!("{name}.{original}") } else { host }
}

/// The spec of a copy.
pub fn from(spec: CrmInstanceSpec, asked: &Size, original: &CrmInstance) -> CrmInstanceSpec {
    let from = Some(CopySource { instance: original.name_any() });
    CrmInstanceSpec { from, scheduling: nodes(original.spec.scheduling.as_ref(), asked), ..spec }
}

/// What the instance is for: a copy is for staging unless it is for a rehearsal.
pub fn environment(args: &Args) -> Result<Environment, Problem> {
    let environment = args.environment.unwrap_or(match args.copy.from {
        Some(_) => Environment::Staging,
        None => Environment::Production,
    });
    if environment != Environment::Production {
        return Ok(environment);
    }
    let option = if args.copy.from.is_some() { "--from" } else { "--expires" };
    if args.copy.from.is_some() || args.copy.expires.is_some() {
        let text = format!("{option} is for --environment staging or rehearsal, not for production");
        return Err(Problem::usage(text).safe("nothing was changed"));
    }
    Ok(environment)
}

/// When an instance ends: from `7d`, `36h` or a day. A day ends at its midnight in this time zone.
pub fn expires(text: &str, now: Timestamp, zone: &TimeZone) -> Result<Timestamp, Problem> {
    let wrong = |why: &str| {
        Problem::usage(format!("--expires {text}: {why}"))
            .safe("nothing was changed")
            .why("write a time from now (12h, 7d, 4w) or a day (2026-12-31)")
    };
    let now_here = now.to_zoned(zone.clone());
    let end = if let Ok(exact) = text.parse::<Timestamp>() {
        exact.to_zoned(zone.clone())
    } else if let Ok(day) = text.parse::<Date>() {
        let next = day.tomorrow().map_err(|_| wrong("there is no such day"))?;
        next.to_zoned(zone.clone()).map_err(|_| wrong("there is no such day"))?
    } else {
        let span: Span = text.parse().map_err(|_| wrong("this is neither a time nor a day"))?;
        now_here.checked_add(span).map_err(|_| wrong("this is too long"))?
    };
    let latest = now_here.checked_add(Span::new().years(YEARS)).map_err(|_| wrong("this is too long"))?;
    match end {
        end if end <= now_here => Err(wrong("that is over already")),
        end if end > latest => Err(wrong("that is more than ten years away")),
        end => Ok(end.timestamp()),
    }
}

/// The time in the form that the spec has.
pub fn written(end: Timestamp) -> String {
    end.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The text for a person after a copy was stored.
pub fn told(address: &Address, original: &CrmInstance) -> String {
    format!(
        "{address} is stored; the operator copies {} and neutralises it before anything starts",
        address_of(original)
    )
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::{Value, json};

    use super::*;
    use crate::tenant::tests::instance;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn args(line: &[&str]) -> Args {
        Line::parse_from(std::iter::once("x").chain(line.iter().copied())).args
    }

    fn blueprint() -> BlueprintSpec {
        let spec = json!({"title": "T", "releases": [{"version": "1", "image": "i"}], "processes": [{"name": "web"}],
            "settings": {"language": {}, "currency": {}, "smtp_password": {"secret": true, "default": ""}}});
        serde_json::from_value(spec).unwrap()
    }

    fn crm() -> CrmInstance {
        let spec = json!({"host": "crm.acme.vn", "adminEmail": "a@acme.vn", "replicas": {"web": 3},
            "settings": {"language": "vi", "currency": "VND", "smtp_password": "hidden"},
            "scheduling": {"nodeSelector": {"pool": "acme"}, "tolerations": [{"key": "acme", "operator": "Exists"}]}});
        instance("crm", spec, Value::Null)
    }

    #[test]
    fn a_new_instance_is_named_with_its_tenant_in_one_way_or_the_other() {
        for (name, tenant, wanted) in [
            ("acme/s", None, Some("acme/s")),
            ("s", Some("acme"), Some("acme/s")),
            ("acme/s", Some("acme"), Some("acme/s")),
            ("acme/s", Some("beta"), None),
            ("s", None, None),
            ("a/b/c", Some("acme"), None),
        ] {
            assert_eq!(address(name, tenant).ok().map(|a| a.to_string()).as_deref(), wanted, "{name} {tenant:?}");
        }
    }

    #[test]
    fn a_copy_stays_with_the_tenant_of_its_original() {
        let copy: Address = "acme/staging".parse().unwrap();
        for from in ["crm", "acme/crm"] {
            assert_eq!(original(from, &copy).unwrap().to_string(), "acme/crm");
        }
        assert_eq!(original("beta/crm", &copy).unwrap_err().exit, crate::error::Exit::REFUSED);
        for wrong in ["staging", "", "a/b/c"] {
            assert_eq!(original(wrong, &copy).unwrap_err().exit, crate::error::Exit::USAGE, "{wrong}");
        }
    }

    #[test]
    fn a_copy_takes_over_product_and_settings_and_gets_a_host_beside_its_original() {
        let crm = crm();
        let made = product(&args(&["acme/s", "--from", "crm", "--setting", "language=en"]), "s", &crm, &blueprint());
        assert_eq!((made.blueprint.as_str(), made.host.as_str(), made.release), ("tryton", "s-crm.acme.vn", None));
        let settings = [("currency".to_owned(), "VND".to_owned()), ("language".to_owned(), "en".to_owned())];
        assert_eq!(made.choices.settings, settings);
        assert_eq!(made.choices.admin_email.as_deref(), Some("a@acme.vn"));
        let named = product(&args(&["acme/s", "--from", "crm", "--host", "try.acme.vn"]), "s", &crm, &blueprint());
        assert_eq!(named.host, "try.acme.vn");
        let long = format!("{}.vn", "c".repeat(60));
        assert_eq!(host("staging", &long), format!("staging.{long}"), "a label of 63 characters at most");
    }

    #[test]
    fn a_copy_runs_where_its_original_does_unless_other_nodes_were_asked_for() {
        let of = |words: &[&str]| {
            let args = args(&[&["acme/s", "--from", "crm"], words].concat());
            let product = product(&args, "s", &crm(), &blueprint());
            let spec = crate::instance::make::spec("acme", &product).unwrap();
            let spec = from(spec, &product.choices.size, &crm());
            assert_eq!(spec.from.map(|f| f.instance).as_deref(), Some("crm"));
            (json!(spec.scheduling), spec.replicas.len())
        };
        let tolerations = json!([{"key": "acme", "operator": "Exists"}]);
        let same = json!({"nodeSelector": {"pool": "acme"}, "tolerations": tolerations, "spread": true});
        assert_eq!(of(&[]), (same, 0), "how many pods run is the blueprint's word: a copy has few users");
        let other = json!({"nodeSelector": {"pool": "try"}, "tolerations": tolerations, "spread": false});
        assert_eq!(of(&["--node-selector", "pool=try", "--spread", "no", "--replicas", "web=2"]), (other, 1));
        assert_eq!(of(&["--node-selector", "none", "--toleration", "none"]), (Value::Null, 0));
        assert_eq!(of(&["--node-selector", "pool-"]).0, json!({"tolerations": tolerations, "spread": true}));
    }

    #[test]
    fn a_copy_is_staging_and_production_neither_is_one_nor_ends() {
        for (line, wanted) in [
            (vec!["acme/s", "--from", "crm"], Some(Environment::Staging)),
            (vec!["acme/s", "--from", "crm", "--environment", "rehearsal"], Some(Environment::Rehearsal)),
            (vec!["acme/s", "--from", "crm", "--environment", "production"], None),
            (vec!["acme/s", "--blueprint", "b", "--host", "h.example"], Some(Environment::Production)),
            (vec!["acme/s", "--blueprint", "b", "--host", "h.example", "--expires", "7d"], None),
        ] {
            assert_eq!(environment(&args(&line)).ok(), wanted, "{line:?}");
        }
        for line in [vec!["x", "acme/s"], vec!["x", "acme/s", "--from", "crm", "--release", "7.0"]] {
            assert!(Line::try_parse_from(line.iter().copied()).is_err(), "{line:?}");
        }
    }

    #[test]
    fn the_end_is_a_time_from_now_or_the_end_of_a_day() {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let zone = TimeZone::fixed(jiff::tz::offset(7));
        for (text, wanted) in [
            ("7d", Some("2026-11-28T12:00:00Z")),
            ("36h", Some("2026-11-23T00:00:00Z")),
            ("2w", Some("2026-12-05T12:00:00Z")),
            ("2026-12-31", Some("2026-12-31T17:00:00Z")),
            ("2026-12-31T08:00:00+07:00", Some("2026-12-31T01:00:00Z")),
            ("2026-11-20", None),
            ("-7d", None),
            ("2099-01-01", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(expires(text, now, &zone).ok().map(written).as_deref(), wanted, "{text}");
        }
    }
}
