//! Compressors of updates: exact variances and bits.

use crate::tally::{Tally, field, json_items, list};
use deft::learning::compression;
use deft::random::CounterStream;

pub fn compressed(text: &str, tally: &mut Tally) {
    const VALUE_BITS: u64 = 32;
    for (seed, item) in json_items(text).iter().enumerate() {
        let vector = list(item, "vector");
        let squared = |v: &[f64]| v.iter().map(|x| x * x).sum::<f64>();
        let error = |c: &compression::Compression, i: u64| {
            let mut sent = vector.clone();
            c.apply(&mut sent, &CounterStream::new(seed as u64, i));
            squared(&sent.iter().zip(&vector).map(|(a, b)| a - b).collect::<Vec<f64>>())
        };
        let k = || field(item, "k") as usize;
        match item["kind"].as_str().unwrap() {
            "qsgd" => {
                let levels = field(item, "levels") as u32;
                let scheme = compression::Compression::qsgd(levels, vector.len());
                tally.closed("variance", compression::qsgd_variance(&vector, levels), field(item, "variance"));
                let bound = compression::qsgd_relative_bound(vector.len(), levels) * squared(&vector);
                tally.closed("bound", bound, field(item, "bound"));
                tally.exact("bits", scheme.bits(vector.len(), VALUE_BITS) as f64, field(item, "bits_fixed_length"));
                tally.simulated("variance", (0..60_000).map(|i| error(&scheme, i)), field(item, "variance"));
            }
            "top_k" => {
                let scheme = compression::Compression::TopK { kept: k() };
                let kept: Vec<f64> = compression::top_k(&vector, k()).iter().map(|i| *i as f64).collect();
                assert_eq!(kept, list(item, "kept"), "kept");
                tally.check("error", error(&scheme, 0), field(item, "error"), 1e-9 * squared(&vector));
                tally.exact("bits", scheme.bits(vector.len(), VALUE_BITS) as f64, field(item, "bits"));
            }
            "rand_k_unbiased" => {
                let scheme = compression::Compression::rand_k(k(), vector.len());
                let variance = field(item, "variance");
                tally.closed("variance", compression::rand_k_variance(&vector, k()), variance);
                tally.simulated("variance", (0..60_000).map(|i| error(&scheme, i)), variance);
            }
            unknown => panic!("compression.json has an unknown kind {unknown}"),
        }
    }
}
