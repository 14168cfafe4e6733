//! A digit on its way through the network, every value of it.

use cnn_core::head::FlatHead;
use cnn_core::image::{self, ImageError, Picture, Pixels, Rgba, Workspace, normalize, over};
use cnn_core::loss::softmax;
use cnn_core::model::{Golden, MAX_LEN, Metadata, Model, ModelError, SHAPES, encode};
use cnn_core::network::{
    Activations, CLASSES, CONV1_CHANNELS, CONV2_CHANNELS, FlatParameters, IMAGE_PIXELS, IMAGE_SIDE, Kernels, Logits,
    Map, PARAMETER_COUNT, POOL1_SIDE, Parameters, forward, logits, predict,
};
use cnn_core::range::first_out_of_range;
use cnn_core::shapes::Layer;
use cnn_train::backend::boxed_zeros;
use cnn_train::fingerprint::Fingerprint;

/// Side of conv1's map before pooling.
pub const CONV1_SIDE: usize = IMAGE_SIDE - 2;
/// Side of conv2's map before pooling.
pub const CONV2_SIDE: usize = POOL1_SIDE - 2;

/// A network and the last digit that it read.
pub struct Look {
    /// The network.
    pub parameters: Box<FlatParameters>,
    /// The digit.
    pub pixels: Pixels,
    /// What the forward pass leaves: the normalised image, both pooled maps, fc1 after ReLU.
    pub activations: Activations,
    /// conv1's sums, before ReLU and pooling.
    pub conv1: Map<CONV1_CHANNELS, CONV1_SIDE>,
    /// conv2's sums, before ReLU and pooling.
    pub conv2: Map<CONV2_CHANNELS, CONV2_SIDE>,
    /// The scores of the ten classes.
    pub logits: Logits,
    /// Their softmax.
    pub probabilities: [f32; CLASSES],
    /// The last model file that was taken, and the fingerprint of its parameters.
    file: Option<(Fingerprint, Vec<u8>)>,
    workspace: Vec<u32>,
}

impl Default for Look {
    fn default() -> Self {
        Self {
            parameters: boxed_zeros(),
            pixels: [0; IMAGE_PIXELS],
            activations: Activations::new(),
            conv1: [[[0.0; CONV1_SIDE]; CONV1_SIDE]; CONV1_CHANNELS],
            conv2: [[[0.0; CONV2_SIDE]; CONV2_SIDE]; CONV2_CHANNELS],
            logits: [0.0; CLASSES],
            probabilities: [0.0; CLASSES],
            file: None,
            workspace: Vec::new(),
        }
    }
}

/// Why something is not taken.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The model file is damaged, or another.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The parameters of a model file are not those that it names.
    #[error("the parameters' fingerprint is {found}, the file says {expected}")]
    Fingerprint {
        /// What the file says.
        expected: Fingerprint,
        /// What the parameters give.
        found: Fingerprint,
    },
    /// The picture shows no digit.
    #[error(transparent)]
    Picture(#[from] ImageError),
    /// Bytes that should be all parameters are not.
    #[error("{found} bytes are not {PARAMETER_COUNT} parameters in their range")]
    Parameters {
        /// Number of bytes.
        found: usize,
    },
    /// Bytes that should be a digit are not.
    #[error("{found} bytes are not a digit of {IMAGE_PIXELS} pixels")]
    Pixels {
        /// Number of bytes.
        found: usize,
    },
}

impl Look {
    /// Takes a model file that passes every check, and its golden image as the digit. Returns what there is to say of it.
    ///
    /// # Errors
    /// If any check fails; the network is then the one before.
    pub fn load_model(&mut self, file: &[u8]) -> Result<String, Refusal> {
        let (model, parameters, found) = checked(file)?;
        model.self_test(&Parameters::of(&parameters), &mut self.activations)?;
        self.parameters = parameters;
        self.pixels = *model.golden_pixels();
        self.file = Some((found, file.to_vec()));
        let trained = model.metadata().training.map(|training| {
            format!(
                "trained on {} for {} epochs; {} of {} test images read right",
                training.dataset, training.epochs, training.test_correct, training.test_count
            )
        });
        Ok(trained.unwrap_or_else(|| "imported parameters".into()))
    }

    /// Notes the model file that belongs to parameters which came, or will come, by themselves.
    ///
    /// # Errors
    /// If it is damaged.
    pub fn know_model(&mut self, file: &[u8]) -> Result<(), Refusal> {
        let (_, _, fingerprint) = checked(file)?;
        self.file = Some((fingerprint, file.to_vec()));
        Ok(())
    }

    /// A model file of the parameters as they are, and their fingerprint: the file that they came from, or a new one whose
    /// golden image is the digit, without words on training.
    ///
    /// # Errors
    /// If a parameter is out of range.
    pub fn model_file(&self) -> Result<(Fingerprint, Vec<u8>), Refusal> {
        let fingerprint = Fingerprint::of(&self.parameters);
        if let Some(known) = self.file.as_ref().filter(|(of, _)| *of == fingerprint) {
            return Ok(known.clone());
        }
        Ok((fingerprint, encoded(&self.parameters, &self.pixels)?))
    }

    /// The model file of the parameters with another head, as `board export` writes it: the golden image is that of the
    /// file that they came from, or else the digit.
    ///
    /// # Errors
    /// If a parameter is out of range.
    pub fn model_file_with(&self, head: &FlatHead) -> Result<Vec<u8>, Refusal> {
        let own = Fingerprint::of(&self.parameters);
        let known = self.file.as_ref().filter(|(of, _)| *of == own).map(|(_, file)| Model::parse(file)).transpose()?;
        let mut parameters = self.parameters.clone();
        parameters[Layer::Fc2.range()].copy_from_slice(head);
        encoded(&parameters, known.as_ref().map_or(&self.pixels, Model::golden_pixels))
    }

    /// Takes parameters as little-endian f32, as a run in another thread gives them.
    ///
    /// # Errors
    /// If there are more or fewer, or one is out of range.
    pub fn set_parameters(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        let refusal = Refusal::Parameters { found: bytes.len() };
        let (values, rest) = bytes.as_chunks();
        let values = values.iter().map(|&value| f32::from_le_bytes(value));
        if !rest.is_empty() || values.len() != PARAMETER_COUNT || first_out_of_range(values.clone()).is_some() {
            return Err(refusal);
        }
        self.parameters.iter_mut().zip(values).for_each(|(parameter, value)| *parameter = value);
        Ok(())
    }

    /// Takes a digit that is prepared already.
    ///
    /// # Errors
    /// If it has another size.
    pub fn set_pixels(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        self.pixels = bytes.try_into().map_err(|_| Refusal::Pixels { found: bytes.len() })?;
        Ok(())
    }

    /// Prepares a picture of RGBA pixels as `predict` does. Returns what makes the digit doubtful, a line each.
    ///
    /// # Errors
    /// If it has another size, or shows no digit; the digit is then the one before.
    pub fn prepare(&mut self, width: usize, height: usize, rgba: &[u8]) -> Result<String, Refusal> {
        let pixels: &[Rgba] = rgba.as_chunks().0;
        let ground = image::ground(pixels);
        let colours: Vec<_> = pixels.iter().map(|&pixel| over(ground, pixel)).collect();
        self.workspace.resize(Workspace::WORDS, 0);
        let memory = self.workspace.as_mut_slice().try_into().expect("it was resized to this");
        let prepared = image::prepare(&Picture::new(width, height, &colours)?, &mut Workspace::new(memory))?;
        self.pixels = prepared.pixels;
        Ok(prepared.doubts.remarks().collect::<Vec<_>>().join("\n"))
    }

    /// Runs the network on the digit. Returns the class.
    pub fn look(&mut self) -> usize {
        let parameters = Parameters::of(&self.parameters);
        normalize(&self.pixels, &mut self.activations.image);
        self.logits = forward(&parameters, &mut self.activations);
        self.probabilities = softmax(&self.logits);
        sums(&self.activations.image, parameters.conv1_weight, parameters.conv1_bias, &mut self.conv1);
        sums(&self.activations.pool1, parameters.conv2_weight, parameters.conv2_bias, &mut self.conv2);
        predict(&self.logits)
    }
}

/// A new model file, without words on training.
fn encoded(parameters: &FlatParameters, pixels: &Pixels) -> Result<Vec<u8>, Refusal> {
    let logits = logits(pixels, &Parameters::of(parameters), &mut Box::new(Activations::new()));
    let fingerprint = *Fingerprint::of(parameters).as_bytes();
    let metadata = Metadata { shapes: SHAPES, training: None, fingerprint, golden: Golden { pixels, logits } };
    let mut file = vec![0; MAX_LEN];
    let length = encode(&metadata, parameters, &mut file)?;
    file.truncate(length);
    Ok(file)
}

/// A model file's contents, if the parameters are those that it names.
fn checked(file: &[u8]) -> Result<(Model<'_>, Box<FlatParameters>, Fingerprint), Refusal> {
    let model = Model::parse(file)?;
    let mut parameters = boxed_zeros();
    model.copy_parameters(&mut parameters);
    let (expected, found) = (Fingerprint::from(model.metadata().fingerprint), Fingerprint::of(&parameters));
    if found == expected { Ok((model, parameters, found)) } else { Err(Refusal::Fingerprint { expected, found }) }
}

/// All sums of a convolution, which the network itself never keeps: from the bias on, then input channel, kernel row,
/// kernel column ([`cnn_core::conv`]).
fn sums<const INPUT: usize, const SIDE: usize, const OUTPUT: usize, const CONVOLVED: usize>(
    input: &Map<INPUT, SIDE>,
    weight: &Kernels<OUTPUT, INPUT>,
    bias: &[f32; OUTPUT],
    output: &mut Map<OUTPUT, CONVOLVED>,
) {
    const { assert!(CONVOLVED == SIDE - 2, "a 3×3 kernel") };
    for ((kernels, bias), output) in weight.iter().zip(bias).zip(output) {
        for (row, output) in output.iter_mut().enumerate() {
            for (column, output) in output.iter_mut().enumerate() {
                let mut sum = *bias;
                for (plane, kernel) in input.iter().zip(kernels) {
                    for (k, weight) in kernel.iter().enumerate() {
                        sum += plane[row + k / 3][column + k % 3] * weight;
                    }
                }
                *output = sum;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use cnn_core::conv::relu_pool;
    use cnn_train::dataset::{Split, synthetic};

    use super::*;

    const MODEL: &[u8] = include_bytes!("../../firmware/model/mnist.cnnm");

    fn assert_pooled<const CHANNELS: usize, const SIDE: usize, const POOLED: usize>(
        sums: &Map<CHANNELS, SIDE>,
        pooled: &Map<CHANNELS, POOLED>,
    ) {
        for (sums, pooled) in sums.iter().zip(pooled) {
            for (row, values) in pooled.iter().enumerate() {
                for (column, value) in values.iter().enumerate() {
                    let (r, c) = (2 * row, 2 * column);
                    let window = [sums[r][c], sums[r][c + 1], sums[r + 1][c], sums[r + 1][c + 1]];
                    assert_eq!(relu_pool(window).0.to_bits(), value.to_bits());
                }
            }
        }
    }

    #[test]
    fn the_maps_before_pooling_are_those_that_the_network_pools() {
        let mut look = Look::default();
        look.load_model(MODEL).unwrap();
        for pixels in synthetic::samples(0, Split::Test, 20).images() {
            look.set_pixels(pixels).unwrap();
            look.look();
            assert_pooled(&look.conv1, &look.activations.pool1);
            assert_pooled(&look.conv2, &look.activations.pool2);
        }
    }

    #[test]
    fn a_damaged_model_leaves_the_network_as_it_was() {
        let mut look = Look::default();
        look.load_model(MODEL).unwrap();
        let before = look.parameters.clone();
        for at in [0, 5, 9, 13, 20, 1000, MODEL.len() - 1] {
            let mut file = MODEL.to_vec();
            file[at] ^= 1;
            assert!(look.load_model(&file).is_err(), "byte {at}");
            assert!(look.load_model(&file[..at]).is_err(), "cut at {at}");
        }
        assert!(before == look.parameters);
    }

    #[test]
    fn the_file_of_parameters_is_the_one_that_they_came_from_or_a_whole_new_one() {
        let mut look = Look::default();
        look.load_model(MODEL).unwrap();
        assert!(look.model_file().unwrap().1 == MODEL);
        let loaded = look.parameters.clone();
        let other: Vec<u8> = look.parameters.iter().flat_map(|value| (value / 2.0).to_le_bytes()).collect();
        look.set_parameters(&other).unwrap();
        look.pixels = [3; IMAGE_PIXELS];
        let (fingerprint, file) = look.model_file().unwrap();
        assert_eq!(fingerprint, Fingerprint::of(&look.parameters));
        let mut reader = Look::default();
        assert_eq!(reader.load_model(&file).unwrap(), "imported parameters");
        assert!(reader.parameters == look.parameters && reader.pixels == look.pixels);
        // A run in another thread tells the parameters and the file apart from each other.
        look.parameters = loaded;
        look.file = None;
        assert!(look.know_model(&MODEL[1..]).is_err() && look.model_file().unwrap().1 != MODEL);
        look.know_model(MODEL).unwrap();
        assert!(look.model_file().unwrap().1 == MODEL);
    }

    #[test]
    fn the_file_with_another_head_has_the_golden_image_of_the_parameters_file() {
        let mut look = Look::default();
        look.load_model(MODEL).unwrap();
        let (golden, head) = (look.pixels, cnn_core::head::of(&look.parameters).map(|value| value / 2.0));
        look.pixels = [3; IMAGE_PIXELS];
        let mut reader = Look::default();
        reader.load_model(&look.model_file_with(&head).unwrap()).unwrap();
        assert!(cnn_core::head::of(&reader.parameters) == &head && reader.pixels == golden);
        let before_head = ..PARAMETER_COUNT - head.len();
        assert!(reader.parameters[before_head] == look.parameters[before_head]);
        // Without a file that they came from.
        look.file = None;
        reader.load_model(&look.model_file_with(&head).unwrap()).unwrap();
        assert_eq!(reader.pixels, look.pixels);
    }

    #[test]
    fn parameters_that_no_network_has_are_refused() {
        let mut look = Look::default();
        let mut bytes = vec![0; 4 * PARAMETER_COUNT];
        assert!(look.set_parameters(&bytes).is_ok());
        assert!(look.set_parameters(&bytes[1..]).is_err() && look.set_parameters(&[]).is_err());
        bytes[..4].copy_from_slice(&f32::NAN.to_le_bytes());
        assert!(look.set_parameters(&bytes).is_err());
    }

    #[test]
    fn a_picture_of_another_size_than_it_says_is_refused() {
        let mut look = Look::default();
        let picture = [255; 4 * 30 * 20];
        for (width, height) in [(0, 20), (30, 0), (20, 20), (30, 21), (usize::MAX, 2), (1 << 20, 1)] {
            assert!(look.prepare(width, height, &picture).is_err(), "{width}×{height}");
        }
        assert!(matches!(look.prepare(30, 20, &picture), Err(Refusal::Picture(ImageError::NoInk))));
    }
}
