//! Images as vision transformers read them: cut into square patches, one a row.

use std::fmt;

/// The shape that all images of a data set share. They are square.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ImageSize {
    pub side_px: usize,
    /// 1 for grey, 3 for RGB.
    pub channels: usize,
}

impl ImageSize {
    /// Bytes of one image, one a pixel and channel.
    pub fn bytes(self) -> usize {
        self.side_px.saturating_mul(self.side_px).saturating_mul(self.channels)
    }

    /// The size of square images of so many bytes, grey or RGB. No number fits both: 3 is not a square.
    pub(super) fn of_bytes(bytes: usize) -> Option<Self> {
        let square = |n: usize| Some(n.isqrt()).filter(|side| *side > 0 && side * side == n);
        let grey = square(bytes).map(|side_px| Self { side_px, channels: 1 });
        let rgb = || square(bytes / 3).filter(|_| bytes.is_multiple_of(3)).map(|side_px| Self { side_px, channels: 3 });
        grey.or_else(rgb)
    }
}

impl fmt::Display for ImageSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{0} x {0} pixels in {1} channel{2}",
            self.side_px,
            self.channels,
            if self.channels == 1 { "" } else { "s" }
        )
    }
}

/// Appends the patches of an image to `out`, `[patches, channels * patch_px * patch_px]`.
///
/// `image` is `[channel, y, x]`. Patches go row by row from the top left; the values of one are `[channel, y, x]`, so
/// that a row times the transpose of a convolution's weight `[hidden, channels, patch_px, patch_px]`, flattened to
/// `[hidden, channels * patch_px * patch_px]`, is that convolution with stride `patch_px` (Hugging Face's
/// `ViTPatchEmbeddings`). Bytes become -1 to 1: (x / 255 - 0.5) / 0.5, ViT's preprocessing.
pub(super) fn push_patches(image: &[u8], size: ImageSize, patch_px: usize, out: &mut Vec<f32>) {
    let side = size.side_px;
    let corners = || (0..side).step_by(patch_px);
    for top in corners() {
        for left in corners() {
            for channel in 0..size.channels {
                for y in top..top + patch_px {
                    let line = (channel * side + y) * side + left;
                    out.extend(image[line..line + patch_px].iter().map(|&x| (f32::from(x) / 255.0 - 0.5) / 0.5));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_follow_from_the_number_of_bytes() {
        let size = |side_px, channels| Some(ImageSize { side_px, channels });
        assert_eq!(ImageSize::of_bytes(64), size(8, 1));
        assert_eq!(ImageSize::of_bytes(192), size(8, 3));
        assert_eq!(ImageSize::of_bytes(3), size(1, 3));
        assert_eq!(ImageSize::of_bytes(784), size(28, 1));
        for odd in [0, 2, 63, 65, 128, 191, 193, usize::MAX] {
            assert_eq!(ImageSize::of_bytes(odd), None, "{odd}");
        }
    }

    /// Against a convolution written as its definition: y[o, i, j] = sum over c, a, b of w[o, c, a, b] x[c, ip + a, jp + b].
    #[test]
    fn a_product_with_the_flattened_weight_is_the_strided_convolution() {
        let (size, patch, hidden) = (ImageSize { side_px: 6, channels: 3 }, 2, 4);
        let image: Vec<u8> = (0..size.bytes()).map(|i| (i * 89 % 256) as u8).collect();
        let weight: Vec<f32> = (0..hidden * 12).map(|i| (i as f32 * 0.7).sin()).collect();
        let mut patches = Vec::new();
        push_patches(&image, size, patch, &mut patches);
        assert_eq!(patches.len(), 9 * 12);
        let scaled = |c: usize, y: usize, x: usize| f32::from(image[(c * 6 + y) * 6 + x]) / 127.5 - 1.0;
        for o in 0..hidden {
            for (i, j) in (0..9).map(|row| (row / 3, row % 3)) {
                let mut expected = 0.0;
                for (c, a, b) in (0..12).map(|n| (n / 4, n / 2 % 2, n % 2)) {
                    expected += weight[((o * 3 + c) * 2 + a) * 2 + b] * scaled(c, 2 * i + a, 2 * j + b);
                }
                let row = &patches[(i * 3 + j) * 12..][..12];
                let found: f32 = row.iter().zip(&weight[o * 12..]).map(|(x, w)| x * w).sum();
                assert!((found - expected).abs() < 1e-5, "{found} {expected}");
            }
        }
    }
}
