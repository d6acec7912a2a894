//! Terms that a federated technique adds to local gradients, before the optimiser sees them.

use super::identity::IdentityBuilder;
use super::value::State;
use std::sync::Arc;

/// What is added to the mean gradient of a mini-batch. The default adds nothing.
///
/// The step's first companions are the states that the terms speak of: with a proximal term the reference, with
/// control variates the device's own and then the server's.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct GradientTerms {
    /// mu of FedProx (Li et al. 2020, arXiv 1812.06127): adds mu (w - w_reference), the gradient of
    /// mu / 2 |w - w_reference|^2.
    pub proximal_mu: f64,
    /// SCAFFOLD (Karimireddy et al. 2020, arXiv 1910.06378, algorithm 1): adds c - c_i.
    pub control_variates: bool,
}

impl GradientTerms {
    pub(super) fn identify(&self, mut b: IdentityBuilder) -> IdentityBuilder {
        if self.proximal_mu != 0.0 {
            b = b.text("proximal").real(self.proximal_mu);
        }
        if self.control_variates { b.text("control variates") } else { b }
    }

    /// Adds the terms at `parameters` to `gradient`.
    pub(super) fn add(&self, parameters: &[f32], companions: &[Arc<State>], gradient: &mut [f32]) {
        let mut companions = companions.iter().map(|c| c.parameters.as_slice());
        if self.proximal_mu != 0.0
            && let Some(reference) = companions.next()
        {
            let mu = self.proximal_mu as f32;
            for ((g, p), r) in gradient.iter_mut().zip(parameters).zip(reference) {
                *g += mu * (p - r);
            }
        }
        if self.control_variates
            && let (Some(own), Some(server)) = (companions.next(), companions.next())
        {
            for ((g, own), server) in gradient.iter_mut().zip(own).zip(server) {
                *g += server - own;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(parameters: [f32; 2]) -> Arc<State> {
        Arc::new(State { parameters: parameters.to_vec(), moments: None, loss: None })
    }

    #[test]
    fn terms_add_up_in_the_order_of_their_companions() {
        let companions = [state([1.0, 1.0]), state([0.5, -0.5]), state([0.25, 2.0])];
        let add = |terms: GradientTerms, companions: &[Arc<State>]| {
            let mut gradient = [10.0, 20.0];
            terms.add(&[3.0, 0.0], companions, &mut gradient);
            gradient
        };
        assert_eq!(add(GradientTerms::default(), &companions), [10.0, 20.0]);
        let proximal = GradientTerms { proximal_mu: 0.5, control_variates: false };
        assert_eq!(add(proximal, &companions), [11.0, 19.5]);
        let corrected = GradientTerms { proximal_mu: 0.0, control_variates: true };
        assert_eq!(add(corrected, &companions[1..]), [9.75, 22.5]);
        let both = GradientTerms { proximal_mu: 0.5, control_variates: true };
        assert_eq!(add(both, &companions), [10.75, 22.0]);
    }
}
