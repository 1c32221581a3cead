//! Turns: limit how many CRMs restart at once after a change that is not their own, such as of the Site. No I/O.

use std::collections::{HashSet, VecDeque};
use std::sync::Mutex;

use kube::runtime::reflector::ObjectRef;
use tenantry_api::crm_instance::CrmInstance;

/// An instance, by uid, and how to wake it.
pub type Who = (String, ObjectRef<CrmInstance>);

/// Which instances have a turn, and which stand in line for one. An instance that has a turn also notes that in its
/// status, so that the next process knows it.
#[derive(Debug, Default)]
pub struct Turns(Mutex<Line>);

#[derive(Debug, Default)]
struct Line {
    /// Whether it is known which instances had a turn when this process started.
    known: bool,
    most: usize,
    have: HashSet<String>,
    wait: VecDeque<Who>,
}

impl Line {
    /// Gives free turns to the instances that have waited longest.
    fn next(&mut self) -> Vec<Who> {
        let mut called = Vec::new();
        while self.have.len() < self.most
            && let Some(who) = self.wait.pop_front()
        {
            self.have.insert(who.0.clone());
            called.push(who);
        }
        called
    }
}

impl Turns {
    fn line(&self) -> std::sync::MutexGuard<'_, Line> {
        // A panic elsewhere leaves the line intact: every change is one insert or remove.
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Whether it is known which instances had a turn when this process started.
    #[must_use]
    pub fn are_known(&self) -> bool {
        self.line().known
    }

    /// Notes the instances that had a turn when this process started.
    pub fn known(&self, uids: impl IntoIterator<Item = String>) {
        let mut line = self.line();
        // Only the first answer counts: another pass of this process may have given one of these turns back meanwhile.
        if !line.known {
            line.have.extend(uids);
            line.known = true;
        }
    }

    /// Takes a turn if a turn is free and no other instance has waited longer. Otherwise the instance stands in line.
    pub fn take(&self, who: Who, most: usize) -> bool {
        let mut line = self.line();
        line.most = most;
        if line.have.contains(&who.0) {
            return true;
        }
        if line.wait.is_empty() && line.have.len() < most {
            line.have.insert(who.0);
            return true;
        }
        if !line.wait.iter().any(|(uid, _)| *uid == who.0) {
            line.wait.push_back(who);
        }
        false
    }

    /// Remembers a turn that was taken by an earlier process.
    pub fn keep(&self, uid: &str) {
        self.line().have.insert(uid.to_owned());
    }

    /// The instance needs no turn, or no longer needs its turn. Returns the instances whose turn it is now.
    #[must_use]
    pub fn leave(&self, uid: &str) -> Vec<Who> {
        let mut line = self.line();
        line.have.remove(uid);
        line.wait.retain(|(waits, _)| waits != uid);
        line.next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(uid: &str) -> Who {
        (uid.to_owned(), ObjectRef::new(uid).within("tenant-kabcdefghi"))
    }

    fn names(called: Vec<Who>) -> Vec<String> {
        called.into_iter().map(|(uid, _)| uid).collect()
    }

    #[test]
    fn no_more_than_the_bound_have_a_turn_and_the_others_follow_one_by_one_in_order() {
        let turns = Turns::default();
        assert!(turns.take(who("a"), 2) && turns.take(who("b"), 2));
        assert!(!turns.take(who("c"), 2) && !turns.take(who("d"), 2) && !turns.take(who("c"), 2));
        assert!(turns.take(who("a"), 2), "it has one");
        assert_eq!(names(turns.leave("a")), ["c"]);
        assert!(turns.take(who("c"), 2) && !turns.take(who("d"), 2), "the one that was called has it");
        assert!(!turns.take(who("e"), 2));
        assert!(names(turns.leave("d")).is_empty(), "it had none and needs none any more");
        assert_eq!(names(turns.leave("b")), ["e"]);
        assert!(names(turns.leave("c")).is_empty());
        assert!(names(turns.leave("c")).is_empty(), "twice is once");
        assert!(turns.take(who("f"), 2));
    }

    #[test]
    fn turns_of_an_earlier_process_count_until_they_are_given_back() {
        let turns = Turns::default();
        assert!(!turns.are_known());
        turns.known(["a".to_owned(), "b".to_owned()]);
        turns.known(["x".to_owned()]);
        assert!(turns.are_known());
        assert!(!turns.take(who("c"), 1), "more are under way than there may be");
        assert!(names(turns.leave("a")).is_empty());
        assert_eq!(names(turns.leave("b")), ["c"]);
    }

    #[test]
    fn a_higher_bound_lets_more_go() {
        let turns = Turns::default();
        assert!(turns.take(who("a"), 1) && !turns.take(who("b"), 1) && !turns.take(who("c"), 1));
        assert!(!turns.take(who("d"), 3), "others have waited longer");
        assert_eq!(names(turns.leave("d")), ["b", "c"]);
    }
}
