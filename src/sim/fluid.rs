//! Fluid resources: flows that share capacity and finish when their volume has passed.
//!
//! A [`FluidModel`] is plain state that a solver advances (a cell, a wired network); [`Fluid`] lets processes
//! await their flow's completion with one reschedulable timer for the whole model, however many flows live.

use std::any::type_name;
use std::cell::{RefCell, RefMut};
use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};

use super::error::SimError;
use super::executor::{Callback, Sim, Timer};
use super::queue::EventId;
use super::time::SimTime;

/// What shares its capacity among flows. Implementations know rates and volumes, nothing of processes.
pub trait FluidModel {
    /// What a new flow asks for (who, which way, how many bytes).
    type Request;
    /// What a finished flow reports.
    type Report;

    /// Admits a flow at `now` and returns its key, unique for the life of the model.
    /// The caller has already called [`advance`](Self::advance) to `now`.
    fn start(&mut self, now: SimTime, request: Self::Request) -> u64;

    /// Withdraws a flow that has not finished; an unknown key is ignored. Returns what the flow had come to, where the
    /// model keeps account of that.
    fn cancel(&mut self, now: SimTime, key: u64) -> Option<Self::Report>;

    /// The next instant at which a flow finishes or rates change by themselves; `None` when idle.
    fn next_event(&self) -> Option<SimTime>;

    /// Moves the state to `now` and returns the flows that have finished, in the order in which they were admitted
    /// where several finish together.
    fn advance(&mut self, now: SimTime) -> Vec<(u64, Self::Report)>;
}

/// A [`FluidModel`] that processes can use; a cheap handle on one shared model.
///
/// Everything that happens to the model in one instant (a thousand flows that start together) is followed by a single
/// call of [`next_event`](FluidModel::next_event), so a solver that recomputes its rates there does so once.
pub struct Fluid<M: FluidModel> {
    inner: Rc<Inner<M>>,
}

struct Inner<M: FluidModel> {
    sim: Sim,
    state: RefCell<State<M>>,
}

struct State<M: FluidModel> {
    model: M,
    /// By key, for as long as somebody holds the [`Transfer`].
    flows: BTreeMap<u64, Flow<M::Report>>,
    timer: Option<(SimTime, EventId)>,
    /// An announced event that is due and has not happened: a second such announcement means a standstill.
    overdue: Option<SimTime>,
}

enum Flow<R> {
    Running(Waker),
    Finished(R),
}

impl<M: FluidModel> Clone for Fluid<M> {
    fn clone(&self) -> Self {
        Self { inner: Rc::clone(&self.inner) }
    }
}

impl<M: FluidModel> fmt::Debug for Fluid<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fluid").field("model", &type_name::<M>()).finish_non_exhaustive()
    }
}

impl<M: FluidModel + 'static> Fluid<M> {
    pub fn new(sim: &Sim, model: M) -> Self {
        let state = State { model, flows: BTreeMap::new(), timer: None, overdue: None };
        let fluid = Self { inner: Rc::new(Inner { sim: sim.clone(), state: RefCell::new(state) }) };
        // The model may have changes of its own to announce before the first flow.
        fluid.inner.settle_soon(&mut fluid.inner.state.borrow_mut());
        fluid
    }

    /// A flow, started when first awaited; completes with its report. Dropping it withdraws the flow.
    pub fn transfer(&self, request: M::Request) -> Transfer<M> {
        Transfer { inner: Rc::clone(&self.inner), phase: Phase::Unstarted(request), withdrawn: None }
    }

    /// Lets `access` inspect or change the model as of now, and follows up what it changed.
    pub fn with<R>(&self, access: impl FnOnce(&mut M) -> R) -> R {
        let mut state = self.inner.up_to_date();
        let result = access(&mut state.model);
        self.inner.settle_soon(&mut state);
        result
    }
}

impl<M: FluidModel + 'static> Inner<M> {
    /// The state, advanced to now. Waking only lines processes up, so nobody comes back here while it is borrowed.
    fn up_to_date(&self) -> RefMut<'_, State<M>> {
        let mut state = self.state.borrow_mut();
        state.advance(self.sim.now());
        state
    }

    /// Has the model asked for its next event once everything due at this instant has run.
    fn settle_soon(self: &Rc<Self>, state: &mut State<M>) {
        state.overdue = None;
        self.arm(state, self.sim.now());
    }

    fn arm(self: &Rc<Self>, state: &mut State<M>, at: SimTime) {
        if state.timer.is_some_and(|(armed, _)| armed == at) {
            return;
        }
        if let Some((_, id)) = state.timer.take() {
            self.sim.cancel(id);
        }
        let callee: Weak<Self> = Rc::downgrade(self);
        state.timer = self.sim.schedule(at, Timer::Call(callee)).map(|id| (at, id));
    }
}

impl<M: FluidModel + 'static> Callback for Inner<M> {
    fn call(self: Rc<Self>) {
        let now = self.sim.now();
        let mut state = self.state.borrow_mut();
        state.timer = None;
        if state.advance(now) {
            // Those who waited for these flows may start others now: ask once for all of them.
            return self.settle_soon(&mut state);
        }
        match state.model.next_event() {
            Some(next) if next <= now => {
                if state.overdue.is_some_and(|previous| next <= previous) {
                    let model = type_name::<M>();
                    return self.sim.fail(SimError::Stalled { model, at: now, announced: next });
                }
                state.overdue = Some(next);
                self.arm(&mut state, now);
            }
            Some(next) => {
                state.overdue = None;
                self.arm(&mut state, next);
            }
            None => state.overdue = None,
        }
    }
}

impl<M: FluidModel> Drop for Inner<M> {
    fn drop(&mut self) {
        if let Some((_, id)) = self.state.get_mut().timer {
            self.sim.cancel(id);
        }
    }
}

impl<M: FluidModel> State<M> {
    /// Moves the model to `now`; true if flows have finished.
    fn advance(&mut self, now: SimTime) -> bool {
        let finished = self.model.advance(now);
        let any = !finished.is_empty();
        for (key, report) in finished {
            // A flow that the model started by itself has nobody to tell.
            if let Some(flow) = self.flows.get_mut(&key)
                && let Flow::Running(waker) = std::mem::replace(flow, Flow::Finished(report))
            {
                waker.wake();
            }
        }
        any
    }
}

/// Where a flow that is withdrawn leaves its report; see [`Transfer::leaving`].
pub type Withdrawn<R> = Rc<RefCell<Option<R>>>;

/// See [`Fluid::transfer`].
#[must_use = "a flow starts when it is first awaited"]
pub struct Transfer<M: FluidModel + 'static> {
    inner: Rc<Inner<M>>,
    phase: Phase<M::Request>,
    withdrawn: Option<Withdrawn<M::Report>>,
}

impl<M: FluidModel + 'static> Transfer<M> {
    /// If the flow is withdrawn on its way, its report will lie in `place`.
    pub fn leaving(mut self, place: &Withdrawn<M::Report>) -> Self {
        self.withdrawn = Some(Rc::clone(place));
        self
    }
}

enum Phase<R> {
    Unstarted(R),
    Running(u64),
    Ended,
}

/// Nothing in a transfer is polled in place.
impl<M: FluidModel> Unpin for Transfer<M> {}

impl<M: FluidModel> Future for Transfer<M> {
    type Output = M::Report;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<M::Report> {
        let this = self.get_mut();
        match std::mem::replace(&mut this.phase, Phase::Ended) {
            Phase::Unstarted(request) => {
                let mut state = this.inner.up_to_date();
                let key = state.model.start(this.inner.sim.now(), request);
                state.flows.insert(key, Flow::Running(cx.waker().clone()));
                this.inner.settle_soon(&mut state);
                this.phase = Phase::Running(key);
                Poll::Pending
            }
            Phase::Running(key) => {
                let mut state = this.inner.state.borrow_mut();
                match state.flows.get_mut(&key) {
                    Some(Flow::Running(waker)) => {
                        waker.clone_from(cx.waker());
                        this.phase = Phase::Running(key);
                        Poll::Pending
                    }
                    _ => match state.flows.remove(&key) {
                        Some(Flow::Finished(report)) => Poll::Ready(report),
                        _ => Poll::Pending,
                    },
                }
            }
            Phase::Ended => Poll::Pending,
        }
    }
}

impl<M: FluidModel + 'static> Drop for Transfer<M> {
    fn drop(&mut self) {
        if let Phase::Running(key) = self.phase {
            let mut state = self.inner.up_to_date();
            if let Some(Flow::Running(_)) = state.flows.remove(&key) {
                let report = state.model.cancel(self.inner.sim.now(), key);
                if let Some(place) = &self.withdrawn {
                    *place.borrow_mut() = report;
                }
                self.inner.settle_soon(&mut state);
            }
        }
    }
}
