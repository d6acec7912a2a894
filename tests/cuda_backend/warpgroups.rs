//! Kernels for Hopper are used where they agree with those for every card, and only for products that are large.

use crate::cuda_device::on_gpu;
use crate::cuda_host::{HostDevice, Schedule};
use crate::watched::Watched;
use deft::backend::cuda::{Cuda, Device, DeviceError, LargeProducts, Launch};
use deft::backend::{
    Adapted, AdaptedGradient, Backend, Cpu, Epilogue, GradientEpilogue, Linear, LinearCache, LinearSlots, Packing,
    Trainable,
};
use deft::learning::Processor;
use deft::random::CounterStream;
use std::sync::Arc;

fn hopper(spoilt: fn(&Launch) -> Option<Result<(), DeviceError>>) -> Option<Watched> {
    if on_gpu() {
        return None;
    }
    let device = HostDevice::new(Schedule::default())?.with_warpgroups().with_tensor_copies();
    Some(Watched::new(device, spoilt))
}

fn on(device: Arc<dyn Device>) -> Cuda {
    Cuda::new(device, 48 << 20).expect("a little memory")
}

fn one_kernel(name: &str, launch: &Launch) -> bool {
    launch.kernel.name == name
}

const BOTH: LargeProducts = LargeProducts { warpgroups: true, tensor_copies: true };

#[test]
fn they_are_used_where_they_agree_and_left_where_they_do_not() {
    let Some(device) = hopper(|_| None) else { return };
    let device = Arc::new(device);
    let cuda = on(device.clone());
    assert_eq!((cuda.large_products(), cuda.left_out()), (BOTH, &[][..]));
    let asked: Vec<&str> = device.launches().keys().copied().collect();
    let each = ["nn", "nt", "tn"].into_iter().flat_map(|kind| ["64", "tma", "wgmma"].map(|how| (kind, how)));
    assert_eq!(asked, each.map(|(kind, how)| format!("product_{kind}_{how}")).collect::<Vec<String>>());

    let (warpgroups, copies) = ("products by warpgroups (wgmma)", "products by bulk tensor copies (TMA)");
    type Spoilt = fn(&Launch) -> Option<Result<(), DeviceError>>;
    // One of them does nothing, or is not taken by the driver.
    let does_nothing: [Spoilt; 2] = [
        |l| one_kernel("product_tn_wgmma", l).then_some(Ok(())),
        |l| one_kernel("product_nt_tma", l).then_some(Ok(())),
    ];
    let refused: [Spoilt; 2] = [
        |l| one_kernel("product_nn_wgmma", l).then(|| refuse(l)),
        |l| one_kernel("product_tn_tma", l).then(|| refuse(l)),
    ];
    let without = [LargeProducts { warpgroups: false, ..BOTH }, LargeProducts { tensor_copies: false, ..BOTH }];
    for (spoilt, left, line) in [
        (
            does_nothing[0],
            without[0],
            format!("{warpgroups} are left out: those of kind Tn differ from those of mma.sync"),
        ),
        (does_nothing[1], without[1], format!("{copies} are left out: those of kind Nt differ from those of mma.sync")),
        (refused[0], without[0], format!("{warpgroups} are left out: kernel product_nn_wgmma: refused")),
        (refused[1], without[1], format!("{copies} are left out: kernel product_tn_tma: refused")),
    ] {
        let cuda = on(Arc::new(hopper(spoilt).expect("a compiler was there")));
        assert_eq!((cuda.large_products(), cuda.left_out()), (left, &[line][..]));
    }
    // Products of two clients alone are wrong.
    let cuda = on(Arc::new(
        hopper(|l| (l.kernel.name == "product_tn_tma" && l.grid[2] == 2).then_some(Ok(()))).expect("a compiler"),
    ));
    let line = format!("{copies} are left out: those of kind Tn of two clients differ from those of mma.sync");
    assert_eq!((cuda.large_products(), cuda.left_out()), (without[1], &[line][..]));

    let cuda = on(Arc::new(hopper(|_| None).expect("a compiler was there").without_maps()));
    let line = format!("{copies} are left out: the driver makes no map of an operand");
    assert_eq!((cuda.large_products(), cuda.left_out()), (without[1], &[line][..]));
    // A device that takes neither is not asked, and nothing is said.
    let cuda = on(Arc::new(HostDevice::new(Schedule::default()).expect("a compiler was there")));
    assert_eq!((cuda.large_products(), cuda.left_out()), (LargeProducts::default(), &[][..]));
}

fn refuse(launch: &Launch) -> Result<(), DeviceError> {
    Err(DeviceError::Kernel { kernel: launch.kernel.name, cause: "refused".to_owned() })
}

/// A manifest says what computes large products.
#[test]
fn what_is_used_is_described() {
    if on_gpu() {
        return;
    }
    let Some(plain) = HostDevice::new(Schedule::default()) else { return };
    let described = |device: HostDevice| {
        let processor = Processor::on(Arc::new(device), "card", 48 << 20).expect("a little memory");
        processor.description(true)
    };
    assert_eq!(described(plain), "cuda (card)");
    let new = || HostDevice::new(Schedule::default()).expect("a compiler was there");
    assert_eq!(described(new().with_warpgroups()), "cuda (card, wgmma)");
    assert_eq!(described(new().with_warpgroups().with_tensor_copies()), "cuda (card, wgmma, TMA)");
}

/// One large layer there and back: which kernels compute it, and what.
#[test]
fn large_products_go_to_them_whatever_the_number_of_rows() {
    let Some(device) = hopper(|_| None) else { return };
    let device = Arc::new(device);
    let cuda = on(device.clone());
    let made_up = |len: usize, salt: u64| -> Vec<f32> {
        let stream = CounterStream::new(5, salt);
        (0..len as u64).map(|i| (stream.uniform(i) - 0.5) as f32).collect()
    };
    let none = LargeProducts::default();
    for (rows, inputs, ways, how) in [
        (3, 1024, BOTH, "tma"),
        (40, 1024, BOTH, "tma"),
        // Rows that are not aligned have no map.
        (5, 1028, BOTH, "wgmma"),
        (5, 1028, LargeProducts { warpgroups: false, ..BOTH }, "128"),
        (5, 1024, LargeProducts { tensor_copies: false, ..BOTH }, "wgmma"),
        (5, 1024, none, "128"),
        // Not large.
        (5, 1000, BOTH, "128"),
    ] {
        let outputs = 1024;
        let weight = made_up(outputs * inputs, 1);
        let (x, dy) = (made_up(rows * inputs, 2), made_up(rows * outputs, 3));
        device.forget();
        let found = there_and_back(&cuda.with_at_most(ways), &weight, [inputs, outputs], &x, &dy);
        let launches = device.launches();
        let products: Vec<&str> = launches.keys().copied().filter(|name| name.starts_with("product")).collect();
        let expected = ["nn", "nt"].map(|kind| format!("product_{kind}_{how}"));
        assert_eq!(products, expected, "{rows} x {inputs}");
        let expected = there_and_back(&Cpu::<f32>::new(), &weight, [inputs, outputs], &x, &dy);
        for (found, expected) in found.iter().zip(&expected) {
            let off = off(found, expected);
            assert!(off < 1e-3, "{rows} rows: {off}");
        }
    }
}

/// Weights that two clients have for themselves, after which other parameters follow.
#[test]
fn clients_own_weights_are_reached_by_tensor_copies_too() {
    let Some(device) = hopper(|_| None) else { return };
    let device = Arc::new(device);
    let cuda = on(device.clone());
    let (inputs, outputs, starts) = (1024, 1024, [0, 3, 8]);
    let len = inputs * outputs + 2;
    let made_up = |len: usize, salt: u64| -> Vec<f32> {
        let stream = CounterStream::new(5, salt);
        (0..len as u64).map(|i| (stream.uniform(i) - 0.5) as f32).collect()
    };
    let weights = [made_up(len, 1), made_up(len, 2)];
    let (x, dy) = (made_up(starts[2] * inputs, 3), made_up(starts[2] * outputs, 4));
    device.forget();
    let found = own_there_and_back(&cuda, &weights, [inputs, outputs], &starts, &x, &dy);
    let launches = device.launches();
    let products: Vec<&str> = launches.keys().copied().filter(|name| name.starts_with("product")).collect();
    assert_eq!(products, ["product_nn_tma", "product_nt_tma", "product_tn_tma"]);
    let expected = own_there_and_back(&Cpu::<f32>::new(), &weights, [inputs, outputs], &starts, &x, &dy);
    for (found, expected) in found.iter().zip(&expected) {
        assert!(off(found, expected) < 1e-3, "{}", off(found, expected));
    }
}

fn off(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let error = |(f, e): (&f32, &f32)| f64::from(f - e).powi(2);
    let size: f64 = expected.iter().map(|e| f64::from(*e).powi(2)).sum();
    (found.iter().zip(expected).map(error).sum::<f64>() / size).sqrt()
}

/// Outputs, the input's gradient and the weights' of each client.
fn own_there_and_back<B: Backend>(
    b: &B,
    weights: &[Vec<f32>],
    [inputs, outputs]: [usize; 2],
    starts: &[usize],
    x: &[f32],
    dy: &[f32],
) -> Vec<Vec<f32>> {
    let (clients, stride) = (weights.len(), b.parameter_stride(weights[0].len()));
    let packing = Packing::new(starts.to_vec(), (0..clients).map(|c| c..c + 1).collect());
    let mut parameters = vec![];
    for (c, own) in weights.iter().enumerate() {
        parameters.extend_from_slice(own);
        parameters.resize((c + 1) * stride, 0.0);
    }
    let values = b.upload(&parameters);
    let frozen = b.matrix(&vec![0.0; inputs * outputs], outputs, inputs);
    let layer = Linear::<B> { weight: frozen, bias: None, inputs, outputs };
    let slots = LinearSlots { weight: Some(0), ..LinearSlots::default() };
    let (y, dx, gradient) = pass(b, &packing, &layer, &slots, Trainable { values: &values, stride }, x, dy);
    let own = gradient.chunks(stride).map(|g| g[..inputs * outputs].to_vec());
    [y, dx].into_iter().chain(own).collect()
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
    let none = b.upload(&[0.0]);
    let trainable = Trainable { values: &none, stride: 0 };
    let (y, dx, _) = pass(b, &packing, &layer, &LinearSlots::default(), trainable, x, dy);
    [y, dx]
}

/// Outputs, the input's gradient and the gradient of all clients' parameters.
fn pass<B: Backend>(
    b: &B,
    packing: &Packing,
    layer: &Linear<B>,
    slots: &LinearSlots,
    trainable: Trainable<'_, B>,
    x: &[f32],
    dy: &[f32],
) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let (rows, len) = (packing.rows(), packing.segments().len() * trainable.stride);
    let mut cache = LinearCache::default();
    let (x, mut y, mut dx) = (b.upload(x), B::Buffer::default(), B::Buffer::default());
    let adapted = Adapted { slots, trainable, dropout: None, cache: &mut cache };
    b.linear(packing, &x, layer, adapted, Epilogue::None, &mut y);
    let (mut gradient, mut scratch) = (B::Buffer::default(), B::Buffer::default());
    b.zero_sums(&mut gradient, len.max(1));
    let adapted = AdaptedGradient {
        slots,
        trainable,
        dropout: None,
        cache: &cache,
        x: &x,
        scratch: &mut scratch,
        gradient: &mut gradient,
    };
    b.linear_gradient(packing, &b.upload(dy), layer, adapted, GradientEpilogue::Overwrite, &mut dx);
    (b.read(&y, rows * layer.outputs), b.read(&dx, rows * layer.inputs), b.read(&gradient, len))
}
