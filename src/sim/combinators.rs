//! Waiting for several futures at once.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// Which of two futures was first, and what it returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Either<A, B> {
    Left(A),
    Right(B),
}

/// Completes with the first of two futures and drops the other; with `left` if both are ready.
pub async fn select<A: Future, B: Future>(left: A, right: B) -> Either<A::Output, B::Output> {
    let (mut left, mut right) = (pin!(left), pin!(right));
    poll_fn(|cx| {
        if let Poll::Ready(output) = left.as_mut().poll(cx) {
            return Poll::Ready(Either::Left(output));
        }
        right.as_mut().poll(cx).map(Either::Right)
    })
    .await
}

/// Completes when both futures have.
pub async fn join<A: Future, B: Future>(left: A, right: B) -> (A::Output, B::Output) {
    let (mut left, mut right) = (pin!(left), pin!(right));
    let (mut left_output, mut right_output) = (None, None);
    poll_fn(|cx| {
        if left_output.is_none()
            && let Poll::Ready(output) = left.as_mut().poll(cx)
        {
            left_output = Some(output);
        }
        if right_output.is_none()
            && let Poll::Ready(output) = right.as_mut().poll(cx)
        {
            right_output = Some(output);
        }
        match (left_output.take(), right_output.take()) {
            (Some(left), Some(right)) => Poll::Ready((left, right)),
            halves => {
                (left_output, right_output) = halves;
                Poll::Pending
            }
        }
    })
    .await
}

/// Completes when all `futures` have, with their outputs in the order of the futures.
///
/// Each future has a waker of its own, so a wake-up polls the woken future only: n futures cost O(n) polls, not O(n²).
/// They may borrow. They are first polled in their order, then in the order of their wake-ups.
pub fn join_all<I>(futures: I) -> JoinAll<I::Item>
where
    I: IntoIterator,
    I::Item: Future,
{
    let woken = Arc::new(Mutex::new(Woken::default()));
    let children: Vec<_> = futures
        .into_iter()
        .enumerate()
        .map(|(index, future)| {
            let waker = Waker::from(Arc::new(ChildWaker { index, woken: Arc::clone(&woken) }));
            Child { state: ChildState::Running(Box::pin(future)), waker }
        })
        .collect();
    let unfinished = children.len();
    let batch = (0..unfinished).collect();
    JoinAll { children, unfinished, batch, woken }
}

/// See [`join_all`].
#[must_use = "futures do nothing until they are awaited"]
pub struct JoinAll<F: Future> {
    children: Vec<Child<F>>,
    unfinished: usize,
    /// Children to poll now. Those woken meanwhile line up in `woken`, behind other processes already woken.
    batch: VecDeque<usize>,
    woken: Arc<Mutex<Woken>>,
}

struct Child<F: Future> {
    state: ChildState<F>,
    waker: Waker,
}

enum ChildState<F: Future> {
    Running(Pin<Box<F>>),
    Ended(F::Output),
    Collected,
}

#[derive(Default)]
struct Woken {
    children: VecDeque<usize>,
    parent: Option<Waker>,
}

struct ChildWaker {
    index: usize,
    woken: Arc<Mutex<Woken>>,
}

fn lock(woken: &Mutex<Woken>) -> MutexGuard<'_, Woken> {
    // Nothing that can panic runs under this lock.
    woken.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Wake for ChildWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let parent = {
            let mut woken = lock(&self.woken);
            woken.children.push_back(self.index);
            // The parent is woken once for all children woken before it runs.
            woken.parent.take()
        };
        if let Some(parent) = parent {
            parent.wake();
        }
    }
}

/// The children are boxed: moving the whole does not move them. Outputs are never pinned.
impl<F: Future> Unpin for JoinAll<F> {}

impl<F: Future> Future for JoinAll<F> {
    type Output = Vec<F::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        {
            let mut woken = lock(&this.woken);
            this.batch.append(&mut woken.children);
            woken.parent = Some(cx.waker().clone());
        }
        while let Some(index) = this.batch.pop_front() {
            let child = &mut this.children[index];
            let ChildState::Running(future) = &mut child.state else { continue };
            if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&child.waker)) {
                child.state = ChildState::Ended(output);
                this.unfinished -= 1;
            }
        }
        if this.unfinished > 0 {
            return Poll::Pending;
        }
        let outputs = this.children.iter_mut().filter_map(|child| {
            match std::mem::replace(&mut child.state, ChildState::Collected) {
                ChildState::Ended(output) => Some(output),
                _ => None,
            }
        });
        Poll::Ready(outputs.collect())
    }
}
