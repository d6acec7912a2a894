use super::*;
use crate::random::Streams;

const CLASSES: usize = 5;

fn labels(n: usize) -> Vec<u32> {
    (0..n).map(|i| (i * i % 7 % CLASSES) as u32).collect()
}

fn domains(sizes: &[usize]) -> Vec<Domain> {
    let mut start = 0;
    let domain = |(i, n): (usize, &usize)| {
        let train = start..start + n;
        start += n;
        Domain { name: format!("domain {i}"), train, test: 0..0 }
    };
    sizes.iter().enumerate().map(domain).collect()
}

fn deal(partition: Partition, n: usize, weights: &[f64], seed: u64) -> Result<Vec<Vec<usize>>, DataError> {
    let domains = domains(&[n / 2, n / 3, n - n / 2 - n / 3]);
    partition.deal(&labels(n), &domains, weights, &mut Streams::new(seed, 0).stream("data", "partition"))
}

#[test]
fn every_example_is_dealt_exactly_once_and_nobody_goes_empty() {
    for partition in [
        Partition::Iid,
        Partition::Dirichlet { alpha: 1e-6 },
        Partition::Dirichlet { alpha: 0.3 },
        Partition::Dirichlet { alpha: 1e6 },
        Partition::Domain,
    ] {
        for weights in [vec![1.0; 7], vec![1.0; 100], vec![1e-9, 1.0, 5.0, 1e-9, 2.0], vec![1.0, 2.0, 3.0]] {
            let shares = deal(partition, 700, &weights, 1).unwrap();
            assert_eq!(shares.len(), weights.len());
            assert!(shares.iter().all(|s| !s.is_empty()), "{partition:?} {weights:?}");
            let mut all = shares.concat();
            all.sort_unstable();
            assert_eq!(all, (0..700).collect::<Vec<_>>(), "{partition:?} {weights:?}");
        }
    }
}

#[test]
fn a_seed_decides_the_deal() {
    for partition in [Partition::Iid, Partition::Dirichlet { alpha: 0.5 }, Partition::Domain] {
        let dealt = |seed| deal(partition, 300, &[1.0; 6], seed).unwrap();
        assert_eq!(dealt(4), dealt(4));
        assert_ne!(dealt(4), dealt(5));
    }
}

#[test]
fn sizes_follow_the_weights() {
    for partition in [Partition::Iid, Partition::Dirichlet { alpha: 0.1 }] {
        let shares = deal(partition, 1001, &[1.0, 1.0, 2.0, 6.0], 2).unwrap();
        assert_eq!(shares.iter().map(Vec::len).collect::<Vec<_>>(), [100, 100, 200, 601]);
    }
    assert_eq!(sizes(10, &[1.0; 4]).unwrap(), [3, 3, 2, 2]);
    assert_eq!(sizes(3, &[1e-300, 1e300, 1e-300]).unwrap(), [1, 1, 1]);
}

#[test]
fn small_alpha_skews_labels_and_large_alpha_does_not() {
    let (n, weights) = (7_000, [1.0; 35]);
    let skew = |partition| {
        let shares = deal(partition, n, &weights, 3).unwrap();
        label_skew(&label_counts(&labels(n), CLASSES, &shares))
    };
    let alphas = [0.01, 1.0, 10.0, 1000.0];
    let skews = alphas.map(|alpha| skew(Partition::Dirichlet { alpha }));
    assert!(skews.windows(2).all(|w| w[0] > w[1]), "{skews:?}");
    assert!(skews[0] > 0.55, "{skews:?}");
    // 200 examples a device: sampling alone gives about 0.05.
    assert!(skews[3] < 0.08 && skew(Partition::Iid) < 0.08, "{skews:?}");
}

/// Device proportions before any class runs out are Dirichlet: Var q_c = p_c (1 - p_c) / (alpha + 1).
#[test]
fn class_proportions_have_the_variance_of_a_dirichlet_distribution() {
    let (alpha, p, draws) = (2.0, 0.3, 40_000);
    let mut stream = Streams::new(9, 0).stream("data", "variates");
    let mut q = || {
        let (a, b) = (log_gamma_variate(alpha * p, &mut stream), log_gamma_variate(alpha * (1.0 - p), &mut stream));
        1.0 / (1.0 + (b - a).exp())
    };
    let samples: Vec<f64> = (0..draws).map(|_| q()).collect();
    let mean = samples.iter().sum::<f64>() / draws as f64;
    let variance = samples.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / draws as f64;
    assert!((mean - p).abs() < 0.006, "{mean}");
    assert!((variance / (p * (1.0 - p) / (alpha + 1.0)) - 1.0).abs() < 0.03, "{variance}");
}

#[test]
fn a_device_sees_one_domain() {
    let ranges = domains(&[350, 233, 117]);
    let shares = deal(Partition::Domain, 700, &[1.0; 8], 1).unwrap();
    for (k, share) in shares.iter().enumerate() {
        let domain = &ranges[k * 3 / 8];
        assert!(share.iter().all(|i| domain.train.contains(i)), "device {k}");
    }
}

#[test]
fn what_cannot_be_dealt_is_refused_with_a_reason() {
    let message = |partition, n, weights: &[f64]| deal(partition, n, weights, 1).unwrap_err().to_string();
    assert!(message(Partition::Iid, 3, &[1.0; 4]).contains("every device needs at least one"));
    assert!(message(Partition::Iid, 3, &[]).contains("at least one device"));
    assert!(message(Partition::Iid, 30, &[1.0, 0.0]).contains("relative sample count 0"));
    assert!(message(Partition::Iid, 30, &[1.0, f64::NAN]).contains("relative sample count NaN"));
    assert!(message(Partition::Domain, 30, &[1.0; 2]).contains("3 domains"));
    for alpha in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(message(Partition::Dirichlet { alpha }, 30, &[1.0; 3]).contains("alpha"));
    }
}
