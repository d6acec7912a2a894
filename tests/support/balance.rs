//! Conservation: what the books of a run must satisfy under every technique.

use deft::experiment::{ReplicationRecord, RoundRecord};

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * (1.0 + a.abs().max(b.abs()))
}

/// Whether all books of a run agree: time, bytes, energy, and who took part.
pub fn balanced(record: &ReplicationRecord, what: &str) {
    let ReplicationRecord { rounds, devices, flows, .. } = record;
    assert!(!rounds.is_empty(), "{what}");
    let parts = |r: &RoundRecord| [r.device_compute_s, r.uplink_s, r.edge_compute_s, r.downlink_s, r.waiting_s];
    let mut clock = 0.0;
    for r in rounds {
        assert_eq!(r.start_s, clock, "{what}: rounds follow each other");
        clock = r.end_s;
        assert!(parts(r).iter().all(|s| *s >= 0.0), "{what}: {r:?}");
        assert!((parts(r).iter().sum::<f64>() - (r.end_s - r.start_s)).abs() < 1e-9, "{what}: {r:?}");
        assert!(r.delivered <= r.participants, "{what}: {r:?}");
    }
    assert_eq!(clock, record.simulated_seconds, "{what}");

    let of_rounds = |value: fn(&RoundRecord) -> f64| rounds.iter().map(value).sum::<f64>();
    let seconds = |part: usize| rounds.iter().map(|r| r.participants as f64 * parts(r)[part]).sum::<f64>();
    for (part, of_devices) in [
        devices.iter().map(|d| d.device_compute_s).sum::<f64>(),
        devices.iter().map(|d| d.uplink_s).sum(),
        devices.iter().map(|d| d.edge_compute_s).sum(),
        devices.iter().map(|d| d.downlink_s).sum(),
        devices.iter().map(|d| d.waiting_s).sum(),
    ]
    .iter()
    .enumerate()
    {
        assert!(near(seconds(part), *of_devices), "{what}: part {part}: {} {of_devices}", seconds(part));
    }
    let joules: f64 = devices.iter().map(|d| d.compute_joules + d.radio_joules).sum();
    assert!(near(joules, of_rounds(|r| r.device_joules)), "{what}: {joules} J");
    let taken: usize = devices.iter().map(|d| d.rounds_taken_part).sum();
    assert_eq!(taken, rounds.iter().map(|r| r.participants).sum::<usize>(), "{what}");
    let delivered: usize = devices.iter().map(|d| d.rounds_delivered).sum();
    assert_eq!(delivered, rounds.iter().map(|r| r.delivered).sum::<usize>(), "{what}");

    let bytes = |device: Option<&str>, down: bool| -> u64 {
        // What goes from device to device is neither up nor down.
        let cell = flows.iter().filter(|f| f.direction != "sidelink");
        let of = cell.filter(|f| device.is_none_or(|d| d == f.device) && (f.direction == "downlink") == down);
        of.map(|f| f.bytes).sum()
    };
    // Sent is received and lost: a transfer arrives as a whole or not at all.
    for f in flows {
        assert_eq!(f.lost_bytes, if f.outcome == "delivered" { 0 } else { f.bytes }, "{what}: {f:?}");
    }
    let lost: u64 = flows.iter().map(|f| f.lost_bytes).sum();
    assert_eq!(lost, rounds.iter().map(|r| r.lost_bytes).sum::<u64>(), "{what}");
    assert_eq!(lost, devices.iter().map(|d| d.lost_bytes).sum::<u64>(), "{what}");
    assert_eq!(bytes(None, false), rounds.iter().map(|r| r.uplink_bytes).sum::<u64>(), "{what}");
    assert_eq!(bytes(None, true), rounds.iter().map(|r| r.downlink_bytes).sum::<u64>(), "{what}");
    for d in devices {
        assert_eq!(bytes(Some(&d.device), false), d.uplink_bytes, "{what}: {}", d.device);
        assert_eq!(bytes(Some(&d.device), true), d.downlink_bytes, "{what}: {}", d.device);
    }
    // Where rounds wait for nobody, a transfer may begin in one and end in another, to which it belongs.
    let waits = record.measures.iter().all(|m| m.measure != "staleness");
    for f in flows {
        assert!(near(f.radio_s + f.wired_s, f.end_s - f.start_s), "{what}: {f:?}");
        let round = rounds.iter().find(|r| r.round == f.round).expect("flows belong to rounds");
        assert!(f.end_s <= round.end_s && (round.start_s <= f.start_s || !waits), "{what}: {f:?} outside {round:?}");
        assert!(round.start_s <= f.end_s && f.start_s >= 0.0, "{what}: {f:?} outside {round:?}");
    }
}
