//! `tenantry-agent run` and `install-to` with real child processes. Does I/O.
// Helpers and closures of tests, which the lint does not take for tests.
#![allow(clippy::unwrap_used)]

mod common;

use std::process::Output;

use common::{Folder, agent, alive, eventually, finish, messages, reports, signal};
use serde_json::{Value, json};

fn step(name: &str, script: &str) -> Value {
    json!({"name": name, "command": ["sh", "-c", script], "timeoutSeconds": 60})
}

fn job(folder: &Folder, steps: Value, extra: Value) -> std::process::Command {
    let mut file = json!({"timeoutSeconds": 120, "steps": steps});
    for (key, value) in extra.as_object().unwrap() {
        file[key] = value.clone();
    }
    let path = folder.file("steps.json", &file.to_string());
    agent(folder, &["run", "--file", path.to_str().unwrap()])
}

fn run(folder: &Folder, steps: Value, extra: Value) -> Output {
    finish(job(folder, steps, extra).spawn().unwrap())
}

#[test]
fn steps_run_in_order_with_their_environment_folder_and_input() {
    let folder = Folder::new();
    let mut first = step("first", "pwd; echo \"$WHO\"; cat; echo oops >&2");
    first["env"] = json!({"WHO": "me"});
    first["stdin"] = json!("line one\nline two\n");
    first["workingDir"] = json!("/");
    let done = run(&folder, json!([first, step("second", "echo done")]), json!({}));
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stdout));
    let all = reports(&done.stdout);
    let mut said = messages(&all, "output");
    said.sort();
    assert_eq!(said, ["/", "done", "line one", "line two", "me", "oops"]);
    let ends: Vec<&str> =
        all.iter().filter(|r| r["event"] == "finished").map(|r| r["step"].as_str().unwrap()).collect();
    assert_eq!(ends, ["first", "second", ""]);
    assert!(all.windows(2).all(|w| w[0]["atMs"].as_u64() <= w[1]["atMs"].as_u64()));
}

#[test]
fn a_failed_step_ends_the_run_and_leaves_its_last_words() {
    let folder = Folder::new();
    let words = folder.file("termination.log", "");
    let done = run(&folder, json!([step("a", "echo why >&2; exit 7"), step("b", "echo never")]), json!({}));
    assert_eq!(done.status.code(), Some(1));
    let all = reports(&done.stdout);
    assert_eq!(all.last().unwrap()["message"], "step a: exit code 7; last output: why");
    assert!(all.iter().all(|r| r["step"] != "b"));
    assert_eq!(std::fs::read_to_string(words).unwrap(), "step a: exit code 7; last output: why");
    assert_eq!(
        tenantry_core::progress::last_failure(&String::from_utf8(done.stdout).unwrap()).unwrap().message,
        "step a: exit code 7; last output: why"
    );
}

#[test]
fn without_a_termination_log_none_is_made() {
    let folder = Folder::new();
    assert_eq!(run(&folder, json!([step("a", "exit 1")]), json!({})).status.code(), Some(1));
    assert!(!folder.path("termination.log").exists());
}

#[test]
fn a_step_beyond_its_time_is_killed_with_its_grandchildren() {
    let folder = Folder::new();
    let pids = folder.path("pids");
    let script = format!("sleep 300 & echo $! > {0}; (sleep 301 & echo $! >> {0}); wait", pids.display());
    let mut slow = step("slow", &script);
    slow["timeoutSeconds"] = json!(1);
    let done = run(&folder, json!([slow]), json!({}));
    assert_eq!(done.status.code(), Some(3));
    assert!(messages(&reports(&done.stdout), "timedOut")[0].starts_with("killed after its 1 seconds"));
    let pids = std::fs::read_to_string(pids).unwrap();
    assert_eq!(pids.lines().count(), 2);
    for pid in pids.lines() {
        eventually("the grandchild is gone", || !alive(pid));
    }
}

#[test]
fn the_time_of_the_whole_run_counts_as_well_and_a_deaf_step_is_killed() {
    let folder = Folder::new();
    let deaf = step("deaf", "trap '' TERM; echo deaf; while true; do sleep 1; done");
    let done = run(&folder, json!([deaf]), json!({"timeoutSeconds": 1}));
    assert_eq!(done.status.code(), Some(3));
    assert!(messages(&reports(&done.stdout), "timedOut")[0].contains("the whole run's 1 seconds"));
}

#[test]
fn a_process_left_behind_ends_with_its_step_and_does_not_hold_the_run_up() {
    let folder = Folder::new();
    let pid = folder.path("pid");
    let left = step("left", &format!("sleep 300 & echo $! > {}", pid.display()));
    let done = run(&folder, json!([left, step("next", "echo next")]), json!({}));
    assert_eq!(done.status.code(), Some(0));
    let pid = std::fs::read_to_string(pid).unwrap();
    eventually("the process left behind is gone", || !alive(pid.trim()));
}

#[test]
fn a_process_that_left_the_group_does_not_hold_the_run_up() {
    let folder = Folder::new();
    let pid = folder.path("pid");
    // setsid makes a group of its own, and the pipe stays open in it.
    let script = format!("setsid sh -c 'echo $$ > {}; exec sleep 40' & sleep 1", pid.display());
    let done = run(&folder, json!([step("escape", &script)]), json!({}));
    assert_eq!(done.status.code(), Some(0));
    let pid = std::fs::read_to_string(pid).unwrap();
    let _ = std::process::Command::new("kill").arg(pid.trim()).status();
}

#[test]
fn no_zombies_are_left_while_later_steps_run() {
    let folder = Folder::new();
    // Orphans come to the agent; the second step looks for zombies among the agent's children.
    let orphan = step("orphans", "for i in 1 2 3; do (setsid true &) ; done; sleep 0.3");
    let look = step(
        "look",
        "for s in /proc/[0-9]*/stat; do read -r l < $s || continue; set -- ${l##*) }; [ \"$1 $2\" = \"Z $PPID\" ] && echo zombie; done 2>/dev/null; true",
    );
    let done = run(&folder, json!([orphan, look]), json!({}));
    assert_eq!(done.status.code(), Some(0));
    assert_eq!(messages(&reports(&done.stdout), "output"), Vec::<String>::new());
}

#[test]
fn output_is_bounded_in_lines_and_length() {
    let folder = Folder::new();
    let long =
        "head -c 3000000 /dev/zero | tr '\\0' x; echo; i=0; while [ $i -lt 5000 ]; do echo line $i; i=$((i+1)); done";
    let done = run(&folder, json!([step("loud", long)]), json!({}));
    assert_eq!(done.status.code(), Some(0));
    let said = messages(&reports(&done.stdout), "output");
    assert!(said.len() <= 2_002, "{}", said.len());
    assert!(said.iter().all(|m| m.chars().count() <= tenantry_core::progress::MESSAGE_MAX));
    assert!(said[0].ends_with("(cut)"));
    assert_eq!(said.last().unwrap(), "5001 lines in all; the rest is not shown");
}

#[test]
fn secrets_are_hidden_wherever_the_chunks_break() {
    let folder = Folder::new();
    let secret = "s3cr3t-VALUE-0123456789";
    // In two writes, at the end of a line far longer than the limit, on stderr, in the message of the failure.
    let script = "printf 's3cr3t-VAL'; sleep 0.3; printf 'UE-0123456789\\n'; \
                  head -c 65530 /dev/zero | tr '\\0' ' '; printf \"$S\\n\"; i=0; while [ $i -lt 4000 ]; do printf \"$S\"; i=$((i+1)); done; \
                  echo; echo \"key: $S\" >&2; printf 'BEGIN KEY LINE\\nmore of the key\\n'; exit 3";
    let mut leak = step("leak", script);
    leak["env"] = json!({"S": secret});
    folder.file("termination.log", "");
    let done = run(&folder, json!([leak]), json!({"redact": [secret, "BEGIN KEY LINE\nmore of the key\n"]}));
    assert_eq!(done.status.code(), Some(1));
    let text = String::from_utf8(done.stdout).unwrap();
    let last = std::fs::read_to_string(folder.path("termination.log")).unwrap();
    for part in [secret, "s3cr3t", "VALUE-01", "BEGIN KEY LINE", "more of the key"] {
        assert!(!text.contains(part), "{part} in {text}");
        assert!(!last.contains(part), "{part} in {last}");
    }
    assert!(text.contains("key: ***"));
}

#[test]
fn output_that_means_failure_fails_a_step_that_exits_0() {
    let folder = Folder::new();
    let mut cron = step("cron", "echo fine; echo '[ERROR] no table'; echo more");
    cron["failOnOutput"] = json!(r"\[ERROR\]");
    let done = run(&folder, json!([cron]), json!({}));
    assert_eq!(done.status.code(), Some(1));
    assert_eq!(messages(&reports(&done.stdout), "failed")[0], "its output means failure: [ERROR] no table");
}

#[test]
fn sigterm_is_passed_on_and_ends_the_run() {
    let folder = Folder::new();
    let mark = folder.path("mark");
    let script = format!("trap 'echo bye; exit 0' TERM; touch {}; while true; do sleep 0.1; done", mark.display());
    let child = job(&folder, json!([step("wait", &script), step("never", "echo never")]), json!({})).spawn().unwrap();
    eventually("the step has begun", || mark.exists());
    signal(&child, "TERM");
    let done = finish(child);
    assert_eq!(done.status.code(), Some(143));
    let all = reports(&done.stdout);
    // The whole group is told: the shell also says that its sleep was terminated.
    assert!(messages(&all, "output").contains(&"bye".to_owned()));
    let last = all.last().unwrap()["message"].as_str().unwrap();
    assert!(last.starts_with("step wait: stopped by SIGTERM; last output: "), "{last}");
}

#[test]
fn bad_files_are_refused_without_repeating_their_content() {
    let folder = Folder::new();
    let whole = json!({"timeoutSeconds": 1, "steps": [step("a", "true")]});
    let mut bad = vec!["{".to_owned(), r#"{"timeoutSeconds": "hunter22", "steps": []}"#.to_owned()];
    for (pointer, value) in [
        ("/steps", json!([])),
        ("/timeoutSeconds", json!(0)),
        ("/steps/0/command", json!([])),
        ("/steps/0/timeoutSeconds", json!(0)),
    ] {
        let mut file = whole.clone();
        *file.pointer_mut(pointer).unwrap() = value;
        bad.push(file.to_string());
    }
    let mut regex = whole.clone();
    regex["steps"][0]["failOnOutput"] = json!("(");
    bad.push(regex.to_string());
    for text in bad {
        let path = folder.file("steps.json", &text);
        let done = finish(agent(&folder, &["run", "--file", path.to_str().unwrap()]).spawn().unwrap());
        assert_eq!(done.status.code(), Some(2), "{text}");
        let said = String::from_utf8(done.stdout).unwrap();
        assert!(!said.contains("hunter22") && said.contains("\"failed\""), "{said}");
    }
    let done = finish(agent(&folder, &["run", "--file", "/nonexistent"]).spawn().unwrap());
    assert_eq!(done.status.code(), Some(2));
}

#[test]
fn a_program_that_does_not_exist_fails_with_its_reason() {
    let folder = Folder::new();
    let done = run(&folder, json!([{"name": "a", "command": ["/no/such"], "timeoutSeconds": 5}]), json!({}));
    assert_eq!(done.status.code(), Some(1));
    assert!(messages(&reports(&done.stdout), "failed")[0].starts_with("cannot be started: No such file"));
}

#[test]
fn the_copy_of_the_agent_runs() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let dir = folder.path("new/dir");
    for _ in 0..2 {
        let done = std::process::Command::new(common::AGENT).arg("install-to").arg(&dir).status().unwrap();
        assert!(done.success());
    }
    let copy = dir.join("tenantry-agent");
    assert_eq!(std::fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o755);
    assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 1);
    assert!(std::process::Command::new(&copy).arg("--version").status().unwrap().success());
    let refused = std::process::Command::new(common::AGENT).args(["install-to", "/proc/nope"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
}
