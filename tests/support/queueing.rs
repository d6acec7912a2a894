//! Open queues of random customers, for checks against queueing theory.

use deft::random::{Stream, Streams};
use deft::sim::{Discipline, ProcessorSharing, Resource, Served, Sim, SimDuration, SimTime, join_all};
use rand_distr::{Distribution, Exp, StandardUniform};

pub const SEEDS: u64 = 24;
pub const CUSTOMERS: usize = 12_000;

/// Distributions of service times, in seconds.
#[derive(Clone, Copy)]
pub enum Works {
    Constant(f64),
    Exponential { mean: f64 },
    Uniform { low: f64, high: f64 },
    HyperExponential { p: f64, mean_p: f64, mean_else: f64 },
}

pub fn uniform(stream: &mut Stream) -> f64 {
    StandardUniform.sample(stream)
}

pub fn exponential(stream: &mut Stream, mean: f64) -> f64 {
    Exp::new(1.0 / mean).unwrap().sample(stream)
}

impl Works {
    pub fn draw(self, stream: &mut Stream) -> SimDuration {
        SimDuration::from_seconds(match self {
            Self::Constant(work) => work,
            Self::Exponential { mean } => exponential(stream, mean),
            Self::Uniform { low, high } => low + (high - low) * uniform(stream),
            Self::HyperExponential { p, mean_p, mean_else } => {
                let mean = if uniform(stream) < p { mean_p } else { mean_else };
                exponential(stream, mean)
            }
        })
    }
}

/// Mean over seeds, and its standard error.
pub fn over_seeds(run: impl Fn(Streams) -> f64) -> (f64, f64) {
    let means: Vec<f64> = (0..SEEDS).map(|seed| run(Streams::new(seed, 0))).collect();
    let n = means.len() as f64;
    let mean = means.iter().sum::<f64>() / n;
    let variance = means.iter().map(|m| (m - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean, (variance / n).sqrt())
}

/// A Poisson stream of customers, each served by `serve(number, work)`. The first tenth finds the queue too empty and
/// is left out of the answer.
pub fn open_queue<F: Future<Output = Served>>(
    sim: &Sim,
    streams: Streams,
    rate: f64,
    works: Works,
    serve: impl Fn(usize, SimDuration) -> F,
) -> Vec<(usize, Served)> {
    let mut gaps = streams.stream("customers", "arrivals");
    let mut sizes = streams.stream("customers", "works");
    let mut arrival = SimTime::ZERO;
    let customers = (0..CUSTOMERS).map(|number| {
        arrival += SimDuration::from_seconds(exponential(&mut gaps, 1.0 / rate));
        let (arrival, work, serve) = (arrival, works.draw(&mut sizes), &serve);
        async move {
            sim.sleep_until(arrival).await;
            (number, serve(number, work).await)
        }
    });
    let served = sim.run(join_all(customers)).expect("every customer is served");
    served.into_iter().skip(CUSTOMERS / 10).collect()
}

pub fn mean(spans: impl Iterator<Item = SimDuration>) -> f64 {
    let seconds: Vec<f64> = spans.map(SimDuration::as_seconds).collect();
    seconds.iter().sum::<f64>() / seconds.len() as f64
}

pub fn fifo_wait(servers: usize, rate: f64, works: Works) -> (f64, f64) {
    over_seeds(|streams| {
        let sim = Sim::new();
        let resource = Resource::new(&sim, servers, Discipline::Fifo);
        let served = open_queue(&sim, streams, rate, works, |_, work| resource.serve(work));
        mean(served.iter().map(|(_, served)| served.waited))
    })
}

/// Mean sojourn under processor sharing.
pub fn sharing_sojourn(rate: f64, works: Works) -> (f64, f64) {
    over_seeds(|streams| {
        let sim = Sim::new();
        let server = ProcessorSharing::new(&sim, 1);
        let served = open_queue(&sim, streams, rate, works, |_, work| server.serve(work));
        assert_eq!(server.in_service(), 0);
        mean(served.iter().map(|(_, served)| served.sojourn()))
    })
}
