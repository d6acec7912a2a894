//! Fluid flows: completion times against closed forms, one timer however many flows, and models that misbehave.

use std::cell::Cell;
use std::rc::Rc;

use deft::sim::{EqualShare, Fluid, FluidModel, ShareReport, Sim, SimError, SimTime, join, join_all};

const SECOND: fn(f64) -> SimTime = SimTime::from_seconds;

/// Equal sharing that counts how often it is asked for its next event.
struct Counting {
    model: EqualShare,
    asked: Rc<Cell<u64>>,
}

impl FluidModel for Counting {
    type Request = f64;
    type Report = ShareReport;

    fn start(&mut self, now: SimTime, volume: f64) -> u64 {
        self.model.start(now, volume)
    }

    fn cancel(&mut self, now: SimTime, key: u64) -> Option<ShareReport> {
        self.model.cancel(now, key)
    }

    fn next_event(&self) -> Option<SimTime> {
        self.asked.set(self.asked.get() + 1);
        self.model.next_event()
    }

    fn advance(&mut self, now: SimTime) -> Vec<(u64, ShareReport)> {
        self.model.advance(now)
    }
}

#[test]
fn flows_finish_when_theory_says_whatever_is_cancelled_or_changed() {
    let sim = Sim::new();
    let link = Fluid::new(&sim, EqualShare::new(10.0));
    let flow = |start: f64, volume: f64| {
        let (sim, link) = (&sim, &link);
        async move {
            sim.sleep_until(SECOND(start)).await;
            let report = link.transfer(volume).await;
            assert_eq!((report.started, report.finished), (SECOND(start), sim.now()));
            sim.now().as_seconds()
        }
    };
    let root = async {
        // 10 units/s shared by 40 units from 0 s, 30 from 2 s and 10 from 5 s; exact.
        let finished = join_all([flow(0.0, 40.0), flow(2.0, 30.0), flow(5.0, 10.0)]).await;
        assert_eq!(finished, [6.5, 8.0, 7.5]);
        // A rival that is dropped at 12 s has halved the rate for 2 s; from 13 s on there is half the capacity.
        let rival = sim.deadline(SECOND(12.0), flow(10.0, 1e9));
        let change = async {
            sim.sleep_until(SECOND(13.0)).await;
            link.with(|model| model.set_capacity(5.0));
        };
        let disturbance = join(rival, change);
        let victims = join_all([flow(10.0, 40.0), flow(10.0, 0.0)]);
        // 10 units by 12 s, 10 more by 13 s, and 20 at 5 units/s.
        let ((rival, ()), victims) = join(disturbance, victims).await;
        assert!(rival.is_err());
        assert_eq!(victims, [17.0, 10.0]);
        assert_eq!(link.with(|model| model.live_flows()), 0);
    };
    sim.run(root).unwrap();
}

#[test]
fn a_thousand_simultaneous_flows_settle_at_once() {
    let (sim, asked) = (Sim::new(), Rc::new(Cell::new(0)));
    let link = Fluid::new(&sim, Counting { model: EqualShare::new(1000.0), asked: Rc::clone(&asked) });
    let round = async {
        for _ in 0..3 {
            join_all((0..1000).map(|_| link.transfer(2.0))).await;
        }
        sim.now()
    };
    assert_eq!(sim.run(round), Ok(SECOND(6.0)));
    assert!(asked.get() <= 8, "asked {} times for 3 rounds", asked.get());
}

/// Announces an event at 5 s for ever.
struct Stuck;

impl FluidModel for Stuck {
    type Request = ();
    type Report = ();

    fn start(&mut self, _now: SimTime, _request: ()) -> u64 {
        0
    }

    fn cancel(&mut self, _now: SimTime, _key: u64) -> Option<Self::Report> {
        None
    }

    fn next_event(&self) -> Option<SimTime> {
        Some(SECOND(5.0))
    }

    fn advance(&mut self, _now: SimTime) -> Vec<(u64, ())> {
        vec![]
    }
}

#[test]
fn a_model_that_stands_still_is_an_error_not_an_endless_loop() {
    let sim = Sim::new();
    let fluid = Fluid::new(&sim, Stuck);
    match sim.run(fluid.transfer(())) {
        Err(SimError::Stalled { model, at: when, announced }) => {
            assert!(model.ends_with("Stuck"));
            assert_eq!((when, announced), (SECOND(5.0), SECOND(5.0)));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_flow_without_capacity_is_a_deadlock_and_not_an_event() {
    let sim = Sim::new();
    let fluid = Fluid::new(&sim, EqualShare::new(0.0));
    assert!(matches!(sim.run(fluid.transfer(1.0)), Err(SimError::Deadlock { waiting: 1, .. })));
    assert_eq!(fluid.with(|model| model.live_flows()), 0, "the dropped flow must be withdrawn");
}
