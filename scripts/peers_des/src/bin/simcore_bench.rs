//! simcore (the former dslab-core). usage: simcore_bench [events] [pending per entity] [customers]
use peers_des::*;
use serde::Serialize;
use simcore::{cast, Event, EventHandler, Id, Simulation, SimulationContext};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

#[derive(Clone, Serialize)]
struct Job {
    bytes: u64,
}
struct Entity {
    ctx: SimulationContext,
    rng: Rc<RefCell<Rng>>,
    ids: Rc<RefCell<Vec<Id>>>,
    seen: u64,
}
impl EventHandler for Entity {
    fn on(&mut self, event: Event) {
        cast!(match event.data {
            Job { bytes } => {
                self.seen += 1;
                let mut rng = self.rng.borrow_mut();
                let dst = self.ids.borrow()[rng.below(N) as usize];
                let d = LOOKAHEAD + rng.exp(MEAN);
                self.ctx.emit(Job { bytes }, dst, d);
            }
        })
    }
}

#[derive(Clone, Serialize)]
struct Arrive {}
#[derive(Clone, Serialize)]
struct Leave {}
struct Server {
    ctx: SimulationContext,
    a: Ahead,
    b: Ahead,
    line: VecDeque<f64>,
    arrived: u64,
    left: u64,
    limit: u64,
    sum: f64,
}
impl EventHandler for Server {
    fn on(&mut self, event: Event) {
        let now = event.time;
        cast!(match event.data {
            Arrive {} => {
                self.arrived += 1;
                self.line.push_back(now);
                if self.line.len() == 1 {
                    let d = self.b.take();
                    self.ctx.emit_self(Leave {}, d);
                }
                if self.arrived < self.limit {
                    let d = self.a.take();
                    self.ctx.emit_self(Arrive {}, d);
                }
            }
            Leave {} => {
                self.left += 1;
                self.sum += now - self.line.pop_front().unwrap();
                if !self.line.is_empty() {
                    let d = self.b.take();
                    self.ctx.emit_self(Leave {}, d);
                }
            }
        })
    }
}

fn main() {
    let events = arg(1, 5_000_000);
    let m = arg(2, 1);
    let customers = arg(3, 2_000_000);
    let mut sim = Simulation::new(1);
    let rng = Rc::new(RefCell::new(Rng::new(1)));
    let ids = Rc::new(RefCell::new(vec![]));
    let mut all = vec![];
    for i in 0..N {
        let name = format!("e{i}");
        let ctx = sim.create_context(&name);
        let e = Rc::new(RefCell::new(Entity { ctx, rng: rng.clone(), ids: ids.clone(), seen: 0 }));
        ids.borrow_mut().push(sim.add_handler(name, e.clone()));
        all.push(e);
    }
    for e in &all {
        for _ in 0..m {
            let d = LOOKAHEAD + rng.borrow_mut().exp(MEAN);
            e.borrow().ctx.emit_self(Job { bytes: 1 }, d);
        }
    }
    let w = Watch::start();
    sim.steps(events);
    let mix: u64 = all.iter().enumerate().map(|(i, e)| e.borrow().seen * (i as u64 + 1)).sum();
    w.report(&format!("phold-{N}-{m}"), "simcore-0.1", events, &format!("end={:.6},mix={mix}", sim.time()));
    if m == 1 {
        let mut sim = Simulation::new(1);
        let ctx = sim.create_context("server");
        let s = Rc::new(RefCell::new(Server {
            ctx,
            a: Ahead::new(11, 1.0 / 0.8),
            b: Ahead::new(12, 1.0),
            line: VecDeque::new(),
            arrived: 0,
            left: 0,
            limit: customers,
            sum: 0.0,
        }));
        sim.add_handler("server", s.clone());
        let w = Watch::start();
        let d = s.borrow_mut().a.take();
        s.borrow().ctx.emit_self(Arrive {}, d);
        sim.step_until_no_events();
        let s = s.borrow();
        w.report("mm1", "simcore-0.1", s.left, &format!("sojourn={:.4}", s.sum / s.left as f64));
    }
}
