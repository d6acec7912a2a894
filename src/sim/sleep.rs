//! Waiting for an instant.

use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use super::combinators::{Either, select};
use super::error::Elapsed;
use super::executor::Sim;
use super::queue::EventId;
use super::time::{SimDuration, SimTime};

/// Completes when its instant comes; see [`Sim::sleep`].
#[derive(Debug)]
#[must_use = "a sleep does nothing until it is awaited"]
pub struct Sleep {
    sim: Sim,
    until: SimTime,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Unstarted,
    Pending(EventId),
    Never,
    Done,
}

impl Sim {
    /// Completes after `duration`; a zero one lets everything run that is already due. Dropping it cancels it.
    pub fn sleep(&self, duration: SimDuration) -> Sleep {
        self.sleep_until(self.now() + duration)
    }

    /// Completes at `until`, or at once if that has passed; never, if it is [`SimTime::MAX`].
    pub fn sleep_until(&self, until: SimTime) -> Sleep {
        Sleep { sim: self.clone(), until, state: State::Unstarted }
    }

    /// The output of `future`, or [`Elapsed`] if it is not ready at `deadline`; it is dropped then. What becomes ready
    /// in the very instant of the deadline counts if it was scheduled first.
    ///
    /// # Errors
    /// [`Elapsed`] at the deadline.
    pub async fn deadline<F: Future>(&self, deadline: SimTime, future: F) -> Result<F::Output, Elapsed> {
        let future = pin!(future);
        match select(future, self.sleep_until(deadline)).await {
            Either::Left(output) => Ok(output),
            Either::Right(()) => Err(Elapsed { deadline }),
        }
    }
}

impl Future for Sleep {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match self.state {
            State::Unstarted => {
                let timer = self.sim.timer_for(cx.waker());
                self.state = self.sim.schedule(self.until, timer).map_or(State::Never, State::Pending);
                Poll::Pending
            }
            State::Pending(id) => {
                // Its own turn in the queue ends a sleep, not the clock: the order of events stays total.
                if self.sim.has_fired(id) {
                    self.state = State::Done;
                    return Poll::Ready(());
                }
                // Woken for another reason, perhaps by another process that now holds this future.
                let timer = self.sim.timer_for(cx.waker());
                self.sim.redirect(id, timer);
                Poll::Pending
            }
            State::Never => Poll::Pending,
            State::Done => Poll::Ready(()),
        }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let State::Pending(id) = self.state {
            self.sim.cancel(id);
        }
    }
}
