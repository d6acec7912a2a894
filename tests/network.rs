//! Corner cases of the wired network; `golden_radio/fair_sharing.rs` holds it against exact fluid solutions.

#[path = "support/wired.rs"]
mod wired;

use deft::network::{Direction, Link, NetworkError, NodeId, Outages, Report, Request, RouteBy, Topology, WiredNetwork};
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

/// a to d over b (2 ms) or over c (6 ms), each hop 1 Mbit/s over b and 0.5 Mbit/s over c; links 0 and 1 lead over b, 2 and 3
/// over c.
fn two_ways() -> (Topology, [NodeId; 2]) {
    let link = |from, to, rate, ms| Link::new(from, to, rate, millis(ms));
    let topology = ["a", "b", "c", "d"]
        .iter()
        .fold(Topology::builder(), |t, n| t.host(n))
        .link(link("a", "b", 1e6, 1))
        .link(link("b", "d", 1e6, 1))
        .link(link("a", "c", 5e5, 3))
        .link(link("c", "d", 5e5, 3))
        .build()
        .unwrap();
    let ends = ["a", "d"].map(|n| topology.host(n).unwrap());
    (topology, ends)
}

fn stated(times_ms: &[(u64, u64)]) -> Outages {
    Outages::Stated(times_ms.iter().map(|&(from, to)| (at_millis(from), at_millis(to))).collect())
}

/// Both solvers, with the same links out of service.
fn failing(outages: &[(usize, Outages)]) -> [WiredNetwork; 2] {
    let build = |new: fn(Topology, RouteBy) -> WiredNetwork| {
        let network = new(two_ways().0, RouteBy::Latency);
        outages.iter().fold(network, |network, (link, o)| network.failing(*link, o.clone()))
    };
    [build(WiredNetwork::new), build(WiredNetwork::with_plain_refill)]
}

#[test]
fn a_transfer_goes_on_with_what_it_has_left_over_what_is_left() {
    let (_, [a, d]) = two_ways();
    // 1 Mbit: 400 ms at 1 Mbit/s, 200 ms at half of it over c, then back to b for the other 500 kbit.
    for mut network in failing(&[(1, stated(&[(400, 600)]))]) {
        let report = &play(&mut network, &[(at_millis(0), Request { from: a, to: d, bytes: 125_000 })])[0];
        assert_eq!(report.end, at_millis(400 + 200 + 500 + 2));
        assert_eq!((report.hops, report.path_latency, report.stalled), (2, millis(2), SimDuration::ZERO));
        assert_eq!(report.bottleneck.as_deref(), Some("a-b"), "for 900 of 1,100 ms");
        // Who comes while the link is down takes the other way from its start.
        let late = [(at_millis(450), Request { from: a, to: d, bytes: 0 })];
        let mut fresh = failing(&[(1, stated(&[(400, 600)]))]);
        assert_eq!(play(&mut fresh[0], &late)[0].end, at_millis(456));
    }
}

#[test]
fn where_nothing_is_left_a_transfer_waits() {
    let (_, [a, d]) = two_ways();
    let outages = [(0, stated(&[(100, 300), (350, 400)])), (3, stated(&[(50, 1000)]))];
    for mut network in failing(&outages) {
        let request = |bytes| Request { from: a, to: d, bytes };
        let reports = play(
            &mut network,
            &[(at_millis(0), request(25_000)), (at_millis(200), request(0)), (at_millis(200), request(1))],
        );
        // 200 kbit: 100 ms before the first outage, 50 between the two, 50 after them; the short ones pass in between.
        assert_eq!(reports[0].stalled, millis(250));
        assert!(reports[0].end >= at_millis(452) && reports[0].end < at_millis(453), "{:?}", reports[0].end);
        assert_eq!((reports[1].end, reports[1].stalled), (at_millis(302), millis(100)));
        assert_eq!(reports[2].stalled, millis(100));
    }
}

#[test]
fn what_has_been_sent_arrives_whatever_fails_behind_it() {
    let (_, [a, d]) = two_ways();
    let [mut network, _] = failing(&[(0, stated(&[(101, 5000)]))]);
    let report = &play(&mut network, &[(at_millis(0), Request { from: a, to: d, bytes: 12_500 })])[0];
    assert_eq!(report.end, at_millis(102), "sent by 100 ms, under way when the link failed");
}

/// No byte is lost or sent twice: with links that fail at random, both solvers agree on every transfer to the bit, and all
/// arrive.
#[test]
fn solvers_agree_while_links_fail() {
    let (_, [a, d]) = two_ways();
    for seed in 0..20 {
        let draws = deft::random::CounterStream::new(seed, 5);
        let random =
            |link: u64| Outages::Random { mean_up: millis(300), mean_down: millis(150), draws: draws.child(link) };
        let outages: Vec<_> = (0..4).map(|link| (link as usize, random(link))).collect();
        let arrivals: Vec<_> = (0..40)
            .map(|n| {
                let (from, to) = if draws.bits(2 * n).is_multiple_of(3) { (d, a) } else { (a, d) };
                (at_millis(draws.bits(2 * n) % 3000), Request { from, to, bytes: draws.bits(2 * n + 1) % 40_000 })
            })
            .collect();
        let [fast, plain] = failing(&outages).map(|mut network| play(&mut network, &arrivals));
        assert_eq!(fast, plain);
        let mut stalled = 0;
        for one in &fast {
            // A route of 1 Mbit/s is the best there is.
            let least = SimDuration::from_seconds(one.bytes as f64 * 8.0 / 1e6) + one.stalled + one.path_latency;
            assert!(one.end + SimDuration::from_nanos(10) >= one.start + least, "{one:?}");
            stalled += u64::from(one.stalled > SimDuration::ZERO);
        }
        assert!(stalled > 0, "seed {seed}: links never failed together");
    }
}

/// A link that never fails while somebody sends leaves no mark.
#[test]
fn outages_of_which_nobody_takes_note_change_nothing() {
    let (_, [a, d]) = two_ways();
    let arrivals = [0, 10, 2000].map(|ms| (at_millis(ms), Request { from: a, to: d, bytes: 10_000 }));
    let [mut never, _] = failing(&[]);
    let [mut idle, _] = failing(&[(0, stated(&[(500, 1000), (1200, 1300)]))]);
    assert_eq!(play(&mut idle, &arrivals), play(&mut never, &arrivals));
}
