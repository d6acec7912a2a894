//! A step of an optimiser where gradients are, and numbers that stay there.

use std::any::Any;
use std::fmt;
use std::ops::{Deref, Range};
use std::sync::{Arc, OnceLock};

/// One step of AdamW on one client's parameters (Loshchilov and Hutter 2019), its scalars computed:
/// `m += fresh1 (g - m)`, `v = beta2 v + fresh2 g^2`, `p = decay p - size m / (sqrt(v) / correction2_root + epsilon)`.
#[derive(Clone, Debug, PartialEq)]
pub struct AdamWStep {
    pub fresh1: f32,
    pub beta2: f32,
    pub fresh2: f32,
    pub correction2_root: f32,
    pub epsilon: f32,
    /// Entries of one rate each, in order; together they are all.
    pub runs: Vec<AdamWRun>,
}

/// Neighbouring entries with one learning rate.
#[derive(Clone, Debug, PartialEq)]
pub struct AdamWRun {
    pub range: Range<usize>,
    /// `1 - rate weight_decay`.
    pub decay: f32,
    /// `rate / (1 - beta1^k)`.
    pub size: f32,
}

/// What a step gave.
#[derive(Clone, Debug, PartialEq)]
pub struct Updated {
    pub parameters: Vec<f32>,
    /// AdamW's `m` and `v`; `None` if a gradient was not finite: then nothing has moved.
    pub moments: Option<[Numbers; 2]>,
}

/// A step that a backend has begun; others may begin before somebody waits for it.
pub struct Underway(Box<dyn FnOnce() -> Updated>);

impl Underway {
    pub fn new(rest: impl FnOnce() -> Updated + 'static) -> Self {
        Self(Box::new(rest))
    }

    pub fn wait(self) -> Updated {
        (self.0)()
    }
}

/// A vector on the host, or in the memory of the device that computed it until the host looks at it. It reads as a slice.
#[derive(Clone, Default)]
pub struct Numbers {
    host: OnceLock<Vec<f32>>,
    device: Option<Arc<dyn OnDevice>>,
}

/// Numbers in the memory of a device.
pub trait OnDevice: Any + Send + Sync {
    /// Brings them to the host.
    fn read(&self) -> Vec<f32>;
}

impl Numbers {
    pub fn on_device(numbers: Arc<dyn OnDevice>) -> Self {
        Self { host: OnceLock::new(), device: Some(numbers) }
    }

    /// Where they lie, if it is memory of this kind.
    pub fn device<D: OnDevice>(&self) -> Option<&D> {
        let device: &dyn Any = &**self.device.as_ref()?;
        device.downcast_ref()
    }

    /// To be changed on the host, which holds them alone from here on.
    pub fn make_mut(&mut self) -> &mut Vec<f32> {
        self.host();
        self.device = None;
        self.host.get_mut().expect("the host looked")
    }

    fn host(&self) -> &Vec<f32> {
        self.host.get_or_init(|| self.device.as_ref().map_or_else(Vec::new, |device| device.read()))
    }
}

impl Deref for Numbers {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        self.host()
    }
}

impl From<Vec<f32>> for Numbers {
    fn from(numbers: Vec<f32>) -> Self {
        Self { host: OnceLock::from(numbers), device: None }
    }
}

impl PartialEq for Numbers {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl fmt::Debug for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    struct Counted(AtomicUsize);

    impl OnDevice for Counted {
        fn read(&self) -> Vec<f32> {
            self.0.fetch_add(1, Ordering::Relaxed);
            vec![1.0, 2.0]
        }
    }

    #[test]
    fn the_host_looks_once_and_who_changes_them_holds_them_alone() {
        let there = Arc::new(Counted(AtomicUsize::new(0)));
        let numbers = Numbers::on_device(there.clone());
        assert_eq!(there.0.load(Ordering::Relaxed), 0);
        assert_eq!((numbers.len(), numbers[1], &numbers), (2, 2.0, &Numbers::from(vec![1.0, 2.0])));
        let mut changed = numbers.clone();
        changed.make_mut()[0] = 5.0;
        assert_eq!((&*changed, &*numbers), (&[5.0, 2.0][..], &[1.0, 2.0][..]));
        assert!(changed.device::<Counted>().is_none() && numbers.device::<Counted>().is_some());
        assert_eq!(there.0.load(Ordering::Relaxed), 1);
        assert!(Numbers::default().is_empty());
    }
}
