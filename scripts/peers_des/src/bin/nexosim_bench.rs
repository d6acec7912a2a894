//! nexosim 1.0, one thread. usage: nexosim_bench [events] [pending per entity] [customers]
//! A model may schedule only itself, so PHOLD's random routing goes through the global scheduler
//! (one queue operation per event, the cheapest way this API has).
use peers_des::*;
use nexosim::model::{schedulable, BuildContext, Context, Model, ProtoModel};
use nexosim::ports::{EventSource, Output};
use nexosim::simulation::{EventId, Mailbox, Scheduler, SimInit};
use nexosim::time::MonotonicTime;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

struct Shared {
    rng: Mutex<Rng>,
    scheduler: OnceLock<Scheduler>,
    ids: OnceLock<Vec<EventId<u64>>>,
    seen: Mutex<(u64, u64)>,
}
#[derive(Serialize, Deserialize)]
struct Entity {
    me: u64,
    seen: u64,
}
struct ProtoEntity(u64, Arc<Shared>);
impl ProtoModel for ProtoEntity {
    type Model = Entity;
    fn build(self, _: &mut BuildContext<Self>) -> (Entity, Arc<Shared>) {
        (Entity { me: self.0, seen: 0 }, self.1)
    }
}
#[Model(type Env = Arc<Shared>)]
impl Entity {
    pub fn job(&mut self, bytes: u64, _: &Context<Self>, env: &mut Arc<Shared>) {
        self.seen += 1;
        let mut rng = env.rng.lock().unwrap();
        let dst = rng.below(N) as usize;
        let d = Duration::from_nanos(phold_delay(&mut rng));
        env.scheduler.get().unwrap().schedule_event(d, &env.ids.get().unwrap()[dst], bytes).unwrap();
        let mut s = env.seen.lock().unwrap();
        s.0 += 1;
        s.1 += self.me + 1;
    }
}

#[derive(Serialize, Deserialize)]
struct Source {
    seed: u64,
    sent: u64,
    limit: u64,
    out: Output<u64>,
    #[serde(skip, default = "none")]
    rng: Option<Ahead>,
}
#[derive(Serialize, Deserialize)]
struct Server {
    line: VecDeque<u64>,
    #[serde(skip, default = "none")]
    rng: Option<Ahead>,
    done: Output<u64>,
}
#[derive(Serialize, Deserialize)]
struct Tally {
    #[serde(skip)]
    sum: Arc<Mutex<(u64, f64)>>,
}
fn none() -> Option<Ahead> {
    None
}
fn nanos(cx: MonotonicTime) -> u64 {
    cx.duration_since(MonotonicTime::EPOCH).as_nanos() as u64
}
#[Model]
impl Source {
    #[nexosim(init)]
    async fn begin(&mut self, cx: &Context<Self>) {
        self.rng = Some(Ahead::new(self.seed, 1.0 / 0.8));
        self.next(cx);
    }
    fn next(&mut self, cx: &Context<Self>) {
        let d = (self.rng.as_mut().unwrap().take() * TICKS) as u64;
        cx.schedule_event(Duration::from_nanos(d.max(1)), schedulable!(Self::fire), ()).unwrap();
    }
    #[nexosim(schedulable)]
    async fn fire(&mut self, _: (), cx: &Context<Self>) {
        self.sent += 1;
        self.out.send(nanos(cx.time())).await;
        if self.sent < self.limit {
            self.next(cx);
        }
    }
}
#[Model]
impl Server {
    fn begin(&mut self, cx: &Context<Self>) {
        let d = (self.rng.as_mut().unwrap().take() * TICKS) as u64;
        cx.schedule_event(Duration::from_nanos(d.max(1)), schedulable!(Self::leave), ()).unwrap();
    }
    pub fn arrive(&mut self, at: u64, cx: &Context<Self>) {
        self.line.push_back(at);
        if self.line.len() == 1 {
            self.begin(cx);
        }
    }
    #[nexosim(schedulable)]
    async fn leave(&mut self, _: (), cx: &Context<Self>) {
        let at = self.line.pop_front().unwrap();
        self.done.send(nanos(cx.time()) - at).await;
        if !self.line.is_empty() {
            self.begin(cx);
        }
    }
}
#[Model]
impl Tally {
    pub fn add(&mut self, sojourn: u64) {
        let mut s = self.sum.lock().unwrap();
        s.0 += 1;
        s.1 += sojourn as f64 / TICKS;
    }
}

fn main() {
    let events = arg(1, 1_000_000);
    let m = arg(2, 1);
    let customers = arg(3, 500_000);
    let shared = Arc::new(Shared {
        rng: Mutex::new(Rng::new(1)),
        scheduler: OnceLock::new(),
        ids: OnceLock::new(),
        seen: Mutex::new((0, 0)),
    });
    let mut bench = SimInit::with_num_threads(1);
    let mut ids = vec![];
    for i in 0..N as u64 {
        let mbox = Mailbox::new();
        ids.push(EventSource::new().connect(Entity::job, &mbox).register(&mut bench));
        bench = bench.add_model(ProtoEntity(i, shared.clone()), mbox, &format!("e{i}"));
    }
    let _ = shared.ids.set(ids);
    let mut sim = bench.init(MonotonicTime::EPOCH).unwrap();
    let _ = shared.scheduler.set(sim.scheduler());
    for i in 0..N as usize {
        for _ in 0..m {
            let d = Duration::from_nanos(phold_delay(&mut shared.rng.lock().unwrap()));
            shared.scheduler.get().unwrap().schedule_event(d, &shared.ids.get().unwrap()[i], 1u64).unwrap();
        }
    }
    let w = Watch::start();
    while shared.seen.lock().unwrap().0 < events {
        sim.step().unwrap();
    }
    let s = *shared.seen.lock().unwrap();
    w.report(
        &format!("phold-{N}-{m}"),
        "nexosim-1.0",
        s.0,
        &format!("end={:.6},mix={}", nanos(sim.time()) as f64 / TICKS, s.1),
    );
    if m == 1 {
        let sum = Arc::new(Mutex::new((0, 0.0)));
        let (ms, mq, mt) = (Mailbox::new(), Mailbox::new(), Mailbox::new());
        let mut src = Source { seed: 11, sent: 0, limit: customers, out: Output::default(), rng: None };
        let mut srv = Server { line: VecDeque::new(), rng: Some(Ahead::new(12, 1.0)), done: Output::default() };
        src.out.connect(Server::arrive, &mq);
        srv.done.connect(Tally::add, &mt);
        let mut sim = SimInit::with_num_threads(1)
            .add_model(src, ms, "source")
            .add_model(srv, mq, "server")
            .add_model(Tally { sum: sum.clone() }, mt, "tally")
            .init(MonotonicTime::EPOCH)
            .unwrap();
        let w = Watch::start();
        sim.run().unwrap();
        let s = *sum.lock().unwrap();
        w.report("mm1", "nexosim-1.0", s.0, &format!("sojourn={:.4}", s.1 / s.0 as f64));
    }
}
