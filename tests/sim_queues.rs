//! Queues against laws that hold whatever the distributions; `golden_radio/queues.rs` holds them against closed forms.

#[path = "support/queueing.rs"]
mod queueing;

use deft::sim::{Discipline, Resource, Sim};
use queueing::{CUSTOMERS, Works, fifo_wait, open_queue, over_seeds, sharing_sojourn};

fn assert_agrees(what: &str, (mean, standard_error): (f64, f64), theory: f64) {
    assert!(standard_error < 0.05 * theory, "{what}: ± {standard_error} is too coarse to tell");
    assert!((mean - theory).abs() < 4.0 * standard_error, "{what}: {mean} ± {standard_error}, theory {theory}");
}

#[test]
fn processor_sharing_depends_on_mean_work_only() {
    // M/M/1 and a work of the same mean and thrice the variance: E[T] = E[S] / (1 - rho), whatever the distribution.
    assert_agrees("M/M/1-PS", sharing_sojourn(0.7, Works::Exponential { mean: 1.0 }), 1.0 / 0.3);
    let spread = Works::HyperExponential { p: 0.9, mean_p: 0.5, mean_else: 5.5 };
    assert_agrees("M/G/1-PS", sharing_sojourn(0.7, spread), 1.0 / 0.3);
}

/// Pollaczek and Khinchine: works that do not vary wait half as long as exponential ones, those spread evenly in between.
#[test]
fn less_variable_work_waits_less() {
    let wait = |works| fifo_wait(1, 0.7, works);
    assert_agrees("M/D/1", wait(Works::Constant(1.0)), 0.7 / 0.6);
    assert_agrees("M/G/1", wait(Works::Uniform { low: 0.5, high: 1.5 }), 0.7 * (1.0 + 1.0 / 12.0) / 0.6);
}

#[test]
fn the_time_average_of_the_line_obeys_littles_law() {
    let rate = 0.8;
    let line = over_seeds(|streams| {
        let sim = Sim::new();
        let resource = Resource::new(&sim, 1, Discipline::Fifo);
        open_queue(&sim, streams, rate, Works::Exponential { mean: 1.0 }, |_, work| resource.serve(work));
        let stats = resource.stats();
        assert_eq!(stats.served, CUSTOMERS as u64);
        assert!((stats.utilisation - rate).abs() < 0.05, "utilisation {}", stats.utilisation);
        stats.mean_queue_length
    });
    assert_agrees("mean queue length", line, 3.2);
}
