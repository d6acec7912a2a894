//! Futures that run beside each other and are collected one by one, while others join.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// A changing set of futures, polled while somebody waits for it: in [`Crowd::next`] or in [`Crowd::beside`].
///
/// As in [`join_all`](super::join_all), each future has a waker of its own and they may borrow. Futures that join
/// together are first polled in that order, then in the order of their wake-ups: a crowd that is waited for to its
/// last member runs exactly as `join_all` does.
pub struct Crowd<F: Future> {
    /// By place; places of members that have ended are taken again.
    members: Vec<Option<Member<F>>>,
    running: usize,
    /// Members to poll now.
    batch: VecDeque<usize>,
    woken: Arc<Mutex<Woken>>,
    /// Outputs that nobody has collected yet, in the order of their ends.
    ended: VecDeque<F::Output>,
}

struct Member<F> {
    future: Pin<Box<F>>,
    waker: Waker,
}

#[derive(Default)]
struct Woken {
    places: VecDeque<usize>,
    waiter: Option<Waker>,
}

struct MemberWaker {
    place: usize,
    woken: Arc<Mutex<Woken>>,
}

fn lock(woken: &Mutex<Woken>) -> MutexGuard<'_, Woken> {
    // Nothing that can panic runs under this lock.
    woken.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Wake for MemberWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let waiter = {
            let mut woken = lock(&self.woken);
            woken.places.push_back(self.place);
            woken.waiter.take()
        };
        if let Some(waiter) = waiter {
            waiter.wake();
        }
    }
}

impl<F: Future> Default for Crowd<F> {
    fn default() -> Self {
        let (batch, ended) = (VecDeque::new(), VecDeque::new());
        Self { members: vec![], running: 0, batch, woken: Arc::default(), ended }
    }
}

impl<F: Future> Crowd<F> {
    pub fn new() -> Self {
        Self::default()
    }

    /// Futures that have not ended.
    pub fn running(&self) -> usize {
        self.running
    }

    /// Takes in `future`, which first runs when somebody waits for the crowd.
    pub fn join(&mut self, future: F) {
        let place = self.members.iter().position(Option::is_none).unwrap_or_else(|| {
            self.members.push(None);
            self.members.len() - 1
        });
        let waker = Waker::from(Arc::new(MemberWaker { place, woken: Arc::clone(&self.woken) }));
        self.members[place] = Some(Member { future: Box::pin(future), waker });
        self.running += 1;
        self.batch.push_back(place);
    }

    /// The next output, in the order in which futures end; `None` once all have been collected.
    pub async fn next(&mut self) -> Option<F::Output> {
        poll_fn(|cx| {
            if self.ended.is_empty() {
                self.advance(cx);
            }
            match self.ended.pop_front() {
                Some(output) => Poll::Ready(Some(output)),
                None if self.running == 0 => Poll::Ready(None),
                None => Poll::Pending,
            }
        })
        .await
    }

    /// The output of `other`; the crowd runs on meanwhile.
    pub async fn beside<T>(&mut self, other: impl Future<Output = T>) -> T {
        let mut other = pin!(other);
        poll_fn(|cx| {
            if let Poll::Ready(output) = other.as_mut().poll(cx) {
                return Poll::Ready(output);
            }
            self.advance(cx);
            Poll::Pending
        })
        .await
    }

    /// Polls everybody who can go on.
    fn advance(&mut self, cx: &mut Context<'_>) {
        {
            let mut woken = lock(&self.woken);
            self.batch.append(&mut woken.places);
            woken.waiter = Some(cx.waker().clone());
        }
        while let Some(place) = self.batch.pop_front() {
            let Some(member) = &mut self.members[place] else { continue };
            if let Poll::Ready(output) = member.future.as_mut().poll(&mut Context::from_waker(&member.waker)) {
                self.members[place] = None;
                self.running -= 1;
                self.ended.push_back(output);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::{Sim, SimDuration, join_all};

    fn sleeper(sim: &Sim, name: u32, seconds: &'static [f64]) -> impl Future<Output = (u32, f64)> {
        let sim = sim.clone();
        async move {
            for s in seconds {
                sim.sleep(SimDuration::from_seconds(*s)).await;
            }
            (name, sim.now().as_seconds())
        }
    }

    #[test]
    fn members_are_collected_as_they_end_and_others_may_join() {
        let sim = Sim::new();
        let collected = sim.run(async {
            let mut crowd = Crowd::new();
            crowd.join(sleeper(&sim, 0, &[3.0, 1.0]));
            crowd.join(sleeper(&sim, 1, &[1.0]));
            crowd.join(sleeper(&sim, 2, &[1.0]));
            let mut seen = vec![];
            while let Some((name, at)) = crowd.next().await {
                seen.push((name, at));
                if name == 1 {
                    crowd.join(sleeper(&sim, 3, &[5.0]));
                }
            }
            seen
        });
        assert_eq!(collected, Ok(vec![(1, 1.0), (2, 1.0), (0, 4.0), (3, 6.0)]));
    }

    #[test]
    fn the_crowd_runs_on_beside_something_else() {
        let sim = Sim::new();
        let collected = sim.run(async {
            let mut crowd = Crowd::new();
            crowd.join(sleeper(&sim, 0, &[1.0, 1.0]));
            crowd.beside(sim.sleep(SimDuration::from_seconds(10.0))).await;
            (crowd.running(), crowd.next().await, sim.now().as_seconds())
        });
        assert_eq!(collected, Ok((0, Some((0, 2.0)), 10.0)));
    }

    #[test]
    fn a_crowd_of_fixed_members_runs_as_join_all_does() {
        const SECONDS: [&[f64]; 4] = [&[1.0, 2.0], &[1.0, 1.0, 1.0], &[0.5, 0.5], &[3.0]];
        let [joined, crowd] = [false, true].map(|as_crowd| {
            let sim = Sim::new();
            let sleepers = SECONDS.iter().zip(0..).map(|(s, name)| sleeper(&sim, name, s));
            if as_crowd {
                let mut crowd = Crowd::new();
                sleepers.for_each(|s| crowd.join(s));
                sim.run(async { while crowd.next().await.is_some() {} }).expect("an end");
            } else {
                sim.run(join_all(sleepers)).expect("an end");
            }
            (sim.events(), sim.digest())
        });
        assert_eq!(joined, crowd);
    }
}
