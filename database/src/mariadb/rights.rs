//! MariaDB: the rights of a generation's account during a freeze, and when it is retired — does I/O.
//!
//! `GRANT` and `REVOKE` commit by themselves, so that row and rights cannot change together. Each change is one
//! statement that holds a lock of the server: a client that stands still in the middle cannot stretch it. The rights are
//! written to the row before the first of them is revoked, and stay there until the last is given back.

use tenantry_core::generation::Token;

use super::literal;
use crate::error::{Error, Result};
use crate::generation::Rows;
use crate::model::Engine;
use crate::quote::{account, grant_pattern, ident};
use crate::server::Frozen;
use crate::session::{Session, lock_number};

const ROWS: Rows = Rows(Engine::Mariadb);
/// What an account keeps during a freeze, as far as it had it before.
const READS: [&str; 5] = ["SELECT", "SHOW VIEW", "EXECUTE", "LOCK TABLES", "CREATE TEMPORARY TABLES"];

/// One statement that does `steps` if `condition` holds for the row, alone among all that change these rights.
fn alone(frozen: &Frozen, condition: &str, steps: &[String]) -> String {
    alone_with("", frozen, condition, steps)
}

fn alone_with(handler: &str, frozen: &Frozen, condition: &str, steps: &[String]) -> String {
    let lock =
        literal(&format!("tenantry/{:016x}/rights", lock_number(&format!("{}/{}", frozen.owner, frozen.number))));
    let steps: String = steps.iter().map(|s| format!("{s}; ")).collect();
    format!(
        "BEGIN NOT ATOMIC DECLARE fits INT DEFAULT 0; {handler}\
         IF GET_LOCK({lock}, 10) <=> 1 THEN \
         SELECT count(*) INTO fits FROM {} WHERE {condition}; \
         IF fits = 1 THEN {steps}END IF; \
         DO RELEASE_LOCK({lock}); \
         ELSE SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = 1205, MESSAGE_TEXT = 'another process changes these rights'; \
         END IF; END",
        ROWS.table()
    )
}

fn update(frozen: &Frozen, set: &str) -> String {
    let of = ROWS.of(&frozen.owner, frozen.number);
    format!("UPDATE {} SET {set}, updated_at = {} WHERE {of}", ROWS.table(), ROWS.now())
}

pub(super) async fn take(session: &mut Session, frozen: &Frozen, token: Token) -> Result<bool> {
    let of = ROWS.of(&frozen.owner, frozen.number);
    let may = format!(
        "{of} AND standing = 'current' AND {} AND released < {token} AND COALESCE(taken, 0) <= {token}",
        ROWS.held(token)
    );
    let has_none = format!("{may} AND taken IS NULL AND rights IS NULL");
    if ROWS.holds(session, "rights are whole", &has_none).await? {
        let record = record(session, frozen).await?.join("\n");
        ROWS.update(session, "record rights", &format!("rights = {}", literal(&record)), &has_none).await?;
    }
    let Some(record) = recorded(session, frozen).await? else { return Ok(false) };
    let owned = account(&frozen.role);
    let mut steps = vec![format!("REVOKE ALL PRIVILEGES, GRANT OPTION FROM {owned}")];
    let keeps = keeps(&record, frozen);
    if !keeps.is_empty() {
        let place = grant_pattern(&frozen.database);
        steps.push(format!("GRANT {} ON {place}.* TO {owned}", keeps.join(", ")));
    }
    steps.push(update(frozen, &format!("taken = {token}")));
    let same = format!("{may} AND rights = {}", literal(&record));
    session.run("take rights", alone(frozen, &same, &steps)).await?;
    ROWS.holds(session, "rights are taken", &format!("{of} AND standing = 'current' AND taken = {token}")).await
}

pub(super) async fn give_back(session: &mut Session, frozen: &Frozen, token: Token) -> Result<bool> {
    let of = ROWS.of(&frozen.owner, frozen.number);
    if let Some(record) = recorded(session, frozen).await? {
        let fits = format!(
            "{of} AND standing = 'current' AND COALESCE(taken, 0) = {token} AND rights = {} \
             AND NOT (is_frozen AND token = {token})",
            literal(&record)
        );
        // What an administrator granted meanwhile stays, and is added to the record.
        let mut steps: Vec<String> = record.lines().map(str::to_owned).collect();
        let set = format!("taken = NULL, rights = NULL, released = GREATEST(released, {token})");
        steps.push(update(frozen, &set));
        // A table, routine or column that is gone meanwhile has no rights that could be given back.
        let gone = "DECLARE CONTINUE HANDLER FOR 1146, 1305, 1054 BEGIN END; ";
        session.run("give rights back", alone_with(gone, frozen, &fits, &steps)).await?;
    }
    ROWS.holds(session, "rights are given back", &format!("{of} AND taken IS NULL AND rights IS NULL")).await
}

pub(super) async fn lock(session: &mut Session, frozen: &Frozen) -> Result<bool> {
    let retired = format!("{} AND standing = 'retired'", ROWS.of(&frozen.owner, frozen.number));
    let step = format!("ALTER USER {} ACCOUNT LOCK", account(&frozen.role));
    session.run("lock retired role", alone(frozen, &retired, &[step])).await?;
    if !ROWS.holds(session, "generation is retired", &retired).await? {
        return Ok(false);
    }
    end_sessions(session, &frozen.role).await?;
    Ok(true)
}

pub(super) async fn unlock(session: &mut Session, frozen: &Frozen) -> Result<bool> {
    let current = format!("{} AND standing = 'current'", ROWS.of(&frozen.owner, frozen.number));
    let step = format!("ALTER USER {} ACCOUNT UNLOCK", account(&frozen.role));
    session.run("unlock current role", alone(frozen, &current, &[step])).await?;
    ROWS.holds(session, "generation is current", &current).await
}

/// Ends the sessions that were open when the rights were taken: a session keeps the rights with which it entered its
/// database. Sessions that come later have what is left.
pub(super) async fn end_writers(session: &mut Session, frozen: &Frozen) -> Result<()> {
    end_sessions(session, &frozen.role).await?;
    if !session.run("prepared transactions", "XA RECOVER").await?.is_empty() {
        let why = "the server holds prepared transactions (XA RECOVER), and any of them may be of this database; end them with XA COMMIT or XA ROLLBACK".into();
        return Err(Error::State { name: frozen.database.clone(), state: "written to".into(), why });
    }
    // The print knows the time of a write by the second: a write that comes now must not share it with one before.
    session.run("next second", "DO SLEEP(1 - MICROSECOND(NOW(6)) / 1000000)").await.map(drop)
}

async fn end_sessions(session: &mut Session, role: &str) -> Result<()> {
    let of_role = format!("FROM information_schema.PROCESSLIST WHERE USER = {}", literal(role));
    let open = session.run("sessions of role", format!("SELECT ID {of_role}")).await?;
    let ids: Vec<String> = open.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect();
    if ids.is_empty() {
        return Ok(());
    }
    for id in &ids {
        let id: u64 = crate::registry::number("session", Some(id.clone()))?;
        match session.attempt("end session of role", format!("KILL HARD CONNECTION {id}")).await {
            // It has ended by itself.
            Err(Error::Server { code, .. }) if code == "1094" => {}
            other => drop(other?),
        }
    }
    let left = format!("SELECT count(*) > 0 {of_role} AND ID IN ({})", ids.join(", "));
    session.wait_until_no("sessions of role are gone", &left).await
}

/// The server's own notes about tables and routines: when each was last written to, and when it was last changed.
pub(super) async fn print(session: &mut Session, frozen: &Frozen) -> Result<String> {
    let name = literal(&frozen.database);
    let sql = format!(
        "SELECT CONCAT_WS(':', \
         (SELECT CONCAT_WS('/', COUNT(*), SUM(CRC32(CONCAT_WS('|', TABLE_NAME, TABLE_TYPE, CREATE_TIME, UPDATE_TIME, AUTO_INCREMENT)))) \
          FROM information_schema.TABLES WHERE TABLE_SCHEMA = {name}), \
         (SELECT CONCAT_WS('/', COUNT(*), SUM(CRC32(CONCAT_WS('|', ROUTINE_NAME, ROUTINE_TYPE, LAST_ALTERED)))) \
          FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = {name}), \
         (SELECT COUNT(*) FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = {name}))"
    );
    Ok(session.text("print of what is frozen", sql).await?.unwrap_or_default())
}

async fn recorded(session: &mut Session, frozen: &Frozen) -> Result<Option<String>> {
    let of = ROWS.of(&frozen.owner, frozen.number);
    session.text("recorded rights", format!("SELECT rights FROM {} WHERE {of}", ROWS.table())).await
}

/// The statements that give an account the rights that it has now.
///
/// # Errors
/// [`Error::State`] for rights that reach beyond its database: such an account cannot be frozen.
async fn record(session: &mut Session, frozen: &Frozen) -> Result<Vec<String>> {
    let shown = session.run("rights of role", format!("SHOW GRANTS FOR {}", account(&frozen.role))).await?;
    let lines: Vec<String> = shown.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect();
    rights_of(&lines, frozen).map_err(|why| Error::State {
        name: frozen.database.clone(),
        state: "not frozen".into(),
        why,
    })
}

/// The lines of `SHOW GRANTS` that are about the database.
fn rights_of(lines: &[String], frozen: &Frozen) -> Result<Vec<String>, String> {
    let (pattern, plain) = (grant_pattern(&frozen.database), ident(Engine::Mariadb, &frozen.database));
    let mut rights = Vec::new();
    for line in lines {
        if line.starts_with("GRANT USAGE ON *.* ") && !line.ends_with("WITH GRANT OPTION") {
            // The account itself, with its password. It is not touched.
            continue;
        }
        let place = line.split_once(" ON ").map(|(_, rest)| {
            let rest = rest.trim_start_matches("PROCEDURE ").trim_start_matches("FUNCTION ");
            rest.trim_start_matches("PACKAGE BODY ").trim_start_matches("PACKAGE ")
        });
        let inside = |name: &str| place.is_some_and(|p| p.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')));
        if !inside(&pattern) && !inside(&plain) {
            let what = line.split(" TO ").next().unwrap_or_default().chars().take(200).collect::<String>();
            return Err(format!(
                "its account {} has rights beyond it ({what:?}), which a freeze cannot take; revoke them",
                frozen.role
            ));
        }
        rights.push(line.clone());
    }
    Ok(rights)
}

/// What an account keeps of the rights on its whole database.
fn keeps(record: &str, frozen: &Frozen) -> Vec<&'static str> {
    let all = format!(" ON {}.* TO ", grant_pattern(&frozen.database));
    let Some(line) = record.lines().find(|l| l.contains(&all)) else { return Vec::new() };
    let had = line.split_once(" ON ").map_or("", |(had, _)| had).trim_start_matches("GRANT ");
    let had: Vec<&str> = had.split(", ").collect();
    READS.into_iter().filter(|r| had.contains(r) || had == ["ALL PRIVILEGES"]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frozen() -> Frozen {
        Frozen { owner: "instance/a".into(), number: 1, database: "crm_a".into(), role: "crm_a".into() }
    }

    fn lines(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|l| (*l).to_owned()).collect()
    }

    #[test]
    fn the_record_has_the_rights_in_the_database_and_no_password() {
        let shown = lines(&[
            "GRANT USAGE ON *.* TO `crm_a`@`%` IDENTIFIED BY PASSWORD '*AB' WITH MAX_USER_CONNECTIONS 9",
            r"GRANT SELECT, INSERT, LOCK TABLES ON `crm\_a`.* TO `crm_a`@`%`",
            "GRANT ALTER ROUTINE ON PROCEDURE `crm_a`.`p` TO `crm_a`@`%`",
            "GRANT DELETE ON `crm_a`.`t` TO `crm_a`@`%`",
        ]);
        let rights = rights_of(&shown, &frozen()).unwrap();
        assert_eq!(rights, shown[1..]);
        assert_eq!(keeps(&rights.join("\n"), &frozen()), ["SELECT", "LOCK TABLES"]);
        let all = r"GRANT ALL PRIVILEGES ON `crm\_a`.* TO `crm_a`@`%` WITH GRANT OPTION";
        assert_eq!(keeps(all, &frozen()), READS);
    }

    #[test]
    fn rights_beyond_the_database_are_refused() {
        for line in [
            "GRANT FILE ON *.* TO `crm_a`@`%` IDENTIFIED BY PASSWORD '*AB'",
            "GRANT `writers` TO `crm_a`@`%`",
            r"GRANT SELECT ON `crm\_ab`.* TO `crm_a`@`%`",
        ] {
            let why = rights_of(&lines(&[line]), &frozen()).unwrap_err();
            assert!(why.contains("revoke them") && !why.contains("PASSWORD"), "{why}");
        }
    }
}
