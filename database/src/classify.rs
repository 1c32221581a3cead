//! What an error of the driver or the server means. No I/O.

use crate::error::Error;
use crate::model::Engine;
use crate::redact;

/// Where an error happened.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub engine: Engine,
    /// The endpoint as text.
    pub server: String,
    /// The role that is logged in.
    pub user: String,
}

/// Translates an error of the driver. `what` is the label of the statement.
pub(crate) fn failure(place: &Place, what: &str, error: &sqlx::Error) -> Error {
    let server = place.server.clone();
    let what = what.to_owned();
    match error {
        sqlx::Error::Database(db) => {
            let code = code(place.engine, db.as_ref());
            refusal(place, &what, &code, db.message())
        }
        sqlx::Error::Tls(why) => Error::Tls { server, why: why.to_string() },
        sqlx::Error::Configuration(why) => Error::Tls { server, why: why.to_string() },
        sqlx::Error::Io(why) => Error::Unreachable { server, what, why: why.kind().to_string() },
        // The peer is not a server of this engine, or the connection was cut in the middle of a message.
        sqlx::Error::Protocol(_) => Error::Unreachable { server, what, why: "the conversation broke off".into() },
        _ => Error::Unreachable { server, what, why: "the driver gave up".into() },
    }
}

fn code(engine: Engine, error: &dyn sqlx::error::DatabaseError) -> String {
    let number = match engine {
        Engine::Postgresql => None,
        Engine::Mariadb => error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>(),
    };
    if let Some(error) = number {
        return error.number().to_string();
    }
    error.code().unwrap_or_default().into_owned()
}

/// What a server's error code stands for.
enum Meaning {
    DiskFull,
    Authentication,
    Forbidden,
    /// The server does not offer the extension.
    NoExtension,
    /// The statement took too long.
    Slow,
    /// It passes by itself.
    Busy,
    Other,
}

/// Translates an error code of a server.
pub(crate) fn refusal(place: &Place, what: &str, code: &str, message: &str) -> Error {
    let server = place.server.clone();
    let full =
        message.contains("No space left on device") || message.contains("error 28 ") || message.contains("Errcode: 28");
    let meaning = match place.engine {
        _ if full => Meaning::DiskFull,
        Engine::Postgresql => postgresql(what, code, message),
        Engine::Mariadb => mariadb(code),
    };
    let what = what.to_owned();
    let shown = redact::message(place.engine, code, message);
    match meaning {
        Meaning::DiskFull => Error::DiskFull { server, what },
        Meaning::Authentication => Error::Authentication { server, role: place.user.clone() },
        Meaning::Forbidden => Error::Forbidden { server, what, message: shown },
        Meaning::NoExtension => {
            Error::Forbidden { server, what, message: "the server does not offer this extension".into() }
        }
        Meaning::Slow => Error::Busy { server, what, message: "the statement took longer than its limit".into() },
        Meaning::Busy => Error::Busy { server, what, message: shown },
        Meaning::Other => Error::Server { server, what, code: code.to_owned(), message: shown },
    }
}

fn postgresql(what: &str, code: &str, message: &str) -> Meaning {
    match code {
        "53100" => Meaning::DiskFull,
        "28P01" | "28000" => Meaning::Authentication,
        "42501" => Meaning::Forbidden,
        "57014" => Meaning::Slow,
        // Two sessions changed the rights of one object. PostgreSQL has no code of its own for this.
        "XX000" if message.starts_with("tuple concurrently") => Meaning::Busy,
        "58P01" | "0A000" if what.contains("extension") => Meaning::NoExtension,
        passes if pg_passes(passes) => Meaning::Busy,
        _ => Meaning::Other,
    }
}

fn mariadb(code: &str) -> Meaning {
    match code {
        "1021" | "1114" => Meaning::DiskFull,
        "1045" | "1698" | "4151" | "1862" => Meaning::Authentication,
        "1044" | "1142" | "1143" | "1227" | "1370" | "1410" => Meaning::Forbidden,
        "1969" | "3024" => Meaning::Slow,
        "1040" | "1053" | "1080" | "1129" | "1152" | "1159" | "1161" | "1203" | "1205" | "1213" | "1226" | "1317"
        | "1927" => Meaning::Busy,
        _ => Meaning::Other,
    }
}

/// PostgreSQL codes of errors that disappear by themselves: connections, resources, locks, shutdown, template in use.
fn pg_passes(code: &str) -> bool {
    code.starts_with("08")
        || matches!(
            code,
            "53200"
                | "53300"
                | "53400"
                | "55006"
                | "55P03"
                | "57P01"
                | "57P02"
                | "57P03"
                | "57P05"
                | "40001"
                | "40P01"
                | "40003"
        )
}

#[cfg(test)]
mod tests {
    use tenantry_core::class::ErrorClass;

    use super::*;

    fn seen(engine: Engine, code: &str, message: &str) -> Error {
        let place = Place { engine, server: "s".into(), user: "crm_a".into() };
        refusal(&place, "create database", code, message)
    }

    #[test]
    fn a_full_disk_is_blocked_and_says_what_to_do() {
        for error in [
            seen(Engine::Postgresql, "53100", "could not extend file: No space left on device"),
            seen(Engine::Postgresql, "58030", "could not write file: No space left on device"),
            seen(Engine::Mariadb, "1021", "Disk full (x); waiting for someone to free some space..."),
            seen(Engine::Mariadb, "1114", "The table 't' is full"),
            seen(Engine::Mariadb, "1030", "Got error 28 \"No space left on device\" from storage engine InnoDB"),
            seen(Engine::Mariadb, "3", "Error writing file 'x' (Errcode: 28 \"No space left on device\")"),
        ] {
            assert!(matches!(error, Error::DiskFull { .. }), "{error:?}");
            assert_eq!(error.class(), ErrorClass::Blocked);
            assert!(error.to_string().contains("enlarge its volume"));
        }
    }

    #[test]
    fn a_refused_log_in_names_the_role() {
        for error in [
            seen(Engine::Postgresql, "28P01", "password authentication failed for user \"crm_a\""),
            seen(Engine::Mariadb, "1045", "Access denied for user 'crm_a'@'h' (using password: YES)"),
            seen(Engine::Mariadb, "4151", "Access denied, this account is locked"),
        ] {
            assert!(error.to_string().contains("role crm_a"), "{error}");
            assert_eq!(error.class(), ErrorClass::Blocked);
        }
    }

    #[test]
    fn what_passes_by_itself_is_transient() {
        for (engine, code) in [
            (Engine::Postgresql, "55006"),
            (Engine::Postgresql, "53300"),
            (Engine::Postgresql, "57P03"),
            (Engine::Postgresql, "57014"),
            (Engine::Mariadb, "1040"),
            (Engine::Mariadb, "1213"),
            (Engine::Mariadb, "1969"),
        ] {
            assert_eq!(seen(engine, code, "x").class(), ErrorClass::Transient, "{code}");
        }
    }

    #[test]
    fn what_is_not_known_is_a_bug() {
        assert_eq!(seen(Engine::Postgresql, "42P16", "x").class(), ErrorClass::Bug);
    }
}
