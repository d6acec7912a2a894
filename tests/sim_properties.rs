//! Properties of the discrete-event core: order, causality, cancellation, resources and the trace.
//! Fluid flows are in `sim_fluid.rs`, queues against their theory in `sim_queues.rs`.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use deft::random::Streams;
use deft::sim::{
    Context, Discipline, Either, EventId, Model, Resource, Served, Signal, Sim, SimDuration, SimError, SimTime,
    Simulation, channel, join_all, select,
};
use serde_json::{Value, json};

fn nanos(nanos: u64) -> SimDuration {
    SimDuration::from_nanos(nanos)
}

fn at(nanos: u64) -> SimTime {
    SimTime::from_nanos(nanos)
}

/// A notebook that many processes write in.
#[derive(Clone, Default)]
struct Log(Rc<RefCell<Vec<(u64, String)>>>);

impl Log {
    fn note(&self, sim: &Sim, what: impl Into<String>) {
        self.0.borrow_mut().push((sim.now().as_nanos(), what.into()));
    }

    fn names(&self) -> Vec<String> {
        self.0.borrow().iter().map(|(_, name)| name.clone()).collect()
    }
}

// ---- the event interface ----

#[derive(Default)]
struct Recorder {
    seen: Vec<(u64, u32)>,
    to_cancel: Option<EventId>,
}

impl Model for Recorder {
    type Event = u32;

    fn handle(&mut self, event: u32, cx: &mut Context<u32>) {
        self.seen.push((cx.now().as_nanos(), event));
        match event {
            1 => {
                // The past means now, behind what is already due.
                cx.schedule(SimTime::ZERO, 100);
                self.to_cancel = Some(cx.schedule_in(nanos(10), 101));
            }
            2 => assert_eq!(self.to_cancel.take().and_then(|id| cx.cancel(id)), Some(101)),
            3 => cx.stop(),
            _ => {}
        }
    }
}

#[test]
fn events_fire_in_order_of_time_then_insertion() {
    let random = Streams::new(5, 0).counter("queue", "times");
    let mut sim = Simulation::new(Recorder::default());
    let times: Vec<u64> = (0..5_000).map(|n| random.bits(n) % 50).collect();
    for (number, time) in (1000..).zip(&times) {
        sim.schedule(at(*time), number);
    }
    sim.run();
    let mut expected: Vec<(u64, u32)> = times.iter().copied().zip(1000..).collect();
    expected.sort();
    assert_eq!(sim.model.seen, expected);
    assert_eq!((sim.events(), sim.pending()), (5_000, 0));
}

#[test]
fn handlers_schedule_cancel_and_stop() {
    let mut sim = Simulation::new(Recorder::default());
    for (time, event) in [(5, 1), (5, 2), (7, 3), (8, 4), (20, 5)] {
        sim.schedule(at(time), event);
    }
    sim.run();
    assert_eq!(sim.model.seen, [(5, 1), (5, 2), (5, 100), (7, 3)]);
    sim.run_until(at(15));
    assert_eq!((sim.now(), sim.model.seen.last()), (at(15), Some(&(8, 4))));
    assert!(sim.step() && !sim.step());
    assert_eq!((sim.now(), sim.events()), (at(20), 6));
}

#[test]
fn the_digest_tells_runs_apart() {
    let run = |times: &[u64]| {
        let mut sim = Simulation::new(Recorder::default());
        for &time in times {
            sim.schedule(at(time), 9);
        }
        sim.run();
        sim.digest()
    };
    assert_eq!(run(&[3, 1, 2]), run(&[3, 1, 2]));
    let others = [run(&[3, 1, 2]), run(&[1, 2, 3]), run(&[3, 1]), run(&[3, 1, 3]), run(&[0]), run(&[])];
    for (i, a) in others.iter().enumerate() {
        assert!(others[i + 1..].iter().all(|b| a != b), "{others:x?}");
    }
}

// ---- processes ----

#[test]
fn processes_of_one_instant_run_first_in_first_out() {
    let (sim, log) = (Sim::new(), Log::default());
    for name in 0..200 {
        let (sim2, log) = (sim.clone(), log.clone());
        drop(sim.spawn(async move {
            for _ in 0..3 {
                sim2.sleep(nanos(7)).await;
                log.note(&sim2, name.to_string());
            }
        }));
    }
    sim.run(sim.sleep(nanos(22))).unwrap();
    let expected: Vec<String> = (0..600).map(|i| (i % 200).to_string()).collect();
    assert!(log.names() == expected, "{:?}", log.names());
}

#[test]
fn a_zero_sleep_lets_others_go_first() {
    let (sim, log) = (Sim::new(), Log::default());
    let step = |name: &'static str| {
        let (sim, log) = (sim.clone(), log.clone());
        async move {
            for _ in 0..2 {
                log.note(&sim, name);
                sim.sleep(SimDuration::ZERO).await;
            }
        }
    };
    let both = join_all([step("a"), step("b")]);
    sim.run(both).unwrap();
    assert_eq!(log.names(), ["a", "b", "a", "b"]);
    assert_eq!(sim.now(), SimTime::ZERO);
}

#[test]
fn the_root_may_borrow_and_nothing_runs_after_it() {
    let sim = Sim::new();
    let alive = Rc::new(());
    let held = Rc::clone(&alive);
    let inner = sim.clone();
    drop(sim.spawn(async move {
        let _held = held;
        inner.sleep(nanos(100)).await;
        unreachable!("the run ends before");
    }));
    let text = String::from("borrowed");
    let length = sim.run(async {
        sim.sleep(nanos(50)).await;
        text.len()
    });
    assert_eq!(length, Ok(8));
    assert_eq!(sim.now(), at(50));
    assert_eq!(Rc::strong_count(&alive), 1, "a process left over must be dropped with what it holds");
    // The simulation can go on, at the time at which it ended.
    assert_eq!(sim.run(async { sim.sleep(nanos(1)).await }), Ok(()));
    assert_eq!(sim.now(), at(51));
}

#[test]
fn handles_yield_outputs_and_cancel() {
    let sim = Sim::new();
    let (inner, log) = (sim.clone(), Log::default());
    let noted = log.clone();
    let root = async {
        let double = sim.spawn(async move {
            inner.sleep(nanos(4)).await;
            21 * 2
        });
        let inner = sim.clone();
        let doomed = sim.spawn(async move {
            inner.sleep(nanos(6)).await;
            noted.note(&inner, "must not happen");
        });
        assert!(!double.is_finished());
        let answer = double.await;
        doomed.cancel();
        sim.sleep(nanos(10)).await;
        answer
    };
    assert_eq!(sim.run(root), Ok(42));
    assert!(log.names().is_empty());
    assert_eq!(sim.events(), 2, "the sleep of a cancelled process must not fire");
}

#[test]
fn deadlocks_and_nested_runs_are_errors() {
    let sim = Sim::new();
    let signal = Signal::new();
    let waiting = signal.clone();
    drop(sim.spawn(async move { waiting.wait().await }));
    let root = async {
        sim.sleep(nanos(3)).await;
        signal.wait().await;
    };
    assert_eq!(sim.run(root), Err(SimError::Deadlock { at: at(3), waiting: 2 }));
    assert_eq!(sim.run(async { sim.run(async {}) }), Ok(Err(SimError::Nested)));
    // What never comes is no event.
    assert!(matches!(sim.run(sim.sleep(SimDuration::MAX)), Err(SimError::Deadlock { .. })));
}

#[test]
fn deadlines_cut_off_what_is_late() {
    let sim = Sim::new();
    let root = async {
        assert!(sim.deadline(at(10), sim.sleep(nanos(9))).await.is_ok());
        assert_eq!(sim.now(), at(9));
        let late = sim.deadline(at(15), sim.sleep(nanos(100))).await;
        assert_eq!(late.map_err(|elapsed| elapsed.deadline), Err(at(15)));
        assert_eq!(sim.now(), at(15));
        // In the very instant of the deadline, what was scheduled first counts.
        assert!(sim.deadline(at(20), sim.sleep_until(at(20))).await.is_ok());
    };
    sim.run(root).unwrap();
    assert_eq!(sim.events(), 3, "cancelled sleeps must not fire");
}

#[test]
fn select_takes_the_first_and_drops_the_other() {
    let sim = Sim::new();
    let root = async {
        let first = select(sim.sleep(nanos(5)), sim.sleep(nanos(3))).await;
        assert_eq!((first, sim.now()), (Either::Right(()), at(3)));
        let tie = select(async { 1 }, async { 2 }).await;
        assert_eq!(tie, Either::Left(1));
    };
    sim.run(root).unwrap();
    assert_eq!(sim.events(), 1);
}

#[test]
fn a_sleep_may_change_hands() {
    let sim = Sim::new();
    let root = async {
        let mut sleep = Box::pin(sim.sleep(nanos(10)));
        // Polled here first, with this process' waker...
        assert!(matches!(select(&mut sleep, sim.sleep(nanos(1))).await, Either::Right(())));
        // ...then it belongs to another process, and later to a child of a combinator.
        let inner = sim.clone();
        let sleep = sim.spawn(async move {
            assert!(matches!(select(&mut sleep, inner.sleep(nanos(1))).await, Either::Right(())));
            [sleep]
        });
        join_all(sleep.await).await;
        sim.now()
    };
    assert_eq!(sim.run(root), Ok(at(10)));
}

/// Counts how often the future inside is polled.
struct Counted<'a, F> {
    future: std::pin::Pin<Box<F>>,
    polls: &'a Cell<u64>,
}

impl<F: Future> Future for Counted<'_, F> {
    type Output = F::Output;

    fn poll(mut self: std::pin::Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<F::Output> {
        self.polls.set(self.polls.get() + 1);
        self.future.as_mut().poll(cx)
    }
}

#[test]
fn join_all_polls_only_the_woken_child() {
    const CHILDREN: u64 = 100_000;
    let (sim, polls) = (Sim::new(), Cell::new(0));
    let children = (0..CHILDREN).map(|i| {
        let sim = &sim;
        // Distinct instants, in an order unlike that of the children.
        let delay = nanos(1 + i * 7_919 % CHILDREN);
        let future = Box::pin(async move {
            sim.sleep(delay).await;
            (i, sim.now())
        });
        Counted { future, polls: &polls }
    });
    let outputs = sim.run(join_all(children)).unwrap();
    assert_eq!(polls.get(), 2 * CHILDREN);
    let expected: Vec<(u64, SimTime)> = (0..CHILDREN).map(|i| (i, at(1 + i * 7_919 % CHILDREN))).collect();
    assert_eq!(outputs, expected);
    assert_eq!(sim.run(join_all(Vec::<deft::sim::Sleep>::new())), Ok(vec![]));
}

#[test]
fn nested_joins_resume_in_wake_order() {
    let (sim, log) = (Sim::new(), Log::default());
    let leaf = |name: String, delay: u64| {
        let (sim, log) = (&sim, &log);
        async move {
            sim.sleep(nanos(delay)).await;
            log.note(sim, name);
        }
    };
    let group =
        |g: u64| join_all((0..3u64).map(move |i| (g, i)).map(|(g, i)| leaf(format!("{g}{i}"), 5 + (i + g) % 2)));
    sim.run(join_all((0..2).map(group))).unwrap();
    assert_eq!(log.names(), ["00", "02", "11", "01", "10", "12"]);
}

#[test]
fn channels_and_signals_wake_their_waiters_in_order() {
    let (sim, log) = (Sim::new(), Log::default());
    let (sender, mut receiver) = channel::unbounded();
    let start = Signal::new();
    for name in ["a", "b", "c"] {
        let (sim2, sender, start) = (sim.clone(), sender.clone(), start.clone());
        drop(sim.spawn(async move {
            start.wait().await;
            sender.send((name, sim2.now())).unwrap();
        }));
    }
    drop(sender);
    let root = async {
        sim.sleep(nanos(8)).await;
        assert_eq!(receiver.try_recv(), None);
        start.set();
        while let Some((name, sent)) = receiver.recv().await {
            assert_eq!(sent, at(8));
            log.note(&sim, name);
        }
        start.wait().await;
    };
    sim.run(root).unwrap();
    assert!(start.is_set());
    assert_eq!(log.names(), ["a", "b", "c"]);
    let (sender, receiver) = channel::unbounded();
    drop(receiver);
    assert_eq!(sender.send(5), Err(channel::Closed(5)));
}

// ---- resources ----

#[test]
fn disciplines_decide_who_is_next() {
    let order = |discipline| {
        let (sim, log) = (Sim::new(), Log::default());
        let server = Resource::new(&sim, 1, discipline);
        let customers = [("a", 0), ("b", 1), ("c", 5), ("d", 1), ("e", 5)].map(|(name, priority)| {
            let (sim, log, server) = (&sim, &log, &server);
            async move {
                let _guard = server.acquire(priority).await;
                log.note(sim, name);
                sim.sleep(nanos(10)).await;
            }
        });
        sim.run(join_all(customers)).unwrap();
        let stats = server.stats();
        assert_eq!((stats.served, stats.in_service, stats.queue_length), (5, 0, 0));
        assert_eq!((stats.busy, stats.utilisation), (nanos(50), 1.0));
        // 4, 3, 2, 1 and 0 in line for 10 ns each.
        assert_eq!(stats.mean_queue_length, 2.0);
        log.names().concat()
    };
    assert_eq!(order(Discipline::Fifo), "abcde");
    assert_eq!(order(Discipline::Priority), "acebd");
}

#[test]
fn leaving_the_line_leaks_no_server() {
    let sim = Sim::new();
    let server = Resource::new(&sim, 1, Discipline::Fifo);
    let root = async {
        let guard = server.acquire(0).await;
        // Gives up while waiting.
        assert!(sim.deadline(at(5), server.acquire(0)).await.is_err());
        // Is handed the server and cancelled in the same instant, before it runs.
        let inner = server.clone();
        let handed = sim.spawn(async move { inner.serve(nanos(100)).await });
        let inner = server.clone();
        let next = sim.spawn(async move { inner.serve(nanos(3)).await });
        sim.sleep(nanos(1)).await;
        drop(guard);
        handed.cancel();
        next.await
    };
    assert_eq!(sim.run(root), Ok(Served { waited: nanos(1), service: nanos(3) }));
    assert_eq!((server.stats().in_service, server.stats().queue_length), (0, 0));
}

// ---- the trace ----

#[test]
fn the_trace_is_json_that_names_tracks_and_keeps_nanoseconds() {
    let record = |sim: &Sim| {
        let trace = sim.trace();
        trace.span("server \"0\"", "compute", at(1_234_567), at(1_234_570), &[("flops", json!(2.5e9))]);
        trace.span("uplink", "transmit", at(5), at(2_005), &[("bytes", json!(100)), ("why", json!("a\nb"))]);
        trace.span("server \"0\"", "wait", at(2_000_000), at(2_000_000), &[]);
        let mut text = Vec::new();
        trace.write_json(&mut text).unwrap();
        serde_json::from_slice::<Value>(&text).unwrap()
    };
    assert_eq!(record(&Sim::new()).as_array().unwrap().len(), 1, "nothing is kept unless asked for");
    let sim = Sim::with_trace();
    let events = record(&sim);
    let events = events.as_array().unwrap();
    assert_eq!((sim.trace().len(), events.len()), (3, 1 + 2 * 2 + 3));
    let spans: Vec<&Value> = events.iter().filter(|event| event["ph"] == "X").collect();
    assert_eq!(spans[0]["ts"], json!(1234.567));
    assert_eq!(spans[0]["dur"], json!(0.003));
    assert_eq!(spans[0]["args"], json!({"flops": 2.5e9}));
    assert_eq!(spans[1]["args"], json!({"bytes": 100, "why": "a\nb"}));
    assert_eq!([&spans[0]["tid"], &spans[1]["tid"], &spans[2]["tid"]], [&json!(1), &json!(2), &json!(1)]);
    let names: Vec<&Value> =
        events.iter().filter(|event| event["name"] == "thread_name").map(|event| &event["args"]["name"]).collect();
    assert_eq!(names, [&json!("server \"0\""), &json!("uplink")]);
}
