//! The models that a replication ended with.

use super::ExperimentError;
use crate::adapter::AdapterFile;
use crate::learning::{Learning, StateHandle};
use crate::world::World;

/// Name of the only model, where devices do not keep models of their own.
const GLOBAL: &str = "global";

/// Handles to final states and the plane that computes them: nothing is computed before it is asked for.
pub struct FinalModels {
    learn: Learning,
    /// With their names.
    models: Vec<(String, StateHandle)>,
}

impl FinalModels {
    /// `models` as the last round left them: one, or one a device. `None` if nothing was trained.
    pub(super) fn new(world: &World, learn: Learning, models: &[StateHandle]) -> Option<Self> {
        let names: Vec<String> = match models {
            [_] => vec![GLOBAL.to_owned()],
            _ => world.devices().map(|device| device.name.clone()).collect(),
        };
        let models = names.into_iter().zip(models.iter().copied()).collect();
        learn.trains().then_some(Self { learn, models })
    }

    /// The trained parameters of every model: `global`, or under the names of the devices.
    ///
    /// # Errors
    /// If a state that the cache does not hold cannot be computed again.
    pub fn adapters(&self) -> Result<Vec<(String, AdapterFile)>, ExperimentError> {
        let mut adapters = Vec::with_capacity(self.models.len());
        let Some((layout, architecture)) = self.learn.layout().zip(self.learn.architecture()) else {
            return Ok(adapters);
        };
        for (name, model) in &self.models {
            if let Some(state) = self.learn.state(*model)? {
                adapters.push((name.clone(), AdapterFile::new(architecture, layout, state.parameters.clone())));
            }
        }
        Ok(adapters)
    }
}
