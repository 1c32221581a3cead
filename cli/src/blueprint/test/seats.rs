//! What a blueprint says of its tables, as questions in SQL, and what the answers prove. No I/O.

use tenantry_api::blueprint::BlueprintSpec;
use tenantry_api::database_server::Engine;

use super::points::Verdict;

/// Starts every line that is an answer; all other lines come from the client itself.
pub const MARK: &str = "tenantry:";
/// Alias of the row in a condition.
const ROW: &str = "seat_row";

/// The questions of a blueprint, one statement for each. The statements only read.
pub fn questions(spec: &BlueprintSpec) -> Vec<String> {
    let mut all = Vec::new();
    if let Some(seats) = &spec.seats {
        let count = seats.count_sql.trim().trim_end_matches(';');
        all.push(format!("SELECT '{MARK}count', answer.* FROM ({count}) AS answer"));
        for (i, table) in seats.tables.iter().enumerate() {
            let condition = table.active_when.replace("{row}", ROW);
            let name = &table.table;
            all.push(format!("SELECT '{MARK}table{i}', count(*) FROM {name} AS {ROW} WHERE ({condition})"));
        }
    }
    let names: Vec<String> = writable(spec).iter().filter(|n| is_plain(n)).map(|n| format!("'{n}'")).collect();
    if !names.is_empty() {
        let list = names.join(", ");
        all.push(format!(
            "SELECT DISTINCT '{MARK}has', table_name FROM information_schema.tables WHERE table_name IN ({list})"
        ));
    }
    all
}

/// The client's command line: each statement on its own, one answer a line, read-only. The password comes from the
/// environment.
pub fn command(engine: Engine, questions: &[String]) -> Vec<String> {
    let words = |all: &[&str]| all.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
    match engine {
        // Without ON_ERROR_STOP a question that fails does not hide the others.
        Engine::Postgresql => {
            let mut line = words(&["psql", "-X", "-A", "-t", "-q", "-w", "-F", "|"]);
            line.extend(questions.iter().flat_map(|q| ["-c".to_owned(), q.clone()]));
            line
        }
        Engine::Mariadb => {
            let mut line = words(&["mariadb", "--no-defaults", "--batch", "--skip-column-names", "--force"]);
            line.extend(words(&[
                "--host=$(DB_HOST)",
                "--port=$(DB_PORT)",
                "--user=$(DB_USER)",
                "--database=$(DB_NAME)",
            ]));
            let begin = "SET SESSION TRANSACTION READ ONLY; SET SESSION max_statement_time = 60";
            line.push(format!("--execute={begin}; {}", questions.join("; ")));
            line
        }
    }
}

/// Tables that must stay writable, without their schema.
fn writable(spec: &BlueprintSpec) -> Vec<&str> {
    let tables = spec.read_only.iter().flat_map(|r| &r.writable_tables);
    tables.map(|t| t.rsplit('.').next().unwrap_or(t)).collect()
}

fn is_plain(name: &str) -> bool {
    name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '$'))
}

/// The values of the lines that answer a question.
pub fn answers<'a>(output: &'a str, word: &str) -> Vec<&'a str> {
    let lines = output.lines().filter_map(|line| line.trim().strip_prefix(MARK));
    lines.filter_map(|line| line.split_once(['|', '\t'])).filter(|(w, _)| *w == word).map(|(_, v)| v.trim()).collect()
}

/// What the client complained about.
pub fn complaint(output: &str) -> String {
    let found = output.lines().map(str::trim).find(|l| l.contains("ERROR") || l.contains("error:"));
    found.map(|l| format!(": {l}")).unwrap_or_default()
}

fn number(output: &str, word: &str, what: &str) -> Result<u64, String> {
    match answers(output, word).as_slice() {
        [] => Err(format!("{what} gives nothing{}", complaint(output))),
        [one] => one.parse().map_err(|_| format!("{what} gives {one:?}, which is no number")),
        several => Err(format!("{what} gives {} rows instead of one", several.len())),
    }
}

/// Whether seats can be counted, and all conditions give the same count.
pub fn seats(spec: &BlueprintSpec, output: &str) -> Verdict {
    let Some(seats) = &spec.seats else {
        return Verdict::NotStated("the blueprint has no `seats`: users cannot be counted or refused".into());
    };
    let total = match number(output, "count", "countSql") {
        Ok(total) => total,
        Err(why) => return Verdict::Failed(why),
    };
    let mut wrong = Vec::new();
    for (i, table) in seats.tables.iter().enumerate() {
        let what = format!("activeWhen of {}", table.table);
        match number(output, &format!("table{i}"), &what) {
            Ok(same) if same == total => {}
            Ok(other) => wrong.push(format!("{what} counts {other}, countSql {total}")),
            Err(why) => wrong.push(why),
        }
    }
    if wrong.is_empty() {
        Verdict::Passed(format!("{total} active, by countSql and by activeWhen alike"))
    } else {
        Verdict::Failed(wrong.join("; "))
    }
}

/// Whether the tables that must stay writable exist.
pub fn read_only(spec: &BlueprintSpec, output: &str) -> Verdict {
    if spec.read_only.is_none() {
        return Verdict::NotStated("the blueprint has no `readOnly`".into());
    }
    let wanted = writable(spec);
    if wanted.is_empty() {
        return Verdict::Passed("no table stays writable".into());
    }
    let found: Vec<String> = answers(output, "has").iter().map(|t| t.to_ascii_lowercase()).collect();
    let missing: Vec<&str> = wanted.iter().copied().filter(|t| !found.contains(&t.to_ascii_lowercase())).collect();
    match (missing.len(), wanted.len()) {
        (0, all) => Verdict::Passed(format!("all {all} tables of writableTables exist")),
        (none, all) if none == all => {
            Verdict::Failed(format!("none of the {all} tables of writableTables exists{}", complaint(output)))
        }
        (some, all) => Verdict::Passed(format!(
            "{} of {all} tables of writableTables exist; not in this release: {}",
            all - some,
            missing.join(", ")
        )),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec() -> BlueprintSpec {
        serde_json::from_value(json!({
            "title": "Demo", "releases": [{"version": "1", "image": "demo:1"}],
            "database": {"engines": [{"engine": "postgresql"}]},
            "processes": [{"name": "web", "port": 80, "serves": true}],
            "seats": {"countSql": "SELECT count(*) FROM users WHERE active;",
                      "tables": [{"table": "users", "activeWhen": "{row}.active AND {row}.id <> 0"}]},
            "readOnly": {"writableTables": ["sessions", "public.log", "x'; DROP TABLE users; --"]},
        }))
        .unwrap()
    }

    #[test]
    fn the_questions_name_the_row_and_only_plain_tables() {
        let all = questions(&spec());
        assert_eq!(
            all[0],
            "SELECT 'tenantry:count', answer.* FROM (SELECT count(*) FROM users WHERE active) AS answer"
        );
        assert_eq!(
            all[1],
            "SELECT 'tenantry:table0', count(*) FROM users AS seat_row WHERE (seat_row.active AND seat_row.id <> 0)"
        );
        assert!(all[2].ends_with("table_name IN ('sessions', 'log')"), "{}", all[2]);
    }

    #[test]
    fn a_condition_that_counts_otherwise_is_found() {
        for (output, word, reason) in [
            ("tenantry:count|3\ntenantry:table0|3\n", "passed", "3 active"),
            ("tenantry:count\t3\ntenantry:table0\t3\n", "passed", "3 active"),
            ("tenantry:count|3\ntenantry:table0|4\n", "failed", "counts 4, countSql 3"),
            ("tenantry:count|3\ntenantry:count|1\ntenantry:table0|3\n", "failed", "2 rows"),
            ("tenantry:count|t\ntenantry:table0|3\n", "failed", "no number"),
            ("tenantry:count|3|4\ntenantry:table0|3\n", "failed", "no number"),
            ("ERROR:  relation \"users\" does not exist\n", "failed", "relation \"users\""),
        ] {
            let verdict = seats(&spec(), output);
            assert_eq!(verdict.word(), word, "{output}");
            assert!(verdict.reason().contains(reason), "{output}: {}", verdict.reason());
        }
    }

    #[test]
    fn tables_of_another_release_are_named_and_none_at_all_is_a_failure() {
        let verdict = read_only(&spec(), "tenantry:has|SESSIONS\n");
        assert_eq!(verdict.word(), "passed");
        assert!(verdict.reason().contains("1 of 3") && verdict.reason().contains("log"), "{}", verdict.reason());
        assert_eq!(read_only(&spec(), "").word(), "failed");
    }

    #[test]
    fn no_password_stands_in_the_clients_command_line() {
        for engine in Engine::ALL {
            assert!(command(engine, &questions(&spec())).iter().all(|w| !w.contains("PASS") && !w.contains("PWD")));
        }
    }
}
