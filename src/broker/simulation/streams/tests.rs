//! Seeds that are run.

use super::super::tests::{number, seeds};
use super::checker::Seen;
use super::{Broken, run};

/// Runs a seed, and shows what happened when something is wrong.
fn check(seed: u64) -> Seen {
    let seen = run(seed, None);
    if !seen.violations.is_empty() {
        panic!("SIMULATION_SEED={seed}: {:#?}", seen.violations);
    }
    seen
}

#[test]
fn nothing_confirmed_is_lost_written_twice_or_read_differently_whatever_fails() {
    if let Some(seed) = number("SIMULATION_SEED") {
        // Its story is told as it happens.
        check(seed);
        return;
    }
    let seeds = seeds(60);
    let seen: Vec<Seen> = seeds.map(check).collect();
    let confirmed: usize = seen.iter().map(|seen| seen.confirmed).sum();
    let read: usize = seen.iter().map(|seen| seen.read).sum();
    println!("{confirmed} messages were confirmed, {read} offsets were read");
    assert!(confirmed > 50 * seen.len() && read > 50 * seen.len(), "much goes well");
}

#[test]
fn a_seed_runs_again_as_it_ran() {
    for seed in 0..3 {
        assert_eq!(run(seed, None), run(seed, None));
    }
}

/// Some seed shows that the rule is broken.
fn is_found_out(broken: Broken) {
    let found = (0..200).find_map(|seed| {
        let violations = run(seed, Some(broken)).violations;
        Some((seed, violations.first()?.clone()))
    });
    println!("{broken:?} is found out by {found:?}");
    assert!(found.is_some(), "{broken:?} is not found out");
}

#[test]
fn committing_what_nobody_else_has_is_found_out() {
    is_found_out(Broken::Majority);
}

#[test]
fn telling_that_something_is_synced_before_it_is_is_found_out() {
    is_found_out(Broken::Sync);
}

#[test]
fn a_log_that_forgets_what_is_not_synced_elsewhere_is_found_out() {
    is_found_out(Broken::Files);
}

#[test]
fn a_leader_that_does_not_know_publishers_is_found_out() {
    is_found_out(Broken::Producers);
}

#[test]
fn a_vote_of_a_member_that_has_lost_everything_is_found_out() {
    is_found_out(Broken::Shut);
}
