//! How long a piece of work takes where other programs run too.

use std::time::{Duration, Instant};

/// Long beside the ticks at which systems count processor time.
const WINDOW_S: f64 = 0.3;

/// Seconds of one `step`: the mean over one window.
pub(super) fn seconds_of(step: &dyn Fn(), on_one_thread: bool) -> f64 {
    let (clock, mut made) = (Clock::now(on_one_thread), 0);
    while made == 0 || clock.elapsed().as_secs_f64() < WINDOW_S {
        step();
        made += 1;
    }
    clock.elapsed().as_secs_f64() / f64::from(made)
}

/// Windows of about `seconds` together.
pub(super) fn windows_in(seconds: f64) -> usize {
    ((seconds / WINDOW_S).ceil() as usize).max(1)
}

/// The calling thread's processor time, where the system tells it and it is asked for; else the wall's.
struct Clock {
    processor: Option<Duration>,
    wall: Instant,
}

impl Clock {
    fn now(on_one_thread: bool) -> Self {
        Self { processor: on_one_thread.then(processor_time).flatten(), wall: Instant::now() }
    }

    fn elapsed(&self) -> Duration {
        let of_processor = self.processor.and_then(|then| Some(processor_time()? - then));
        of_processor.unwrap_or_else(|| self.wall.elapsed())
    }
}

/// What this thread has spent on a processor since it began (Linux).
fn processor_time() -> Option<Duration> {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(Duration::from_nanos(told.split_whitespace().next()?.parse().ok()?))
}
