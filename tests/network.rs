//! Corner cases of the wired network; `golden_radio/fair_sharing.rs` holds it against exact fluid solutions.

#[path = "support/wired.rs"]
mod wired;

use deft::network::{Direction, Link, NetworkError, NodeId, Report, Request, RouteBy, Topology, WiredNetwork};
use deft::sim::{Fluid, FluidModel, Sim, SimDuration, SimTime, join_all};
use wired::play;

fn millis(ms: u64) -> SimDuration {
    SimDuration::from_nanos(ms * 1_000_000)
}

fn at_millis(ms: u64) -> SimTime {
    SimTime::ZERO + millis(ms)
}

/// gnb -- 1 Gbit/s, 2 ms -- router -- 100 Mbit/s, 10 ms -- cloud, and edge -- 1 Gbit/s, 1 ms -- router.
fn small() -> (WiredNetwork, [NodeId; 4]) {
    let names = ["gnb", "router", "cloud", "edge"];
    let topology = names
        .iter()
        .fold(Topology::builder(), |t, n| t.host(n))
        .link(Link::new("gnb", "router", 1e9, millis(2)).named("fronthaul"))
        .link(Link::new("router", "cloud", 1e8, millis(10)).named("backbone"))
        .link(Link::new("edge", "router", 1e9, millis(1)))
        .build()
        .unwrap();
    let hosts = names.map(|n| topology.host(n).unwrap());
    (WiredNetwork::new(topology, RouteBy::Latency), hosts)
}

#[test]
fn a_lone_transfer_takes_its_bottleneck_and_the_latency_of_its_path() {
    let (mut network, [gnb, _, cloud, _]) = small();
    // 1.25 MB at 100 Mbit/s: 100 ms.
    let report = &play(&mut network, &[(at_millis(5), Request { from: gnb, to: cloud, bytes: 1_250_000 })])[0];
    assert_eq!(report.end, at_millis(5 + 100 + 12));
    assert_eq!((report.hops, report.path_latency, report.bytes), (2, millis(12), 1_250_000));
    assert_eq!(report.bottleneck.as_deref(), Some("backbone"));
    assert!((report.mean_rate_bits_per_second - 1e8).abs() < 1.0);
}

#[test]
fn nothing_to_send_takes_the_latency_and_a_local_transfer_no_time() {
    let (mut network, [gnb, _, cloud, edge]) = small();
    let request = |from, to, bytes| (at_millis(1), Request { from, to, bytes });
    let reports = play(&mut network, &[request(gnb, cloud, 0), request(edge, edge, 1 << 40), request(gnb, gnb, 0)]);
    let ends: Vec<SimTime> = reports.iter().map(|r| r.end).collect();
    assert_eq!(ends, [at_millis(13), at_millis(1), at_millis(1)]);
    assert!(reports.iter().all(|r| r.bottleneck.is_none() && r.mean_rate_bits_per_second == 0.0));
}

#[test]
fn directions_of_a_full_duplex_link_are_apart_and_those_of_a_half_duplex_link_are_not() {
    for (direction, expected_ms) in [(Direction::FullDuplex, 8), (Direction::HalfDuplex, 16)] {
        let link = Link::new("a", "b", 1e6, SimDuration::ZERO).carrying(direction);
        let topology = Topology::builder().host("a").host("b").link(link).build().unwrap();
        let (a, b) = (topology.host("a").unwrap(), topology.host("b").unwrap());
        let mut network = WiredNetwork::new(topology, RouteBy::Hops);
        let both = [(a, b), (b, a)].map(|(from, to)| (SimTime::ZERO, Request { from, to, bytes: 1000 }));
        for report in play(&mut network, &both) {
            assert_eq!(report.end, at_millis(expected_ms));
        }
    }
}

#[test]
fn those_who_finish_together_are_told_in_the_order_of_admission() {
    let (mut network, [gnb, _, cloud, edge]) = small();
    let request = |from, bytes| Request { from, to: cloud, bytes };
    network.advance(SimTime::ZERO);
    // An empty transfer from elsewhere arrives first, after the 3 ms of its path.
    let empty = network.start(SimTime::ZERO, Request { from: edge, to: gnb, bytes: 0 });
    let keys: Vec<u64> = (0..5).map(|_| network.start(SimTime::ZERO, request(gnb, 1_000))).collect();
    assert_eq!(network.live_flows(), 5);
    let mut told = Vec::new();
    while let Some(now) = network.next_event() {
        told.extend(network.advance(now).into_iter().map(|(key, _)| key));
    }
    assert_eq!(told[0], empty);
    assert_eq!(told[1..], keys);
}

#[test]
fn a_withdrawn_transfer_gives_its_share_back() {
    let (mut network, [gnb, _, cloud, _]) = small();
    let request = Request { from: gnb, to: cloud, bytes: 1_250_000 };
    network.advance(SimTime::ZERO);
    let stays = network.start(SimTime::ZERO, request);
    let goes = network.start(SimTime::ZERO, request);
    assert!(network.advance(at_millis(100)).is_empty());
    network.cancel(at_millis(100), goes);
    network.cancel(at_millis(100), 999);
    // Half of it has passed at half the rate; the rest takes 50 ms at the full one, and the path 12 ms.
    assert_eq!(network.next_event(), Some(at_millis(150)));
    assert!(network.advance(at_millis(150)).is_empty());
    assert_eq!(network.next_event(), Some(at_millis(162)));
    let (key, report) = network.advance(at_millis(200)).remove(0);
    assert_eq!((key, report.end), (stays, at_millis(162)));
    assert_eq!(network.next_event(), None);
}

#[test]
fn what_happens_elsewhere_does_not_move_a_transfer() {
    let pair = |n: usize| (format!("a{n}"), format!("b{n}"));
    let build = || {
        let topology = (0..2)
            .map(pair)
            .fold(Topology::builder(), |t, (a, b)| t.host(&a).host(&b).link(Link::new(&a, &b, 3e6, SimDuration::ZERO)));
        WiredNetwork::new(topology.build().unwrap(), RouteBy::Hops)
    };
    let request = |network: &WiredNetwork, n, bytes| {
        let host = |name: &str| network.topology().host(name).unwrap();
        Request { from: host(&pair(n).0), to: host(&pair(n).1), bytes }
    };
    let mut alone = build();
    let own = (SimTime::from_nanos(7), request(&alone, 0, 123_457));
    let expected = play(&mut alone, &[own]).remove(0);
    let mut busy = build();
    let noise = (0..40).map(|k| (SimTime::from_nanos(k * 7_919_777), request(&busy, 1, 10_007 * (k + 1))));
    let arrivals: Vec<_> = std::iter::once(own).chain(noise).collect();
    assert_eq!(play(&mut busy, &arrivals)[0], expected);
}

#[test]
fn a_missing_route_is_reported_with_both_names() {
    let topology = Topology::builder().host("gnb").host("island").build().unwrap();
    let (gnb, island) = (topology.host("gnb").unwrap(), topology.host("island").unwrap());
    let network = WiredNetwork::new(topology, RouteBy::Rate);
    let error = network.route(gnb, island).unwrap_err();
    assert_eq!(error, NetworkError::NoRoute { from: "gnb".into(), to: "island".into() });
    assert_eq!(network.route(gnb, gnb).unwrap().hops(), 0);
}

/// The adapter and the model together: processes that send, wait for each other, and send again in the same instant.
#[test]
fn processes_share_the_network() {
    let (network, [gnb, _, cloud, edge]) = small();
    let sim = Sim::new();
    let wires = Fluid::new(&sim, network);
    let up = |from| wires.transfer(Request { from, to: cloud, bytes: 625_000 });
    let story = async {
        let first: Vec<Report> = join_all([up(gnb), up(gnb)]).await;
        let local = wires.transfer(Request { from: edge, to: edge, bytes: 9 }).await;
        (first, local, up(edge).await)
    };
    let (first, local, second) = sim.run(story).unwrap();
    assert!(first.iter().all(|r| r.end == at_millis(100 + 12)));
    assert_eq!((local.start, local.end), (at_millis(112), at_millis(112)));
    assert_eq!(second.end, at_millis(112 + 50 + 11));
    assert_eq!(sim.now(), second.end);
}
