//! Two hundred fixed seeds, and the proof that the checks can fail and that a seed is replayed exactly.

use cofferdam_sim::driver::{Report, Sabotage, Scenario, run};

fn seeds(range: std::ops::Range<u64>) {
    let mut sum = Report::default();
    for seed in range {
        match run(Scenario::new(seed)) {
            Ok((report, _)) => sum.add(&report),
            Err((violation, _)) => panic!("{violation}"),
        }
    }
    // Runs in which nothing happens prove nothing.
    assert!(sum.faults > 100 && sum.crashes > 100 && sum.flips_found > 10, "{sum:?}");
}

#[test]
fn every_invariant_holds_in_the_first_fifty_worlds() {
    seeds(0..50);
}

#[test]
fn every_invariant_holds_in_the_second_fifty_worlds() {
    seeds(50..100);
}

#[test]
fn every_invariant_holds_in_the_third_fifty_worlds() {
    seeds(100..150);
}

#[test]
fn every_invariant_holds_in_the_fourth_fifty_worlds() {
    seeds(150..200);
}

#[test]
fn a_seed_is_replayed_exactly() {
    for seed in [3, 77, 123] {
        let (first, _) = run(Scenario::new(seed)).unwrap_or_else(|(violation, _)| panic!("{violation}"));
        let (again, _) = run(Scenario::new(seed)).unwrap_or_else(|(violation, _)| panic!("{violation}"));
        assert_eq!(first, again);
        let (other, _) = run(Scenario::new(seed + 1)).unwrap_or_else(|(violation, _)| panic!("{violation}"));
        assert_ne!(first.trace, other.trace);
    }
}

/// A disk that breaks a promise must be found out, or the checks are worth nothing.
#[test]
fn a_sync_that_does_nothing_is_found_out() {
    for part in ["/wal/", "/segments/", "manifest"] {
        let found = (0..40).find_map(|seed| {
            let sabotage = Some(Sabotage::IgnoreSyncs(part));
            run(Scenario { sabotage, ..Scenario::new(seed) }).err()
        });
        assert!(found.is_some(), "nobody noticed that syncs of {part} do nothing");
    }
}
