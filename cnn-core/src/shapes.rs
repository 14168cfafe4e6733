//! The shapes of the network, and its parameters in memory.

use core::fmt;

/// Pixels along one side of an image.
pub const IMAGE_SIDE: usize = 28;
/// Pixels of an image.
pub const IMAGE_PIXELS: usize = IMAGE_SIDE * IMAGE_SIDE;
/// Output channels of conv1.
pub const CONV1_CHANNELS: usize = 16;
/// Side of conv1's map after pooling: (28 − 2) / 2.
pub const POOL1_SIDE: usize = 13;
/// Values of conv1's map after pooling.
pub const POOL1_LEN: usize = CONV1_CHANNELS * POOL1_SIDE * POOL1_SIDE;
/// Output channels of conv2.
pub const CONV2_CHANNELS: usize = 32;
/// Side of conv2's map after pooling: (13 − 2) / 2, the eleventh row and column dropped.
pub const POOL2_SIDE: usize = 5;
/// Values of conv2's map after pooling: the inputs of fc1.
pub const POOL2_LEN: usize = CONV2_CHANNELS * POOL2_SIDE * POOL2_SIDE;
/// Outputs of fc1.
pub const HIDDEN: usize = 120;
/// Classes: the outputs of fc2.
pub const CLASSES: usize = 10;
/// Values of one 3×3 kernel plane, in raster order.
pub const KERNEL_LEN: usize = 9;

/// A tensor of the parameters: where it lies in the flat array and how PyTorch names and shapes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tensor {
    /// PyTorch's name in `state_dict`.
    pub name: &'static str,
    /// PyTorch's shape, outermost dimension first.
    pub shape: &'static [usize],
    /// First value in the flat array.
    pub offset: usize,
    /// Number of values.
    pub len: usize,
}

impl Tensor {
    /// The tensor's place in the flat array.
    pub const fn range(&self) -> core::ops::Range<usize> {
        self.offset..self.offset + self.len
    }

    const fn after(previous: Option<Tensor>, name: &'static str, shape: &'static [usize]) -> Tensor {
        let offset = match previous {
            Some(tensor) => tensor.offset + tensor.len,
            None => 0,
        };
        let mut len = 1;
        let mut i = 0;
        while i < shape.len() {
            len *= shape[i];
            i += 1;
        }
        Tensor { name, shape, offset, len }
    }
}

/// conv1.weight, shape `[16][1][3][3]`.
pub const CONV1_WEIGHT: Tensor = Tensor::after(None, "conv1.weight", &[CONV1_CHANNELS, 1, 3, 3]);
/// conv1.bias, shape `[16]`.
pub const CONV1_BIAS: Tensor = Tensor::after(Some(CONV1_WEIGHT), "conv1.bias", &[CONV1_CHANNELS]);
/// conv2.weight, shape `[32][16][3][3]`.
pub const CONV2_WEIGHT: Tensor =
    Tensor::after(Some(CONV1_BIAS), "conv2.weight", &[CONV2_CHANNELS, CONV1_CHANNELS, 3, 3]);
/// conv2.bias, shape `[32]`.
pub const CONV2_BIAS: Tensor = Tensor::after(Some(CONV2_WEIGHT), "conv2.bias", &[CONV2_CHANNELS]);
/// fc1.weight, shape `[120][800]`; the input index is channel·25 + row·5 + column.
pub const FC1_WEIGHT: Tensor = Tensor::after(Some(CONV2_BIAS), "fc1.weight", &[HIDDEN, POOL2_LEN]);
/// fc1.bias, shape `[120]`.
pub const FC1_BIAS: Tensor = Tensor::after(Some(FC1_WEIGHT), "fc1.bias", &[HIDDEN]);
/// fc2.weight, shape `[10][120]`.
pub const FC2_WEIGHT: Tensor = Tensor::after(Some(FC1_BIAS), "fc2.weight", &[CLASSES, HIDDEN]);
/// fc2.bias, shape `[10]`.
pub const FC2_BIAS: Tensor = Tensor::after(Some(FC2_WEIGHT), "fc2.bias", &[CLASSES]);

/// All tensors in PyTorch's order, which is the order of the flat array.
pub const TENSORS: [Tensor; 8] =
    [CONV1_WEIGHT, CONV1_BIAS, CONV2_WEIGHT, CONV2_BIAS, FC1_WEIGHT, FC1_BIAS, FC2_WEIGHT, FC2_BIAS];

/// Number of parameters: 102,130.
pub const PARAMETER_COUNT: usize = FC2_BIAS.offset + FC2_BIAS.len;
const _: () = assert!(PARAMETER_COUNT == 102_130);

/// A layer with parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// The first convolution.
    Conv1,
    /// The second convolution.
    Conv2,
    /// The first linear layer.
    Fc1,
    /// The second linear layer, which gives the logits.
    Fc2,
}

impl Layer {
    /// All of them, from the input to the logits.
    pub const ALL: [Self; 4] = [Self::Conv1, Self::Conv2, Self::Fc1, Self::Fc2];

    /// PyTorch's name in `state_dict`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Conv1 => "conv1",
            Self::Conv2 => "conv2",
            Self::Fc1 => "fc1",
            Self::Fc2 => "fc2",
        }
    }

    /// Weight and bias, one behind the other in the flat array.
    pub const fn range(self) -> core::ops::Range<usize> {
        let (weight, bias) = match self {
            Self::Conv1 => (CONV1_WEIGHT, CONV1_BIAS),
            Self::Conv2 => (CONV2_WEIGHT, CONV2_BIAS),
            Self::Fc1 => (FC1_WEIGHT, FC1_BIAS),
            Self::Fc2 => (FC2_WEIGHT, FC2_BIAS),
        };
        weight.offset..bias.offset + bias.len
    }
}

/// Some layers, at least one; as text their names from the input to the logits, with commas between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layers(u8);

impl Layers {
    /// All layers.
    pub const ALL: Self = Self(0b1111);

    /// Whether a layer is one of them.
    pub const fn contains(self, layer: Layer) -> bool {
        self.0 & 1 << layer as u8 != 0
    }

    /// They as bits: bit i is number i of [`Layer::ALL`].
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Those that a text names, in any order, with commas between the names.
    ///
    /// # Errors
    /// If a name is empty, is not a layer's, or stands there twice.
    pub fn parse(text: &str) -> Result<Self, LayersError<'_>> {
        let mut layers = Self(0);
        for name in text.split(',') {
            let layer = Layer::ALL.into_iter().find(|layer| layer.name() == name);
            let layer = layer.ok_or(if name.is_empty() { LayersError::Empty } else { LayersError::Unknown(name) })?;
            if layers.contains(layer) {
                return Err(LayersError::Twice(name));
            }
            layers.0 |= 1 << layer as u8;
        }
        Ok(layers)
    }

    /// Every one of them, from the input to the logits.
    pub fn iter(self) -> impl Iterator<Item = Layer> {
        Layer::ALL.into_iter().filter(move |&layer| self.contains(layer))
    }
}

impl fmt::Display for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.iter().enumerate().try_for_each(|(i, layer)| {
            let comma = if i == 0 { "" } else { "," };
            write!(f, "{comma}{}", layer.name())
        })
    }
}

/// Why a text does not name layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LayersError<'a> {
    /// Nothing stands where a name should.
    #[error("a layer's name is empty; expected some of conv1,conv2,fc1,fc2")]
    Empty,
    /// The network has no layer of that name.
    #[error("{0:?} is not a layer; expected some of conv1,conv2,fc1,fc2")]
    Unknown(&'a str),
    /// A layer stands there twice.
    #[error("{0} is named twice")]
    Twice(&'a str),
}

/// All parameters (or their gradients, or their momentum) one after another, in the order of [`TENSORS`].
pub type FlatParameters = [f32; PARAMETER_COUNT];

/// A feature map: `[channel][row][column]`.
pub type Map<const CHANNELS: usize, const SIDE: usize> = [[[f32; SIDE]; SIDE]; CHANNELS];
/// Convolution weights: `[output channel][input channel][3·row + column]`.
pub type Kernels<const OUTPUT: usize, const INPUT: usize> = [[[f32; KERNEL_LEN]; INPUT]; OUTPUT];

/// A network input: one channel of normalised pixels.
pub type Image = Map<1, IMAGE_SIDE>;
/// conv1's map after pooling.
pub type Pool1 = Map<CONV1_CHANNELS, POOL1_SIDE>;
/// conv2's map after pooling.
pub type Pool2 = Map<CONV2_CHANNELS, POOL2_SIDE>;
/// The scores of the ten classes.
pub type Logits = [f32; CLASSES];

/// Generates the borrowed, typed view of the flat array, once shared and once exclusive.
macro_rules! parameter_view {
    ($(#[$docs:meta])* $name:ident, $split:ident, $chunks:ident $(, $mutable:tt)?) => {
        $(#[$docs])*
        #[derive(Debug)]
        pub struct $name<'a> {
            /// conv1.weight
            pub conv1_weight: &'a $($mutable)? Kernels<CONV1_CHANNELS, 1>,
            /// conv1.bias
            pub conv1_bias: &'a $($mutable)? [f32; CONV1_CHANNELS],
            /// conv2.weight
            pub conv2_weight: &'a $($mutable)? Kernels<CONV2_CHANNELS, CONV1_CHANNELS>,
            /// conv2.bias
            pub conv2_bias: &'a $($mutable)? [f32; CONV2_CHANNELS],
            /// fc1.weight
            pub fc1_weight: &'a $($mutable)? [[f32; POOL2_LEN]; HIDDEN],
            /// fc1.bias
            pub fc1_bias: &'a $($mutable)? [f32; HIDDEN],
            /// fc2.weight
            pub fc2_weight: &'a $($mutable)? [[f32; HIDDEN]; CLASSES],
            /// fc2.bias
            pub fc2_bias: &'a $($mutable)? [f32; CLASSES],
        }

        impl<'a> $name<'a> {
            /// Gives every tensor of `flat` its name and shape; nothing is copied.
            pub fn of(flat: &'a $($mutable)? FlatParameters) -> Self {
                // The lengths are constants that add up to the array's, so no conversion below can fail.
                const FITS: &str = "the tensors' lengths add up to PARAMETER_COUNT";
                let (conv1_weight, rest) = flat.$split::<{ CONV1_WEIGHT.len }>().expect(FITS);
                let (conv1_bias, rest) = rest.$split().expect(FITS);
                let (conv2_weight, rest) = rest.$split::<{ CONV2_WEIGHT.len }>().expect(FITS);
                let (conv2_bias, rest) = rest.$split().expect(FITS);
                let (fc1_weight, rest) = rest.$split::<{ FC1_WEIGHT.len }>().expect(FITS);
                let (fc1_bias, rest) = rest.$split().expect(FITS);
                let (fc2_weight, rest) = rest.$split::<{ FC2_WEIGHT.len }>().expect(FITS);
                let (fc2_bias, _) = rest.$split().expect(FITS);
                Self {
                    conv1_weight: conv1_weight.$chunks().0.$chunks().0.try_into().expect(FITS),
                    conv1_bias,
                    conv2_weight: conv2_weight.$chunks().0.$chunks().0.try_into().expect(FITS),
                    conv2_bias,
                    fc1_weight: fc1_weight.$chunks().0.try_into().expect(FITS),
                    fc1_bias,
                    fc2_weight: fc2_weight.$chunks().0.try_into().expect(FITS),
                    fc2_bias,
                }
            }
        }
    };
}

parameter_view!(
    /// The parameters by name and shape, borrowed from the flat array (in flash or in RAM).
    #[derive(Clone, Copy)]
    Parameters, split_first_chunk, as_chunks
);
parameter_view!(
    /// The same for writing: gradients, or parameters under construction.
    ParametersMut, split_first_chunk_mut, as_chunks_mut, mut
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_follow_each_other_without_gaps() {
        let mut end = 0;
        for tensor in TENSORS {
            assert_eq!(tensor.offset, end, "{}", tensor.name);
            end += tensor.shape.iter().product::<usize>();
        }
        assert_eq!(end, PARAMETER_COUNT);
    }

    #[test]
    fn views_name_the_flat_array_in_pytorchs_order() {
        let flat: FlatParameters = core::array::from_fn(|i| i as f32);
        let view = Parameters::of(&flat);
        assert_eq!(view.conv1_weight[3][0][5], (3 * 9 + 5) as f32);
        assert_eq!(view.conv2_weight[7][2][8], (CONV2_WEIGHT.offset + (7 * 16 + 2) * 9 + 8) as f32);
        assert_eq!(view.fc1_weight[119][799], (FC1_BIAS.offset - 1) as f32);
        assert_eq!(view.fc2_weight[1][4], (FC2_WEIGHT.offset + 124) as f32);
        assert_eq!(view.fc2_bias[9], (PARAMETER_COUNT - 1) as f32);
    }

    #[test]
    fn layers_are_the_tensors_and_have_names() {
        let mut end = 0;
        for layer in Layer::ALL {
            assert_eq!(layer.range().start, end, "{}", layer.name());
            end = layer.range().end;
        }
        assert_eq!(end, PARAMETER_COUNT);
        assert_eq!(Layers::parse("conv1,conv2,fc1,fc2"), Ok(Layers::ALL));
        let some = Layers::parse("fc2,conv2").unwrap();
        assert!(some.iter().eq([Layer::Conv2, Layer::Fc2]) && some.bits() == 0b1010);
        for text in ["", ",", "fc2,", ",fc2", "fc1,,fc2"] {
            assert_eq!(Layers::parse(text), Err(LayersError::Empty), "{text:?}");
        }
        for name in ["fc3", "FC2", " fc2", "fc1 ", "fc1;fc2", "all", "fc2.weight", "none"] {
            assert_eq!(Layers::parse(name), Err(LayersError::Unknown(name)));
        }
        assert_eq!(Layers::parse("conv1,fc3,"), Err(LayersError::Unknown("fc3")));
        assert_eq!(Layers::parse("fc1,conv1,fc1"), Err(LayersError::Twice("fc1")));
    }
}
