//! Does it fit?

use super::{ComputeError, HardwareProfile};

impl HardwareProfile {
    /// Memory that a program may use if it is left `share` (0 to 1) of the whole.
    pub fn available_bytes(&self, share: f64) -> u64 {
        (self.memory_gb * 1e9 * share) as u64
    }

    /// Checks that `required_bytes` fit into `share` of the memory.
    ///
    /// # Errors
    /// [`ComputeError::OutOfMemory`] with both sizes.
    pub fn check_memory(&self, required_bytes: u64, share: f64) -> Result<(), ComputeError> {
        let available_bytes = self.available_bytes(share);
        if required_bytes <= available_bytes {
            return Ok(());
        }
        Err(ComputeError::OutOfMemory { hardware: self.name.clone(), required_bytes, available_bytes })
    }
}

#[cfg(test)]
mod tests {
    use crate::compute::profile;

    #[test]
    fn the_limit_itself_fits_and_one_byte_more_does_not() {
        let t4 = profile("nvidia_t4").unwrap();
        assert!(t4.check_memory(8_000_000_000, 0.5).is_ok());
        let message = t4.check_memory(8_000_000_001, 0.5).unwrap_err().to_string();
        assert!(message.contains("nvidia_t4") && message.contains("8000000001"), "{message}");
    }
}
