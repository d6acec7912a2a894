//! What `phold`, `mm1` and `flows` share with the programs of `scripts/peers_des`: the generator, so that programs that draw
//! in the same order play the same run, and the line that `scripts/bench_des.sh` reads.

#![allow(dead_code, reason = "no example uses all of it")]

use std::time::{Duration, Instant};

/// xoshiro256++ (Blackman, Vigna 2019) seeded with SplitMix64: light enough for the queue to be what is measured.
pub struct Xoshiro {
    state: [u64; 4],
}

impl Xoshiro {
    pub fn new(seed: u64) -> Self {
        let mut weyl = seed;
        let state = std::array::from_fn(|_| {
            weyl = weyl.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let z = (weyl ^ (weyl >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            z ^ (z >> 31)
        });
        Self { state }
    }

    fn bits(&mut self) -> u64 {
        let [s0, s1, s2, s3] = &mut self.state;
        let result = s0.wrapping_add(*s3).rotate_left(23).wrapping_add(*s0);
        let t = *s1 << 17;
        *s2 ^= *s0;
        *s3 ^= *s1;
        *s1 ^= *s2;
        *s0 ^= *s3;
        *s2 ^= t;
        *s3 = s3.rotate_left(45);
        result
    }

    /// Exponential with mean 1. The uniform number behind it is in (0, 1], so that its logarithm is finite.
    pub fn exponential(&mut self) -> f64 {
        -(((self.bits() >> 11) + 1) as f64 / (1u64 << 53) as f64).ln()
    }

    /// Uniform in 0..n by multiplication (Lemire 2019), its bias of n / 2^32 left alone.
    pub fn below(&mut self, n: u32) -> u32 {
        (((self.bits() >> 32) * u64::from(n)) >> 32) as u32
    }
}

/// Exponential, each drawn when the one before it is taken: the logarithm is at hand when it is needed, and the queue is
/// measured.
pub struct Ahead {
    random: Xoshiro,
    mean: f64,
    next: f64,
}

impl Ahead {
    pub fn new(seed: u64, mean: f64) -> Self {
        let mut random = Xoshiro::new(seed);
        Self { mean, next: mean * random.exponential(), random }
    }

    #[inline]
    pub fn take(&mut self) -> f64 {
        let next = self.mean * self.random.exponential();
        std::mem::replace(&mut self.next, next)
    }
}

/// Time that this thread has had a processor, where the system tells (Linux), so that a busy neighbour costs little;
/// else the time of day.
pub struct Watch {
    wall: Instant,
    cpu: Option<Duration>,
}

impl Watch {
    pub fn start() -> Self {
        Self { wall: Instant::now(), cpu: Self::cpu() }
    }

    pub fn stop(&self) -> Spent {
        let wall = self.wall.elapsed();
        let cpu = Self::cpu().zip(self.cpu).map(|(now, start)| now - start).filter(|spent| !spent.is_zero());
        Spent { cpu_seconds: cpu.unwrap_or(wall).as_secs_f64(), wall_seconds: wall.as_secs_f64() }
    }

    fn cpu() -> Option<Duration> {
        let schedule = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
        schedule.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
    }
}

#[derive(Clone, Copy)]
pub struct Spent {
    pub cpu_seconds: f64,
    pub wall_seconds: f64,
}

impl Spent {
    /// The line of `scripts/bench_des.sh`: load, program, units, processor and wall seconds, rate, what is checked.
    pub fn line(&self, load: &str, program: &str, units: u64, check: &str) -> String {
        let Self { cpu_seconds, wall_seconds } = self;
        let rate = units as f64 / cpu_seconds;
        format!("{load}\t{program}\t{units}\t{cpu_seconds:.6}\t{wall_seconds:.6}\t{rate:.0}\t{check}")
    }
}
