//! The CUDA kernels as the host sees them: PTX text, names, arguments and launch shapes.
//!
//! The sources are `cuda/*.cu`, one header per phase of a step; each says what it computes, how its outputs map to
//! threads and what order its sums have. `make-ptx.sh` compiles them to the committed `ptx/*.ptx` (PTX ISA 8.0, target
//! sm_70), which the driver of any GPU from Volta on translates when the program starts.

use cnn_core::network::{CLASSES, CONV1_CHANNELS, FC1_WEIGHT, HIDDEN, IMAGE_PIXELS, POOL2_LEN};

/// A module: its name and its PTX text.
#[derive(Debug, Clone, Copy)]
pub struct Ptx {
    /// What messages call it.
    pub name: &'static str,
    /// The text, for the driver to translate.
    pub text: &'static str,
}

/// Training by cooperative launches: [`TRAIN_STEPS`].
pub const STEPS: Ptx = Ptx { name: "train_steps", text: include_str!("../ptx/train_steps.ptx") };
/// Training by graphs: [`TRAIN_SAMPLES`], [`TRAIN_UPDATE`].
pub const PHASES: Ptx = Ptx { name: "train_phases", text: include_str!("../ptx/train_phases.ptx") };
/// The kernels of evaluation: [`EVALUATE_CONVOLUTIONS`], [`EVALUATE_CLASSIFIER`].
pub const EVALUATE: Ptx = Ptx { name: "evaluate", text: include_str!("../ptx/evaluate.ptx") };
/// A kernel for tests: [`PROBE_MATH`].
pub const PROBE: Ptx = Ptx { name: "probe", text: include_str!("../ptx/probe.ptx") };

/// `(TrainingArguments, first step: u32, steps: u32)`: many steps behind one cooperative launch of [`steps_grid`] blocks.
pub const TRAIN_STEPS: &str = "train_steps";
/// `(TrainingArguments, step: u32)`: the first phase of a step, forward and backward. Any number of blocks, ideally one a sample.
pub const TRAIN_SAMPLES: &str = "train_samples";
/// `(TrainingArguments, step: u32)`: the second phase of a step, gradients of the batch and optimiser. Any number of blocks.
pub const TRAIN_UPDATE: &str = "train_update";
/// `(images, first: u32, count: u32, parameters, pool2)`. Any number of blocks.
pub const EVALUATE_CONVOLUTIONS: &str = "evaluate_convolutions";
/// `(pool2, labels, count: u32, parameters, fc1_transposed, losses, predictions)`: [`classifier_grid`] blocks.
pub const EVALUATE_CLASSIFIER: &str = "evaluate_classifier";
/// `(x, exponentials, logarithms, count: u32)`: exp and ln of single values, one thread each.
pub const PROBE_MATH: &str = "probe_math";

/// Threads of a block, of every kernel.
pub const THREADS: u32 = 512;
/// Dynamic shared memory of a block of the kernels of training, in bytes.
pub const TRAIN_SHARED_BYTES: u32 = 64 << 10;
/// Dynamic shared memory of a block of the kernels of [`EVALUATE`], in bytes.
pub const EVALUATE_SHARED_BYTES: u32 = 37 << 10;
/// Samples of a block of [`EVALUATE_CLASSIFIER`].
pub const CLASSIFIER_SAMPLES: u32 = 32;
/// Blocks of [`EVALUATE_CONVOLUTIONS`] that a multiprocessor runs at once, if its shared memory suffices.
pub const EVALUATION_BLOCKS: u32 = 2;

/// The CUDA version (1000 · major + 10 · minor) whose drivers accept the PTX, and the first such driver.
pub const DRIVER_NEEDED: (i32, &str) = (12_000, if cfg!(windows) { "527" } else { "525" });
/// The first compute capability that the PTX runs on: Volta.
pub const COMPUTE_CAPABILITY_NEEDED: (i32, i32) = (7, 0);

/// An address in device memory.
pub type DeviceAddress = u64;

/// No step has failed: [`TrainingArguments::failed_step`] before training.
pub const NO_STEP: u32 = u32::MAX;

/// What a training step reads and writes in device memory: the argument of the kernels of training, field by field the
/// struct of `cuda/training.cuh`.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C)]
pub struct TrainingArguments {
    /// u8 `[sample][784]`
    pub images: DeviceAddress,
    /// u8 `[sample]`
    pub labels: DeviceAddress,
    /// u32 `[length]`: the samples in the order of training.
    pub order: DeviceAddress,
    /// f32, in PyTorch's order.
    pub parameters: DeviceAddress,
    /// f32, in PyTorch's order.
    pub momentum: DeviceAddress,
    /// f32 `[800][120]`: fc1.weight once more, kept equal to it.
    pub fc1_transposed: DeviceAddress,
    /// f32 `[n][800]`, n the sample within the batch; this and the next four are written and read within a step.
    pub pool2: DeviceAddress,
    /// f32 `[n][120]`
    pub hidden: DeviceAddress,
    /// f32 `[n][120]`
    pub hidden_gradient: DeviceAddress,
    /// f32 `[n][10]`
    pub logits_gradient: DeviceAddress,
    /// f32 `[n][4800]`
    pub conv_gradient: DeviceAddress,
    /// u32: [`NO_STEP`], or the first step after which a parameter is out of range. No later step changes anything.
    pub failed_step: DeviceAddress,
    /// u32: 0 before every launch of [`TRAIN_STEPS`].
    pub arrived: DeviceAddress,
    /// Length of `order`.
    pub length: u32,
    /// Samples of a step; the last takes what is left.
    pub batch_length: u32,
    /// Learning rate.
    pub learning_rate: f32,
    /// Momentum's factor μ.
    pub momentum_factor: f32,
    /// Weight decay.
    pub weight_decay: f32,
    /// The layers that are trained, as `cnn_core::shapes::Layers::bits` has them.
    pub layers: u32,
}

/// The buffers of a batch within a step: f32 values per sample of `pool2`, `hidden`, `hidden_gradient`,
/// `logits_gradient`, `conv_gradient`, in this order.
pub const BATCH_BUFFERS: [usize; 5] = [POOL2_LEN, HIDDEN, HIDDEN, CLASSES, FC1_WEIGHT.offset];

/// Tiles of fc1's weight that the update hands out: one for a block is the best share.
const UPDATE_TILES: u32 = 125;

/// Blocks of [`TRAIN_STEPS`]: as many as are resident at once (a grid barrier needs them all), but no more than have
/// work in some phase.
pub fn steps_grid(multiprocessors: u32, blocks_per_multiprocessor: u32, batch_length: u32) -> u32 {
    (multiprocessors * blocks_per_multiprocessor).min(batch_length.max(UPDATE_TILES)).max(1)
}

/// Blocks of [`TRAIN_UPDATE`].
pub fn update_grid(multiprocessors: u32) -> u32 {
    multiprocessors.max(1)
}

/// Samples that the kernels of [`EVALUATE`] take at once: 32 for every block of the convolutions, so that all blocks end
/// together and what lies between the two kernels stays in the L2 cache.
pub fn evaluation_chunk(multiprocessors: u32) -> u32 {
    multiprocessors.max(1) * EVALUATION_BLOCKS * CLASSIFIER_SAMPLES
}

/// Blocks of [`EVALUATE_CONVOLUTIONS`] for `count` samples.
pub fn convolutions_grid(multiprocessors: u32, count: u32) -> u32 {
    (multiprocessors * EVALUATION_BLOCKS).clamp(1, count)
}

/// Blocks of [`EVALUATE_CLASSIFIER`] for `count` samples.
pub fn classifier_grid(count: u32) -> u32 {
    count.div_ceil(CLASSIFIER_SAMPLES)
}

const _: () = assert!(FC1_WEIGHT.offset == 4800 && IMAGE_PIXELS == 784 && CONV1_CHANNELS == 16, "network.cuh says so");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_module_has_its_kernels_for_the_promised_drivers_and_gpus() {
        let kernels = [
            (STEPS, TRAIN_STEPS),
            (PHASES, TRAIN_SAMPLES),
            (PHASES, TRAIN_UPDATE),
            (EVALUATE, EVALUATE_CONVOLUTIONS),
            (EVALUATE, EVALUATE_CLASSIFIER),
            (PROBE, PROBE_MATH),
        ];
        for (ptx, kernel) in kernels {
            assert!(ptx.text.contains("\n.version 8.0\n.target sm_70\n"), "{}", ptx.name);
            assert!(ptx.text.contains(&format!(".visible .entry {kernel}(")), "{kernel}");
        }
    }

    #[test]
    fn no_kernel_fuses_flushes_adds_floats_atomically_or_reads_around_a_barrier() {
        for ptx in [STEPS, PHASES, EVALUATE, PROBE] {
            for line in ptx.text.lines() {
                let operation = line.split_whitespace().next().unwrap_or_default();
                let refused = operation.starts_with("fma.")
                    || operation.starts_with("mad.f")
                    || operation.contains(".ftz")
                    || operation.contains(".approx")
                    // Loads through the read-only cache do not see what other blocks write.
                    || operation.starts_with("ld.global.nc")
                    || (operation.starts_with("atom") || operation.starts_with("red")) && operation.contains(".f");
                assert!(!refused, "{}: {line}", ptx.name);
            }
        }
    }
}
