//! Energy of computing: two power states, active and idle.

use super::HardwareProfile;
use crate::sim::SimDuration;

impl HardwareProfile {
    /// Joules drawn while computing for `busy` and waiting for `idle`.
    pub fn energy_joules(&self, busy: SimDuration, idle: SimDuration) -> f64 {
        self.active_w * busy.as_seconds() + self.idle_w * idle.as_seconds()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::profile;

    #[test]
    fn energy_is_power_times_time_in_each_state() {
        let pi = profile("raspberry_pi_5").unwrap();
        let joules = pi.energy_joules(SimDuration::from_seconds(10.0), SimDuration::from_seconds(5.0));
        assert!((joules - (9.8 * 10.0 + 3.3 * 5.0)).abs() < 1e-9);
    }
}
