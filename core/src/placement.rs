//! Which database server takes a new database. No I/O.

use crate::engine::Engine;

/// A server in its last observed state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Name of the DatabaseServer object.
    pub name: String,
    /// Its engine.
    pub engine: Engine,
    /// Major version; 0 means that it is not known yet.
    pub version: u32,
    /// Whether the server answered its last health check.
    pub ready: bool,
    /// Whether new databases may be placed on this server.
    pub accepting: bool,
    /// Number of tenants' databases that the server holds now.
    pub databases: u32,
    /// Maximum number of databases. None means not limited.
    pub max_databases: Option<u32>,
    /// Id of the tenant that the server is dedicated to.
    pub dedicated_to: Option<String>,
}

/// The requirements of a new database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need<'a> {
    /// Engines that the blueprint accepts, each with its lowest major version, in order of preference.
    pub engines: &'a [(Engine, u32)],
    /// Id of the tenant.
    pub tenant: &'a str,
    /// Whether the plan promises a dedicated server.
    pub dedicated: bool,
    /// The server that the instance names.
    pub named: Option<&'a str>,
}

/// Why no server takes the database; the text names the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoPlace {
    /// No server of a wanted engine exists.
    #[error("no database server of engine {0} exists; create a DatabaseServer (see `tenantry database-server list`)")]
    NoEngine(String),
    /// The named server does not exist.
    #[error("database server {0:?} does not exist; servers: see `tenantry database-server list`")]
    NoSuchServer(String),
    /// The named server does not fit.
    #[error("database server {0:?} cannot take this database: {1}")]
    Unfit(String, String),
    /// Servers exist, but each refuses for its own reason.
    #[error("no database server has room: {0}; raise a limit or add a DatabaseServer")]
    NoRoom(String),
}

/// Chooses the least loaded server that fits; ties go to the first by name.
///
/// # Errors
/// [`NoPlace`] with the reason of every server that was refused.
pub fn choose<'a>(servers: &'a [Candidate], need: &Need<'_>) -> Result<&'a Candidate, NoPlace> {
    if let Some(name) = need.named {
        let server = servers.iter().find(|s| s.name == name).ok_or_else(|| NoPlace::NoSuchServer(name.into()))?;
        return match refusal(server, need) {
            None => Ok(server),
            Some(why) => Err(NoPlace::Unfit(name.into(), why)),
        };
    }
    let mut reasons = Vec::new();
    for (engine, _) in need.engines {
        let mut of_engine: Vec<_> = servers.iter().filter(|s| s.engine == *engine).collect();
        of_engine.sort_by(|a, b| (a.databases, &a.name).cmp(&(b.databases, &b.name)));
        for server in of_engine {
            match refusal(server, need) {
                None => return Ok(server),
                Some(why) => reasons.push(format!("{} {why}", server.name)),
            }
        }
    }
    if reasons.is_empty() {
        let engines: Vec<_> = need.engines.iter().map(|(e, _)| e.word()).collect();
        return Err(NoPlace::NoEngine(engines.join(" or ")));
    }
    Err(NoPlace::NoRoom(reasons.join(", ")))
}

fn refusal(server: &Candidate, need: &Need<'_>) -> Option<String> {
    let Some((_, lowest)) = need.engines.iter().find(|(e, _)| *e == server.engine) else {
        return Some(format!("is {}, which the blueprint does not run on", server.engine));
    };
    if !server.ready {
        return Some("does not answer".into());
    }
    if server.version < *lowest {
        return Some(format!("is version {}, at least {lowest} is needed", server.version));
    }
    if !server.accepting {
        return Some("takes no new databases".into());
    }
    match (&server.dedicated_to, need.dedicated) {
        (Some(owner), _) if owner != need.tenant => return Some("belongs to another tenant".into()),
        (None, true) if need.named.is_none() => return Some("is shared, the plan promises an own server".into()),
        _ => {}
    }
    match server.max_databases {
        Some(max) if server.databases >= max => Some(format!("is full ({max} databases)")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(name: &str, databases: u32) -> Candidate {
        Candidate {
            name: name.into(),
            engine: Engine::Postgresql,
            version: 15,
            ready: true,
            accepting: true,
            databases,
            max_databases: Some(10),
            dedicated_to: None,
        }
    }

    fn need(engines: &[(Engine, u32)]) -> Need<'_> {
        Need { engines, tenant: "t", dedicated: false, named: None }
    }

    #[test]
    fn the_least_loaded_that_fits_is_taken() {
        let engines = [(Engine::Postgresql, 13)];
        let mut away = server("c", 0);
        away.ready = false;
        let servers = [server("a", 5), server("b", 2), away];
        assert_eq!(choose(&servers, &need(&engines)).unwrap().name, "b");
    }

    #[test]
    fn every_refusal_is_named() {
        let engines = [(Engine::Postgresql, 16)];
        let text = choose(&[server("a", 5)], &need(&engines)).unwrap_err().to_string();
        assert!(text.contains("a is version 15, at least 16"), "{text}");
        let none = choose(&[], &need(&engines)).unwrap_err();
        assert_eq!(none, NoPlace::NoEngine("postgresql".into()));
    }

    #[test]
    fn a_dedicated_server_is_never_given_to_another_tenant() {
        let engines = [(Engine::Postgresql, 13)];
        let mut own = server("own", 0);
        own.dedicated_to = Some("other".into());
        assert!(choose(&[own.clone()], &need(&engines)).is_err());
        own.dedicated_to = Some("t".into());
        let wanted = Need { dedicated: true, ..need(&engines) };
        let servers = [server("shared", 0), own];
        assert_eq!(choose(&servers, &wanted).unwrap().name, "own");
    }
}
