//! How training examples are dealt to devices.

use super::shuffle::shuffle;
use super::{DataError, Domain};
use crate::random::Stream;
use rand::Rng as _;
use rand_distr::{Distribution as _, Gamma, Open01};

/// A rule for who holds which examples. Whatever the rule, no example is dealt twice and none is left over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Partition {
    /// Every device samples the same distribution.
    Iid,
    /// Label skew (Hsu, Qi, Brown 2019, arXiv:1909.06335): device k draws class proportions q_k ~ Dir(alpha p), p being
    /// those of the whole set, and samples without replacement from q_k restricted to the classes that have examples
    /// left. The parameters of the Dirichlet distribution add up to `alpha`: small is skewed, large is IID. (Papers
    /// whose parameters are alpha for each of C classes mean C times this.) Devices take turns in random order, so
    /// that running out of a class distorts all of them alike.
    Dirichlet { alpha: f64 },
    /// Feature skew as found in the wild: device k of K holds examples of domain floor(k D / K) only, dealt at random
    /// among the devices of that domain. Needs K >= D.
    Domain,
}

/// Range of `alpha`: single-class devices below it, IID to within any measurement above it.
const ALPHA: std::ops::RangeInclusive<f64> = 1e-6..=1e6;

impl Partition {
    /// Indices into the training half for each device, ascending.
    ///
    /// `labels` are those of the training half, `domains` cover it in order, `weights` are relative numbers of
    /// examples wanted, one per device (equal for equal shares): device k gets N w_k / sum(w), rounded by largest
    /// remainder, but at least one example, taken from the largest share. Under [`Partition::Domain`] weights count
    /// within a domain.
    pub fn deal(
        &self,
        labels: &[u32],
        domains: &[Domain],
        weights: &[f64],
        stream: &mut Stream,
    ) -> Result<Vec<Vec<usize>>, DataError> {
        let error = |cause: String| DataError::Partition { examples: labels.len(), devices: weights.len(), cause };
        if let Some(w) = weights.iter().find(|w| !(w.is_finite() && **w > 0.0)) {
            return Err(error(format!("relative sample count {w}, expected a positive number")));
        }
        let all: Vec<usize> = (0..labels.len()).collect();
        let mut shares = match *self {
            Self::Iid => deal_iid(all, weights, stream).map_err(error)?,
            Self::Dirichlet { alpha } if ALPHA.contains(&alpha) => {
                deal_dirichlet(labels, alpha, weights, stream).map_err(error)?
            }
            Self::Dirichlet { alpha } => {
                return Err(error(format!("alpha {alpha}, expected {:e} to {:e}", ALPHA.start(), ALPHA.end())));
            }
            Self::Domain => {
                let (k, d) = (weights.len(), domains.len());
                if d == 0 || k < d {
                    return Err(error(format!("{d} domains; each needs at least one device of its own")));
                }
                let mut shares = Vec::with_capacity(k);
                for (i, domain) in domains.iter().enumerate() {
                    // Device j belongs to domain floor(j D / K): the first of domain i is ceil(i K / D).
                    let group = (i * k).div_ceil(d)..((i + 1) * k).div_ceil(d);
                    let named = |cause| error(format!("domain `{}`: {cause}", domain.name));
                    shares.extend(deal_iid(domain.train.clone().collect(), &weights[group], stream).map_err(named)?);
                }
                shares
            }
        };
        shares.iter_mut().for_each(|share| share.sort_unstable());
        Ok(shares)
    }
}

fn deal_iid(mut examples: Vec<usize>, weights: &[f64], stream: &mut Stream) -> Result<Vec<Vec<usize>>, String> {
    let sizes = sizes(examples.len(), weights)?;
    shuffle(&mut examples, |_| stream.next_u64());
    let mut rest = examples.into_iter();
    Ok(sizes.into_iter().map(|n| rest.by_ref().take(n).collect()).collect())
}

fn deal_dirichlet(labels: &[u32], alpha: f64, weights: &[f64], stream: &mut Stream) -> Result<Vec<Vec<usize>>, String> {
    let sizes = sizes(labels.len(), weights)?;
    let classes = labels.iter().max().map_or(0, |&l| l as usize + 1);
    let mut pools = vec![Vec::new(); classes];
    for (i, &label) in labels.iter().enumerate() {
        pools[label as usize].push(i);
    }
    pools.iter_mut().for_each(|pool| shuffle(pool, |_| stream.next_u64()));

    let priors: Vec<f64> = pools.iter().map(|p| p.len() as f64 / labels.len() as f64).collect();
    let log_q: Vec<Vec<f64>> =
        weights.iter().map(|_| priors.iter().map(|p| log_gamma_variate(alpha * p, stream)).collect()).collect();

    let mut turns: Vec<usize> = sizes.iter().enumerate().flat_map(|(k, &n)| std::iter::repeat_n(k, n)).collect();
    shuffle(&mut turns, |_| stream.next_u64());
    let mut shares: Vec<Vec<usize>> = sizes.into_iter().map(Vec::with_capacity).collect();
    for device in turns {
        let class = draw_class(&log_q[device], &pools, stream);
        shares[device].extend(pools[class].pop());
    }
    Ok(shares)
}

/// The logarithm of a Gamma(shape, 1) variate, for shapes so small that the variate itself underflows: Gamma(a) is
/// Gamma(a + 1) U^(1/a) in distribution (Marsaglia & Tsang 2000). Normalised, such variates are Dirichlet.
fn log_gamma_variate(shape: f64, stream: &mut Stream) -> f64 {
    match Gamma::new(shape + 1.0, 1.0) {
        Ok(gamma) if shape > 0.0 => {
            let uniform: f64 = Open01.sample(stream);
            gamma.sample(stream).ln() + uniform.ln() / shape
        }
        // A class without examples.
        _ => f64::NEG_INFINITY,
    }
}

/// Draws from the classes that have examples left with probabilities in proportion to exp(`log_q`).
fn draw_class(log_q: &[f64], pools: &[Vec<usize>], stream: &mut Stream) -> usize {
    let left = || (0..pools.len()).filter(|&c| !pools[c].is_empty());
    // Relative to the largest, so that at least one probability is not rounded to 0.
    let largest = left().map(|c| log_q[c]).fold(f64::NEG_INFINITY, f64::max);
    let mass = |c: usize| (log_q[c] - largest).exp();
    let uniform: f64 = Open01.sample(stream);
    let mut remaining = uniform * left().map(mass).sum::<f64>();
    let mut chosen = 0;
    for c in left().filter(|&c| mass(c) > 0.0) {
        chosen = c;
        remaining -= mass(c);
        if remaining < 0.0 {
            break;
        }
    }
    chosen
}

/// Splits `total` in proportion to `weights` by largest remainder (ties: the earlier device), at least 1 each.
fn sizes(total: usize, weights: &[f64]) -> Result<Vec<usize>, String> {
    if weights.is_empty() {
        return Err("expected at least one device".into());
    }
    if total < weights.len() {
        return Err(format!("{total} examples for {} devices; every device needs at least one", weights.len()));
    }
    let sum: f64 = weights.iter().sum();
    let exact: Vec<f64> = weights.iter().map(|w| total as f64 * (w / sum)).collect();
    let mut sizes: Vec<usize> = exact.iter().map(|e| e.floor() as usize).collect();
    let mut by_remainder: Vec<usize> = (0..weights.len()).collect();
    by_remainder.sort_by(|&a, &b| exact[b].fract().total_cmp(&exact[a].fract()).then(a.cmp(&b)));
    let missing = total - sizes.iter().sum::<usize>();
    by_remainder.into_iter().cycle().take(missing).for_each(|k| sizes[k] += 1);
    while let Some(empty) = sizes.iter().position(|&n| n == 0) {
        let richest = (0..sizes.len()).max_by_key(|&k| sizes[k]).unwrap_or(empty);
        sizes[richest] -= 1;
        sizes[empty] += 1;
    }
    Ok(sizes)
}

/// Number of examples of each class that each device holds: `[device][class]`.
pub fn label_counts(labels: &[u32], classes: usize, shares: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let count = |share: &Vec<usize>| {
        let mut counts = vec![0; classes];
        share.iter().for_each(|&i| counts[labels[i] as usize] += 1);
        counts
    };
    shares.iter().map(count).collect()
}

/// Mean over devices of the total variation distance between a device's class proportions and those of all devices
/// together: 0 when all agree, near 1 - 1/C for balanced classes held by one device each.
pub fn label_skew(counts: &[Vec<usize>]) -> f64 {
    let classes = counts.first().map_or(0, Vec::len);
    let total: Vec<usize> = (0..classes).map(|c| counts.iter().map(|device| device[c]).sum()).collect();
    let share = |part: &[usize], c: usize| part[c] as f64 / part.iter().sum::<usize>() as f64;
    let distance =
        |device: &Vec<usize>| 0.5 * (0..classes).map(|c| (share(device, c) - share(&total, c)).abs()).sum::<f64>();
    counts.iter().map(distance).sum::<f64>() / counts.len() as f64
}

#[cfg(test)]
#[path = "partition_tests.rs"]
mod tests;
