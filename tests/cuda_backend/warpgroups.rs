//! Kernels for Hopper are used where they agree with those for every card, and only for products that are large.

use crate::cuda_device::on_gpu;
use crate::cuda_host::{HostDevice, Schedule};
use crate::watched::Watched;
use deft::backend::cuda::{Cuda, DeviceError, Launch};
use deft::backend::{
    Adapted, AdaptedGradient, Backend, Cpu, Epilogue, GradientEpilogue, Linear, LinearCache, LinearSlots, Packing,
    Trainable,
};
use deft::random::CounterStream;
use std::sync::Arc;

fn watched(spoilt: fn(&Launch) -> Option<Result<(), DeviceError>>) -> Option<(Arc<Watched>, Cuda)> {
    if on_gpu() {
        return None;
    }
    let device = HostDevice::new(Schedule::default())?.with_warpgroups();
    let device = Arc::new(Watched::new(device, spoilt));
    let cuda = Cuda::new(device.clone(), 48 << 20).expect("a little memory");
    Some((device, cuda))
}

fn one_kernel(name: &str, launch: &Launch) -> bool {
    launch.kernel.name == name
}

#[test]
fn they_are_used_where_they_agree_and_left_where_they_do_not() {
    let Some((device, cuda)) = watched(|_| None) else { return };
    assert!(cuda.uses_warpgroups());
    let asked: Vec<&str> = device.launches().keys().copied().collect();
    let each = ["nn", "nt", "tn"].into_iter().flat_map(|kind| [64, 0].map(|tile| (kind, tile)));
    let name = |(kind, tile): (&str, u32)| match tile {
        64 => format!("product_{kind}_64"),
        _ => format!("product_{kind}_wgmma"),
    };
    assert_eq!(asked, each.map(name).collect::<Vec<String>>());
    // One of them does nothing, or is not taken by the driver.
    for spoilt in
        [(|l: &Launch| one_kernel("product_tn_wgmma", l).then_some(Ok(()))) as fn(&Launch) -> _, |l: &Launch| {
            let refused = DeviceError::Kernel { kernel: l.kernel.name, cause: "refused".to_owned() };
            one_kernel("product_nn_wgmma", l).then_some(Err(refused))
        }]
    {
        let (_, cuda) = watched(spoilt).expect("a compiler was there");
        assert!(!cuda.uses_warpgroups());
    }
    // A device that does not take them is not asked.
    let device = HostDevice::new(Schedule::default()).expect("a compiler was there");
    assert!(!Cuda::new(Arc::new(device), 1 << 20).expect("a little memory").uses_warpgroups());
}

/// One large layer there and back: which kernels compute it, and what.
#[test]
fn large_products_go_to_them_whatever_the_number_of_rows() {
    let Some((device, cuda)) = watched(|_| None) else { return };
    let (inputs, outputs) = (1024, 1024);
    let made_up = |len: usize, salt: u64| -> Vec<f32> {
        let stream = CounterStream::new(5, salt);
        (0..len as u64).map(|i| (stream.uniform(i) - 0.5) as f32).collect()
    };
    let weight = made_up(outputs * inputs, 1);
    for rows in [3, 40] {
        let (x, dy) = (made_up(rows * inputs, 2), made_up(rows * outputs, 3));
        device.forget();
        let found = there_and_back(&cuda, &weight, [inputs, outputs], &x, &dy);
        let launches = device.launches();
        assert_eq!((launches["product_nt_wgmma"].len(), launches["product_nn_wgmma"].len()), (1, 1), "{launches:?}");
        let expected = there_and_back(&Cpu::<f32>::new(), &weight, [inputs, outputs], &x, &dy);
        for (found, expected) in found.iter().zip(&expected) {
            let error = |(f, e): (&f32, &f32)| f64::from(f - e).powi(2);
            let size: f64 = expected.iter().map(|e| f64::from(*e).powi(2)).sum();
            let off = (found.iter().zip(expected).map(error).sum::<f64>() / size).sqrt();
            assert!(off < 1e-3, "{rows} rows: {off}");
        }
    }
}

fn there_and_back<B: Backend>(
    b: &B,
    weight: &[f32],
    [inputs, outputs]: [usize; 2],
    x: &[f32],
    dy: &[f32],
) -> [Vec<f32>; 2] {
    let rows = x.len() / inputs;
    let packing = Packing::new(vec![0, rows], std::iter::once(0..1).collect());
    let layer = Linear::<B> { weight: b.matrix(weight, outputs, inputs), bias: None, inputs, outputs };
    let (slots, mut cache) = (LinearSlots::default(), LinearCache::default());
    let none = b.upload(&[0.0]);
    let trainable = Trainable { values: &none, stride: 0 };
    let (mut y, mut dx) = (B::Buffer::default(), B::Buffer::default());
    let adapted = Adapted { slots: &slots, trainable, dropout: None, cache: &mut cache };
    let x = b.upload(x);
    b.linear(&packing, &x, &layer, adapted, Epilogue::None, &mut y);
    let (mut gradient, mut scratch) = (B::Buffer::default(), B::Buffer::default());
    b.zero_sums(&mut gradient, 1);
    let adapted = AdaptedGradient {
        slots: &slots,
        trainable,
        dropout: None,
        cache: &cache,
        x: &x,
        scratch: &mut scratch,
        gradient: &mut gradient,
    };
    b.linear_gradient(&packing, &b.upload(dy), &layer, adapted, GradientEpilogue::Overwrite, &mut dx);
    [b.read(&y, rows * outputs), b.read(&dx, rows * inputs)]
}
