//! A battery as a store of joules.

use super::HardwareProfile;

/// Charge left of a given capacity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Battery {
    pub capacity_joules: f64,
    pub remaining_joules: f64,
}

impl Battery {
    /// A battery charged to `percent` (limited to 0..=100) of its capacity.
    pub fn charged_to(capacity_joules: f64, percent: f64) -> Self {
        Self { capacity_joules, remaining_joules: capacity_joules * percent.clamp(0.0, 100.0) / 100.0 }
    }

    /// Takes out `joules`, or what is left; returns what was taken.
    pub fn drain(&mut self, joules: f64) -> f64 {
        let taken = joules.clamp(0.0, self.remaining_joules);
        self.remaining_joules -= taken;
        taken
    }

    pub fn exhausted(&self) -> bool {
        self.remaining_joules <= 0.0
    }

    /// Charge left, 0 to 100.
    pub fn percent(&self) -> f64 {
        100.0 * self.remaining_joules / self.capacity_joules
    }
}

impl HardwareProfile {
    /// The device's battery charged to `percent`; `None` for hardware on the mains.
    pub fn battery(&self, percent: f64) -> Option<Battery> {
        const JOULES_PER_WATT_HOUR: f64 = 3600.0;
        self.battery_wh.map(|wh| Battery::charged_to(wh * JOULES_PER_WATT_HOUR, percent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::profile;

    #[test]
    fn a_battery_gives_no_more_than_it_holds() {
        let mut battery = Battery::charged_to(100.0, 50.0);
        assert_eq!(battery.drain(20.0), 20.0);
        assert!(!battery.exhausted());
        assert_eq!(battery.drain(40.0), 30.0);
        assert!(battery.exhausted());
        assert_eq!(battery.percent(), 0.0);
    }

    #[test]
    fn phones_have_one_and_servers_have_none() {
        let phone = profile("apple_a17_pro").unwrap().battery(100.0).unwrap();
        assert!((phone.capacity_joules - 12.7 * 3600.0).abs() < 1e-6);
        assert!(profile("nvidia_h100_sxm").unwrap().battery(100.0).is_none());
    }
}
