//! Servers that one process holds at a time, with a waiting line.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::executor::Sim;
use super::time::{SimDuration, SimTime};

/// Who is next when a server comes free. Nobody is interrupted once served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discipline {
    /// First come, first served; priorities are ignored.
    Fifo,
    /// The highest priority first, and first come, first served within one.
    Priority,
}

/// `servers` alike servers with one line. A cheap handle on shared state. For servers that divide themselves among
/// all customers see [`ProcessorSharing`](super::ProcessorSharing).
#[derive(Clone, Debug)]
pub struct Resource {
    sim: Sim,
    state: Rc<RefCell<State>>,
}

#[derive(Debug)]
struct State {
    discipline: Discipline,
    servers: usize,
    busy: usize,
    /// By (priority, arrival).
    line: BTreeMap<Place, Waker>,
    /// Arrivals that were handed a server and have not run since.
    granted: BTreeSet<u64>,
    arrivals: u64,
    served: u64,
    updated: SimTime,
    busy_nanos: u128,
    line_nanos: u128,
}

type Place = (Reverse<i32>, u64);

/// What a resource has been doing since the start of the simulation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ResourceStats {
    /// Customers that have released their server.
    pub served: u64,
    pub in_service: usize,
    pub queue_length: usize,
    /// Server-time spent held: two servers busy for a second make two seconds.
    pub busy: SimDuration,
    /// Average over time.
    pub mean_queue_length: f64,
    /// Busy share of the servers' time, 0 to 1.
    pub utilisation: f64,
}

/// How a customer fared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Served {
    pub waited: SimDuration,
    pub service: SimDuration,
}

impl Served {
    pub fn sojourn(&self) -> SimDuration {
        self.waited + self.service
    }
}

impl Resource {
    pub fn new(sim: &Sim, servers: usize, discipline: Discipline) -> Self {
        let state = State {
            discipline,
            servers,
            busy: 0,
            line: BTreeMap::new(),
            granted: BTreeSet::new(),
            arrivals: 0,
            served: 0,
            updated: sim.now(),
            busy_nanos: 0,
            line_nanos: 0,
        };
        Self { sim: sim.clone(), state: Rc::new(RefCell::new(state)) }
    }

    /// A server, released when the guard is dropped. Dropping the future leaves the line.
    pub fn acquire(&self, priority: i32) -> Acquire {
        Acquire { resource: self.clone(), priority, phase: Phase::Unstarted }
    }

    /// Waits for a server and holds it for `service`.
    pub async fn serve(&self, service: SimDuration) -> Served {
        self.serve_with_priority(0, service).await
    }

    /// [`serve`](Self::serve) with a place in the line for [`Discipline::Priority`].
    pub async fn serve_with_priority(&self, priority: i32, service: SimDuration) -> Served {
        let arrived = self.sim.now();
        let _server = self.acquire(priority).await;
        let waited = self.sim.now() - arrived;
        self.sim.sleep(service).await;
        Served { waited, service }
    }

    pub fn stats(&self) -> ResourceStats {
        let mut state = self.state.borrow_mut();
        state.account(self.sim.now());
        let elapsed = self.sim.now().as_nanos() as f64;
        let per_time = |nanos: u128| if elapsed > 0.0 { nanos as f64 / elapsed } else { 0.0 };
        ResourceStats {
            served: state.served,
            in_service: state.busy,
            queue_length: state.line.len(),
            busy: SimDuration::from_nanos(u64::try_from(state.busy_nanos).unwrap_or(u64::MAX)),
            mean_queue_length: per_time(state.line_nanos),
            utilisation: per_time(state.busy_nanos) / state.servers.max(1) as f64,
        }
    }
}

impl State {
    /// Books the time since the last change. To be called before `busy` or `line` change.
    fn account(&mut self, now: SimTime) {
        let span = u128::from((now - self.updated).as_nanos());
        self.busy_nanos += span * self.busy as u128;
        self.line_nanos += span * self.line.len() as u128;
        self.updated = now;
    }

    /// Takes a server back and hands it to the next in line, whom it returns for waking. The server never looks free
    /// in between, so nobody can overtake.
    fn release(&mut self, now: SimTime) -> Option<Waker> {
        self.account(now);
        match self.line.pop_first() {
            Some(((_, arrival), waker)) => {
                self.granted.insert(arrival);
                Some(waker)
            }
            None => {
                self.busy -= 1;
                None
            }
        }
    }
}

/// See [`Resource::acquire`].
#[derive(Debug)]
#[must_use = "nobody stands in line before this is awaited"]
pub struct Acquire {
    resource: Resource,
    priority: i32,
    phase: Phase,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Unstarted,
    Waiting(Place),
    Ended,
}

impl Future for Acquire {
    type Output = Guard;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Guard> {
        let resource = self.resource.clone();
        let mut state = resource.state.borrow_mut();
        match self.phase {
            Phase::Unstarted => {
                state.account(resource.sim.now());
                if state.busy < state.servers {
                    state.busy += 1;
                } else {
                    let priority = match state.discipline {
                        Discipline::Fifo => 0,
                        Discipline::Priority => self.priority,
                    };
                    let place = (Reverse(priority), state.arrivals);
                    state.arrivals += 1;
                    state.line.insert(place, cx.waker().clone());
                    self.phase = Phase::Waiting(place);
                    return Poll::Pending;
                }
            }
            Phase::Waiting(place) => {
                if !state.granted.remove(&place.1) {
                    state.line.insert(place, cx.waker().clone());
                    return Poll::Pending;
                }
            }
            Phase::Ended => return Poll::Pending,
        }
        self.phase = Phase::Ended;
        drop(state);
        Poll::Ready(Guard { resource })
    }
}

impl Drop for Acquire {
    fn drop(&mut self) {
        let Phase::Waiting(place) = self.phase else { return };
        let now = self.resource.sim.now();
        let mut state = self.resource.state.borrow_mut();
        if state.granted.remove(&place.1) {
            // The server had been handed over, but its new holder left in the same instant.
            if let Some(next) = state.release(now) {
                next.wake();
            }
        } else {
            state.account(now);
            state.line.remove(&place);
        }
    }
}

/// A server held; dropping it releases the server.
#[derive(Debug)]
#[must_use = "the server is released as soon as this is dropped"]
pub struct Guard {
    resource: Resource,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut state = self.resource.state.borrow_mut();
        state.served += 1;
        if let Some(next) = state.release(self.resource.sim.now()) {
            next.wake();
        }
    }
}
