//! A latch: processes wait until somebody sets it; from then on nobody waits.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// A flag that can be waited for. Cloning gives another handle on the same flag.
#[derive(Clone, Debug, Default)]
pub struct Signal {
    state: Rc<RefCell<State>>,
}

#[derive(Debug, Default)]
struct State {
    is_set: bool,
    /// By arrival, so that they are woken in that order.
    waiting: BTreeMap<u64, Waker>,
    arrivals: u64,
}

impl Signal {
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the flag for good and wakes everybody who waits, in the order in which they came.
    pub fn set(&self) {
        let waiting = {
            let mut state = self.state.borrow_mut();
            state.is_set = true;
            std::mem::take(&mut state.waiting)
        };
        waiting.into_values().for_each(Waker::wake);
    }

    pub fn is_set(&self) -> bool {
        self.state.borrow().is_set
    }

    /// Completes once the flag is set.
    pub fn wait(&self) -> SignalWait {
        SignalWait { signal: self.clone(), ticket: None }
    }
}

/// See [`Signal::wait`].
#[derive(Debug)]
#[must_use = "futures do nothing until they are awaited"]
pub struct SignalWait {
    signal: Signal,
    ticket: Option<u64>,
}

impl Future for SignalWait {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let state = Rc::clone(&self.signal.state);
        let mut state = state.borrow_mut();
        if state.is_set {
            return Poll::Ready(());
        }
        let ticket = *self.ticket.get_or_insert_with(|| {
            state.arrivals += 1;
            state.arrivals
        });
        state.waiting.insert(ticket, cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for SignalWait {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.signal.state.borrow_mut().waiting.remove(&ticket);
        }
    }
}
