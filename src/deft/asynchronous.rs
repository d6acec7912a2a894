//! Federated training without waiting for all: the model moves whenever the buffer is full.
//!
//! Nguyen et al. 2022 (arXiv 2106.06639, FedBuff); with a buffer of one and a mixing weight, Xie, Koyejo, Gupta 2019
//! (arXiv 1903.03934, FedAsync). Here a round is one move of the model. Up to `devices_per_round` devices are at work at
//! any time; whoever hands in its update waits for the next move, so that nobody trains twice from one model, and then
//! the free places are drawn anew, as a synchronous round draws its devices. With a buffer for all of them, nothing is
//! ever stale and each round is a synchronous one, event by event.

use super::federation::{Server, Turn};
use super::{Measured, Run};
use crate::aggregation::{Arrival, Delivery};
use crate::learning::LearningError;
use crate::sim::Crowd;
use crate::world::{DeviceId, Lost};
use std::future::Future;

/// Plays until the model has moved as often as there are rounds.
pub(super) async fn play<F>(
    run: &Run<'_>,
    mut server: Server<'_>,
    buffer: usize,
    device_round: impl Fn(Turn) -> F,
) -> Result<(), LearningError>
where
    F: Future<Output = Result<Delivery, Lost>>,
{
    let mut at_work = Crowd::new();
    let mut busy: Vec<DeviceId> = vec![];
    for round in 0..run.plan.rounds {
        let Some(beginning) = run.begin_round_beside(round, &busy) else { break };
        for &device in &beginning {
            let turn = server.turn(device, round);
            run.learn.hold(turn.start);
            at_work.join(in_its_turn(turn.clone(), device_round(turn)));
        }
        busy.extend(beginning);
        let (mut arrivals, mut over) = (vec![], vec![]);
        while arrivals.len() < buffer {
            // Nobody is left at work, or the deadline has passed; the others go on then.
            let next = async { at_work.next().await.ok_or(Lost::TooLate) };
            let Ok((turn, outcome)) = run.in_time(next).await else { break };
            busy.retain(|d| *d != turn.device);
            over.push(turn.start);
            if let Ok(delivery) = outcome {
                arrivals.push(Arrival { delivery, start: turn.start, age: server.moves - turn.moves });
            }
        }
        // Sums must not depend on who came first.
        arrivals.sort_by_key(|a| a.delivery.device);
        for a in &arrivals {
            run.measure("staleness", Measured::Number(a.age as f64));
        }
        let delivered = at_work.beside(server.aggregate_stale(arrivals)).await;
        over.into_iter().for_each(|start| run.learn.release(start));
        if round + 1 == run.plan.rounds {
            // Whoever is still at work is cut off while the books are open.
            at_work = Crowd::new();
        }
        if run.end_round(round, &[server.global], &delivered)?.is_last() {
            break;
        }
    }
    Ok(())
}

/// `playing` with the turn that it plays.
async fn in_its_turn<T>(turn: Turn, playing: impl Future<Output = T>) -> (Turn, T) {
    (turn, playing.await)
}
