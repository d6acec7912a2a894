//! Messages between processes: many senders, one receiver, first in, first out, no bound.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// A new channel.
pub fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    let state = State { messages: VecDeque::new(), senders: 1, receiver_lives: true, waiter: None };
    let state = Rc::new(RefCell::new(state));
    (Sender { state: Rc::clone(&state) }, Receiver { state })
}

#[derive(Debug)]
struct State<T> {
    messages: VecDeque<T>,
    senders: usize,
    receiver_lives: bool,
    waiter: Option<Waker>,
}

/// The receiver is gone; the message comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the receiver of this channel has been dropped")]
pub struct Closed<T>(pub T);

/// The sending end; clone it for further senders.
#[derive(Debug)]
pub struct Sender<T> {
    state: Rc<RefCell<State<T>>>,
}

impl<T> Sender<T> {
    /// Sends without waiting; the message takes no time.
    ///
    /// # Errors
    /// [`Closed`] if the receiver has been dropped.
    pub fn send(&self, message: T) -> Result<(), Closed<T>> {
        let mut state = self.state.borrow_mut();
        if !state.receiver_lives {
            return Err(Closed(message));
        }
        state.messages.push_back(message);
        if let Some(waiter) = state.waiter.take() {
            waiter.wake();
        }
        Ok(())
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.state.borrow_mut().senders += 1;
        Self { state: Rc::clone(&self.state) }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut state = self.state.borrow_mut();
        state.senders -= 1;
        if state.senders == 0
            && let Some(waiter) = state.waiter.take()
        {
            waiter.wake();
        }
    }
}

/// The receiving end.
#[derive(Debug)]
pub struct Receiver<T> {
    state: Rc<RefCell<State<T>>>,
}

impl<T> Receiver<T> {
    /// The next message; `None` once all senders are dropped and nothing is left.
    pub async fn recv(&mut self) -> Option<T> {
        poll_fn(|cx| {
            let mut state = self.state.borrow_mut();
            match state.messages.pop_front() {
                Some(message) => Poll::Ready(Some(message)),
                None if state.senders == 0 => Poll::Ready(None),
                None => {
                    state.waiter = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// A message that has already arrived.
    pub fn try_recv(&mut self) -> Option<T> {
        self.state.borrow_mut().messages.pop_front()
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let unread = {
            let mut state = self.state.borrow_mut();
            state.receiver_lives = false;
            state.waiter = None;
            std::mem::take(&mut state.messages)
        };
        // Messages may hold senders of this very channel.
        drop(unread);
    }
}
