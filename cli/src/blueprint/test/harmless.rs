//! What a copy for staging says of itself once it runs, and what that proves. No I/O.

use tenantry_api::blueprint::Neutralisation;

use super::points::Verdict;
use super::seats::{MARK, answers, complaint};
use crate::output::text::count;

/// The statements of `verifySql` as questions. The operator asked them before anything started; the processes that
/// start may make them false again.
pub fn questions(stated: &Neutralisation) -> Vec<String> {
    let plain = stated.verify_sql.iter().map(|sql| sql.trim().trim_end_matches(';'));
    plain.enumerate().map(|(i, sql)| format!("SELECT '{MARK}harmless{i}', answer.* FROM ({sql}) AS answer")).collect()
}

/// Whether the running copy is as harmless as before the start. `said` is what the operator reported before the start.
pub fn judge(stated: &Neutralisation, said: &str, output: &str) -> Verdict {
    let holds = |i: &usize| {
        let found = answers(output, &format!("harmless{i}"));
        found.len() == 1 && ["t", "true", "1"].contains(&found[0].to_ascii_lowercase().as_str())
    };
    let all = stated.verify_sql.len();
    let wrong: Vec<String> = (0..all).filter(|i| !holds(i)).map(|i| format!("verifySql[{i}]")).collect();
    if !wrong.is_empty() {
        let why = "it was neutralised before its first process started, and now that it runs";
        return Verdict::Failed(format!("{why} {} does not hold{}", wrong.join(", "), complaint(output)));
    }
    Verdict::Passed(match all {
        0 => format!("before its first process started: {said}; the blueprint states no `verifySql` that proves it"),
        all => format!("before its first process started: {said}; {} hold while it runs", count(all, "statement")),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn stated(sql: &[&str]) -> Neutralisation {
        serde_json::from_value(json!({"steps": [{"name": "a", "sql": "DELETE FROM mail"}], "verifySql": sql})).unwrap()
    }

    #[test]
    fn what_started_may_have_undone_what_was_done_before() {
        let two = stated(&["SELECT NOT EXISTS (SELECT 1 FROM mail);", "SELECT true"]);
        let asked = questions(&two);
        assert_eq!(
            asked[0],
            "SELECT 'tenantry:harmless0', answer.* FROM (SELECT NOT EXISTS (SELECT 1 FROM mail)) AS answer"
        );
        for (output, passes) in [
            ("tenantry:harmless0|t\ntenantry:harmless1|t\n", true),
            ("tenantry:harmless0\t1\ntenantry:harmless1\t1\n", true),
            ("tenantry:harmless0|f\ntenantry:harmless1|t\n", false),
            ("tenantry:harmless0|t\n", false),
            ("tenantry:harmless0|t\ntenantry:harmless0|t\ntenantry:harmless1|t\n", false),
            ("ERROR:  relation \"mail\" does not exist\ntenantry:harmless1|t\n", false),
        ] {
            assert_eq!(matches!(judge(&two, "done", output), Verdict::Passed(_)), passes, "{output}");
        }
        let Verdict::Passed(said) = judge(&stated(&[]), "done", "") else { panic!("nothing was stated") };
        assert!(said.contains("no `verifySql`"), "{said}");
    }
}
