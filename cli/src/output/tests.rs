//! Tests of tables, pages and texts. No I/O.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use super::page::Page;
use super::paint::Paint;
use super::table::Table;
use super::{document, text};

fn table() -> Table {
    let mut table = Table::new(&["NAME", "STATE", "URL"]);
    table.row(vec!["acme".into(), "Ready".into(), "https://crm.acme.example.vn/a/very/long/path/indeed".into()]);
    table.row(vec!["công-ty-đông-á".into(), "Failed".into(), String::new()]);
    table
}

#[test]
fn a_table_in_a_pipe_is_never_shortened() {
    insta::assert_snapshot!(table().render(&Paint::default(), None));
}

#[test]
fn a_table_on_a_narrow_terminal_keeps_its_columns_and_shortens_in_the_middle() {
    let text = table().render(&Paint::default(), Some(40));
    assert!(text.lines().all(|l| text::width(l) <= 40), "{text}");
    insta::assert_snapshot!(text);
}

#[test]
fn colours_are_there_only_when_asked_for() {
    assert!(!table().render(&Paint::new(false), None).contains('\u{1b}'));
    assert!(table().render(&Paint::new(true), None).contains("\u{1b}[32mReady"));
}

#[test]
fn texts_from_the_cluster_cannot_control_the_terminal() {
    let mut table = Table::new(&["NAME"]);
    table.row(vec!["a\u{1b}[2Jb\nc".into()]);
    assert_eq!(table.render(&Paint::default(), None), "NAME\na [2Jb c");
    assert!(!Page::new("x\u{1b}]0;y").render(&Paint::default(), None).contains('\u{1b}'));
}

#[test]
fn texts_are_shortened_in_the_middle() {
    for (given, columns, wanted) in
        [("short", 10, "short"), ("abcdefghij", 7, "abc…hij"), ("abcdefghij", 6, "ab…hij"), ("abcdefghij", 2, "…")]
    {
        assert_eq!(text::shorten(given, columns), wanted, "{given} {columns}");
    }
}

#[test]
fn durations_and_ages_are_for_people() {
    for (seconds, wanted) in [
        (0.41, "0.4 s"),
        (9.96, "10.0 s"),
        (41.0, "41 s"),
        (160.0, "2 min 40 s"),
        (120.0, "2 min"),
        (3_900.0, "1 h 5 min"),
        (100_000.0, "1 d 3 h"),
    ] {
        assert_eq!(text::duration(Duration::from_secs_f64(seconds)), wanted);
    }
    let now = Timestamp::from_second(1_000_000).unwrap();
    let at = |ago: i64| Timestamp::from_second(1_000_000 - ago).unwrap();
    assert_eq!(text::relative(at(30), now), "30 s ago");
    assert_eq!(text::relative(at(3 * 3_600), now), "3 h ago");
    assert_eq!(text::relative(at(-90 * 86_400), now), "in 90 d");
    assert_eq!(text::relative_text("nonsense", now), "nonsense");
}

#[test]
fn documents_carry_no_bookkeeping() {
    let object = json!({"items": [{"metadata": {"name": "a", "managedFields": [1]}}]});
    assert!(!document::json(&object).unwrap().contains("managedFields"));
    assert_eq!(document::yaml(&json!({"a": 1})).unwrap(), "a: 1\n");
}
