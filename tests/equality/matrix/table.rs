//! Operations, backends, and for each pair the test that compares the two.

use cnn_train::backend::SimdLevel;

/// Where an operation is computed, by the names of the code.
pub struct Forms {
    /// Functions of `cnn-core`, as `module::function`.
    pub core: &'static [&'static str],
    /// Kernels of the CPU backend, as `module::Kernel`.
    pub cpu: &'static [&'static str],
    /// CUDA kernels.
    pub cuda: &'static [&'static str],
    /// Functions of the firmware in assembly.
    pub firmware: &'static [&'static str],
}

/// Where runs that may diverge are compared.
const DIVERGENCE: &str = "tests/equality/divergence.rs";

const TRAINING: &[&str] = &["train_steps", "train_samples"];
const UPDATE: &[&str] = &["train_steps", "train_update"];
const CONVOLUTIONS: &[&str] = &["train_steps", "train_samples", "evaluate_convolutions"];
const CLASSIFIER: &[&str] = &["train_steps", "train_samples", "evaluate_classifier"];

/// One variant for each operation: its name on the page and its [`Forms`].
macro_rules! operations {
    ($($name:ident: $title:literal, $core:expr, $cpu:expr, $cuda:expr, $firmware:expr;)*) => {
        /// An operation of the network, and the wholes that are made of them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Operation {
            $($name),*
        }

        impl Operation {
            /// Every operation, in the order of a training step, the wholes last.
            pub const ALL: &[Operation] = &[$(Self::$name),*];

            /// What the page calls it.
            pub fn title(self) -> &'static str {
                match self {
                    $(Self::$name => $title),*
                }
            }

            /// Where it is computed.
            pub fn forms(self) -> Forms {
                match self {
                    $(Self::$name => Forms { core: &$core, cpu: &$cpu, cuda: $cuda, firmware: &$firmware }),*
                }
            }
        }
    };
}

operations! {
    Normalize: "normalize",
        ["image::normalize_pixel", "image::normalize"], [], CONVOLUTIONS, [];
    ReluPool: "ReLU and max-pool of a window",
        ["conv::relu_pool"], [], CONVOLUTIONS, [];
    Conv1Forward: "conv1, ReLU, pool: forward",
        ["conv::convolve_relu_pool", "conv::convolve_relu_pool_winners"], ["conv1::Forward"], CONVOLUTIONS,
        ["convolve_window"];
    Conv2Forward: "conv2, ReLU, pool: forward",
        ["conv::convolve_relu_pool", "conv::convolve_relu_pool_winners"], ["conv2::Forward", "conv2::Background"], CONVOLUTIONS,
        ["convolve_window"];
    Fc1Forward: "fc1, ReLU: forward",
        ["network::flatten", "linear::linear_relu"], ["linear::Fc1Forward"], CLASSIFIER, ["add_products"];
    Fc2Forward: "fc2: forward",
        ["linear::linear"], ["linear::Fc2Forward"], CLASSIFIER, ["add_products"];
    Exp: "exp",
        ["math::exp"], [], &["train_steps", "train_samples", "evaluate_classifier", "probe_math"], [];
    Ln: "ln",
        ["math::ln"], [], &["train_steps", "train_samples", "evaluate_classifier", "probe_math"], [];
    CrossEntropy: "softmax, cross-entropy and its gradient",
        ["loss::softmax", "loss::cross_entropy", "loss::cross_entropy_backward",
         "loss::cross_entropy_gradient"], [], CLASSIFIER, [];
    Predict: "prediction",
        ["network::predict"], [], &["evaluate_classifier"], [];
    Fc2BackwardInput: "fc2: gradient of the input, through fc1's ReLU",
        ["linear::linear_backward_input", "linear::relu_backward"], ["linear::Fc2BackwardInput"], TRAINING, [];
    Fc2BackwardParameters: "fc2: gradient of the parameters",
        ["linear::linear_backward_parameters"], ["update::HeadGradient"], UPDATE, [];
    Fc1BackwardInput: "fc1: gradient of the input",
        ["linear::linear_backward_input"], ["linear::Fc1BackwardInput"], TRAINING, [];
    Fc1BackwardParameters: "fc1: gradient of the parameters",
        ["linear::linear_backward_parameters"], ["update::Fc1Update", "update::HeadGradient"], UPDATE, [];
    Conv2BackwardInput: "conv2: gradient of the input",
        ["conv::convolve_backward_input"], ["conv2::Backward"], TRAINING, [];
    Conv2BackwardParameters: "conv2: gradient of the parameters, of a sample",
        ["conv::convolve_backward_parameters"], ["conv2::Backward"], TRAINING, [];
    Conv1BackwardParameters: "conv1: gradient of the parameters, of a sample",
        ["conv::convolve_backward_parameters"], ["conv1::Backward"], TRAINING, [];
    ConvGradientSum: "conv1 and conv2: gradients of a batch",
        ["train::batch_gradient"], ["update::Accumulate"], UPDATE, [];
    SgdUpdate: "SGD update",
        ["sgd::update", "sgd::step"], ["update::Fc1Update", "update::Step"], UPDATE, [];
    Range: "the range of the parameters after a step",
        ["range::in_range", "range::first_out_of_range"], [], UPDATE, [];
    ForwardPass: "**forward pass**: the logits of an image",
        ["network::forward", "network::logits"], [], &["evaluate_convolutions", "evaluate_classifier"],
        ["convolve_window", "add_products"];
    Step: "**training step**",
        ["train::step", "train::step_layers"], [], &["train_steps", "train_samples", "train_update"], [];
    HeadStep: "**training step of fc2 alone**, over hidden values that are kept",
        ["head::step"], [], &[], [];
    Epoch: "**training epoch**",
        [], [], &["train_steps", "train_samples", "train_update"], [];
    Evaluation: "**evaluation**: losses and predictions",
        [], [], &["evaluate_convolutions", "evaluate_classifier"], [];
}

/// How the steps of an epoch reach a GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schedule {
    /// Many steps behind one launch.
    Cooperative,
    /// A graph of two kernels a step.
    Graph,
}

/// A processor on which QEMU runs forward passes alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Emulated {
    /// Without a floating-point unit.
    CortexM0,
    /// With the firmware's loops in assembly.
    CortexM33,
    /// Without a floating-point unit.
    Rv32imc,
}

impl Emulated {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::CortexM0, Self::CortexM33, Self::Rv32imc];
}

/// A backend, or a level of one, that computes on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// `cnn-core`, compared with the obvious loops of `equality::oracle`.
    Core,
    /// The CPU backend at a level.
    Cpu(SimdLevel),
    /// The CUDA kernels in a schedule.
    Cuda(Schedule),
    /// The firmware.
    Firmware,
    /// The forward pass of `firmware/emulated`.
    Emulated(Emulated),
}

impl Column {
    /// Every column: those of every backend that a flag names, the firmware, and the emulated processors.
    pub fn all() -> Vec<Column> {
        let backends = ["Reference", "Cpu", "Cuda", "CudaGraph"];
        let boards = [Self::Firmware].into_iter().chain(Emulated::ALL.map(Self::Emulated));
        backends.into_iter().filter_map(Self::of).flatten().chain(boards).collect()
    }

    /// The columns of a backend, as the program's `BackendChoice` names it; none if the table does not know it.
    pub fn of(choice: &str) -> Option<Vec<Column>> {
        Some(match choice {
            // One of the others.
            "Auto" => vec![],
            "Reference" => vec![Self::Core],
            "Cpu" => SimdLevel::ALL.map(Self::Cpu).into(),
            "Cuda" => vec![Self::Cuda(Schedule::Cooperative)],
            "CudaGraph" => vec![Self::Cuda(Schedule::Graph)],
            _ => return None,
        })
    }

    /// The head of the column.
    pub fn title(self) -> &'static str {
        match self {
            Self::Core => "cnn-core",
            Self::Cpu(level) => level.name(),
            Self::Cuda(Schedule::Cooperative) => "cuda",
            Self::Cuda(Schedule::Graph) => "cuda-graph",
            Self::Firmware => "firmware",
            Self::Emulated(Emulated::CortexM0) => "cortex-m0",
            Self::Emulated(Emulated::CortexM33) => "cortex-m33",
            Self::Emulated(Emulated::Rv32imc) => "rv32imc",
        }
    }
}

/// A test, by where it is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Test {
    /// A function of a file.
    In(&'static str, &'static str),
    /// A function of this test's module `cpu`, for each SIMD level.
    AtEveryLevel(&'static str),
}

/// How an operation of a backend is compared with the form it must equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cell {
    /// By itself, its result bit for bit.
    Alone(&'static [Test]),
    /// As a part of a larger operation whose result is compared bit for bit.
    Within(Operation),
    /// It is the code of `cnn-core`, called.
    SameCode,
    /// The backend does not have the operation.
    Absent,
}

/// How an operation of a backend is compared.
pub fn cell(operation: Operation, column: Column) -> Cell {
    match column {
        Column::Core => core(operation),
        Column::Cpu(_) => cpu(operation),
        Column::Cuda(_) => cuda(operation),
        Column::Firmware => firmware(operation),
        Column::Emulated(processor) => emulated(operation, processor),
    }
}

/// `cnn-core`, compared with the oracle.
fn core(operation: Operation) -> Cell {
    const ORACLE: &str = "tests/equality/oracle_equality.rs";
    const CONV1: Cell = Cell::Alone(&[Test::In(ORACLE, "conv1_with_relu_and_pooling_equals_the_loops")]);
    const CONV2: Cell = Cell::Alone(&[Test::In(
        ORACLE,
        "conv2_with_relu_and_pooling_equals_the_loops_and_drops_the_odd_row_and_column",
    )]);
    const FC1: Cell = Cell::Alone(&[Test::In(ORACLE, "fc1_equals_the_loops")]);
    const FC2: Cell =
        Cell::Alone(&[Test::In(ORACLE, "fc2_equals_the_loops_with_outputs_left_over_after_whole_blocks")]);
    match operation {
        Operation::Normalize => Cell::Alone(&[
            Test::In(ORACLE, "every_pixel_is_normalised_as_the_formula_says"),
            Test::In("tests/pytorch_parity.rs", "pixels_are_normalised_to_the_same_bits"),
        ]),
        Operation::ReluPool => {
            Cell::Alone(&[Test::In(ORACLE, "relu_and_pooling_of_a_window_equal_one_after_the_other")])
        }
        Operation::Conv1Forward | Operation::Conv1BackwardParameters => CONV1,
        Operation::Conv2Forward | Operation::Conv2BackwardInput | Operation::Conv2BackwardParameters => CONV2,
        Operation::Fc1Forward | Operation::Fc1BackwardInput | Operation::Fc1BackwardParameters => FC1,
        Operation::Fc2Forward | Operation::Fc2BackwardInput | Operation::Fc2BackwardParameters => FC2,
        Operation::Exp => Cell::Alone(&[
            Test::In("tests/math.rs", "exp_is_within_an_ulp_and_monotonic_wherever_it_varies"),
            Test::In("tests/math.rs", "no_bit_of_exp_and_ln_has_changed"),
        ]),
        Operation::Ln => Cell::Alone(&[
            Test::In("tests/math.rs", "ln_is_within_an_ulp_and_monotonic_for_every_float_from_one_to_ten"),
            Test::In("tests/math.rs", "no_bit_of_exp_and_ln_has_changed"),
        ]),
        Operation::CrossEntropy => Cell::Alone(&[Test::In(ORACLE, "softmax_cross_entropy_equals_the_loops")]),
        Operation::Predict => {
            Cell::Alone(&[Test::In("cnn-core/src/network.rs", "the_first_of_equal_logits_is_predicted")])
        }
        Operation::ConvGradientSum => Cell::Within(Operation::Step),
        Operation::SgdUpdate => Cell::Alone(&[Test::In(ORACLE, "sgd_equals_the_loop_over_several_steps")]),
        Operation::Range => Cell::Alone(&[
            Test::In(DIVERGENCE, "nothing_overflows_at_the_edge_of_the_range"),
            Test::In(DIVERGENCE, "an_overflow_of_the_momentum_is_seen_in_the_parameters"),
        ]),
        Operation::ForwardPass => Cell::Alone(&[Test::In(ORACLE, "the_forward_pass_equals_the_loops")]),
        Operation::Step => Cell::Alone(&[Test::In(ORACLE, "training_steps_equal_the_loops_for_batches_of_any_length")]),
        Operation::HeadStep => Cell::Alone(&[Test::In(ORACLE, "steps_of_the_head_are_training_steps_of_fc2_alone")]),
        Operation::Epoch => {
            Cell::Alone(&[Test::In("tests/equality/golden_run.rs", "the_reference_gives_the_golden_fingerprints")])
        }
        Operation::Evaluation => Cell::Within(Operation::ForwardPass),
    }
}

/// The CPU backend, compared with `cnn-core`.
fn cpu(operation: Operation) -> Cell {
    const BACKENDS: &str = "tests/equality/backend_equality.rs";
    const EPOCHS: Cell = Cell::Alone(&[
        Test::In(BACKENDS, "cpu_equals_the_reference_on_noise"),
        Test::In(BACKENDS, "cpu_equals_the_reference_on_ties"),
        Test::In(BACKENDS, "cpu_equals_the_reference_on_extremes"),
        Test::In(BACKENDS, "cpu_equals_the_reference_on_digits"),
        Test::In(BACKENDS, "cpu_equals_the_reference_on_real_digits"),
    ]);
    match operation {
        Operation::Normalize => Cell::Alone(&[Test::AtEveryLevel("normalize")]),
        Operation::ReluPool => Cell::Alone(&[Test::AtEveryLevel("relu_pool_window")]),
        Operation::Conv1Forward => Cell::Alone(&[Test::AtEveryLevel("conv1_forward")]),
        Operation::Conv2Forward => Cell::Alone(&[Test::AtEveryLevel("conv2_forward")]),
        Operation::Fc1Forward => Cell::Alone(&[Test::AtEveryLevel("fc1_forward")]),
        Operation::Fc2Forward => Cell::Alone(&[Test::AtEveryLevel("fc2_forward")]),
        Operation::Exp | Operation::Ln | Operation::CrossEntropy | Operation::Predict => Cell::SameCode,
        Operation::Fc2BackwardInput => Cell::Alone(&[Test::AtEveryLevel("fc2_backward_input")]),
        Operation::Fc2BackwardParameters => Cell::Alone(&[Test::AtEveryLevel("fc2_backward_parameters")]),
        Operation::Fc1BackwardInput => Cell::Alone(&[Test::AtEveryLevel("fc1_backward_input")]),
        Operation::Fc1BackwardParameters => Cell::Alone(&[Test::AtEveryLevel("fc1_backward_parameters")]),
        Operation::Conv2BackwardInput | Operation::Conv2BackwardParameters => {
            Cell::Alone(&[Test::AtEveryLevel("conv2_backward")])
        }
        Operation::Conv1BackwardParameters => Cell::Alone(&[Test::AtEveryLevel("conv1_backward_parameters")]),
        Operation::ConvGradientSum => Cell::Alone(&[Test::AtEveryLevel("conv_gradient_sum")]),
        Operation::SgdUpdate => Cell::Alone(&[Test::AtEveryLevel("sgd_update")]),
        Operation::Range => {
            Cell::Alone(&[Test::In(DIVERGENCE, "a_thousand_runs_end_alike_at_every_level_whether_they_diverge_or_not")])
        }
        Operation::ForwardPass => Cell::Alone(&[Test::AtEveryLevel("forward_pass")]),
        Operation::Step => Cell::Alone(&[Test::AtEveryLevel("step")]),
        // It trains fc2 as a part of the whole.
        Operation::HeadStep => Cell::Absent,
        Operation::Epoch | Operation::Evaluation => EPOCHS,
    }
}

/// The CUDA kernels, compared with `cnn-core`: whole steps and whole evaluations, since a kernel is no less.
fn cuda(operation: Operation) -> Cell {
    const EQUALITY: &str = "tests/cuda_equality/equality.rs";
    const MATH: &str = "tests/cuda_equality/math.rs";
    const PTX: &str = "tests/ptx_equality/equality.rs";
    const EPOCHS: Cell = Cell::Alone(&[
        Test::In(EQUALITY, "an_epoch_of_noise_equals_the_reference"),
        Test::In(EQUALITY, "an_epoch_of_ties_equals_the_reference"),
        Test::In(EQUALITY, "an_epoch_of_extremes_equals_the_reference"),
        Test::In(PTX, "noise_gives_the_references_bits"),
        Test::In(PTX, "ties_give_the_references_bits"),
        Test::In(PTX, "extremes_give_the_references_bits"),
    ]);
    match operation {
        Operation::Exp => Cell::Alone(&[Test::In(MATH, "exp_of_the_kernels_is_that_of_the_core")]),
        Operation::Ln => Cell::Alone(&[Test::In(MATH, "ln_of_the_kernels_is_that_of_the_core")]),
        Operation::Predict | Operation::ForwardPass => Cell::Within(Operation::Evaluation),
        Operation::Normalize
        | Operation::ReluPool
        | Operation::Conv1Forward
        | Operation::Conv2Forward
        | Operation::Fc1Forward
        | Operation::Fc2Forward
        | Operation::CrossEntropy
        | Operation::Fc2BackwardInput
        | Operation::Fc2BackwardParameters
        | Operation::Fc1BackwardInput
        | Operation::Fc1BackwardParameters
        | Operation::Conv2BackwardInput
        | Operation::Conv2BackwardParameters
        | Operation::Conv1BackwardParameters
        | Operation::ConvGradientSum
        | Operation::SgdUpdate => Cell::Within(Operation::Step),
        Operation::Range => Cell::Alone(&[
            Test::In("tests/cuda_equality/divergence.rs", "runs_end_as_the_references_whether_they_diverge_or_not"),
            Test::In("tests/ptx_equality/divergence.rs", "runs_that_diverge_end_as_the_references"),
        ]),
        Operation::Step => Cell::Alone(&[Test::In(EQUALITY, "every_single_step_equals_the_reference")]),
        Operation::HeadStep => Cell::Absent,
        Operation::Epoch | Operation::Evaluation => EPOCHS,
    }
}

/// The firmware, compared with `cnn-core` on the host: the logits that a board replies, the head that it learns, and the
/// steps of the whole network where there is the RAM for them.
fn firmware(operation: Operation) -> Cell {
    match operation {
        Operation::Conv1Forward | Operation::Conv2Forward | Operation::Fc1Forward | Operation::Fc2Forward => {
            Cell::Within(Operation::ForwardPass)
        }
        Operation::Normalize | Operation::ReluPool | Operation::Exp | Operation::CrossEntropy | Operation::Predict => {
            Cell::SameCode
        }
        Operation::ForwardPass => Cell::Alone(&[Test::In(
            "tests/board_emulator.rs",
            "every_logit_is_the_hosts_bit_for_bit_within_the_budget_of_ram",
        )]),
        Operation::HeadStep => Cell::Alone(&[Test::In(
            "tests/board_emulator.rs",
            "a_hundred_samples_learned_for_fifty_epochs_give_the_hosts_head_and_a_kept_one_is_used_at_boot",
        )]),
        Operation::Ln | Operation::Fc2BackwardParameters | Operation::SgdUpdate => Cell::Within(Operation::HeadStep),
        Operation::Fc2BackwardInput
        | Operation::Fc1BackwardInput
        | Operation::Fc1BackwardParameters
        | Operation::Conv2BackwardInput
        | Operation::Conv2BackwardParameters
        | Operation::Conv1BackwardParameters
        | Operation::ConvGradientSum => Cell::Within(Operation::Step),
        Operation::Step => Cell::Alone(&[Test::In(
            "tests/board_training.rs",
            "steps_of_the_whole_network_on_a_cortex_m4f_and_m7_are_the_references",
        )]),
        Operation::Range | Operation::Epoch | Operation::Evaluation => Cell::Absent,
    }
}

/// Forward passes on emulated processors, compared with `cnn-core` on the host: in `cnn-core`'s own loops, compiled, or in
/// the firmware's.
fn emulated(operation: Operation, processor: Emulated) -> Cell {
    const TESTS: &str = "tests/forward_emulator.rs";
    const CORTEX_M0: Cell = Cell::Alone(&[Test::In(TESTS, "a_cortex_m0_gives_the_hosts_bits")]);
    const CORTEX_M33: Cell = Cell::Alone(&[Test::In(TESTS, "a_cortex_m33_gives_the_hosts_bits")]);
    const RV32IMC: Cell = Cell::Alone(&[Test::In(TESTS, "an_rv32imc_gives_the_hosts_bits")]);
    match (operation, processor) {
        (Operation::ForwardPass, Emulated::CortexM0) => CORTEX_M0,
        (Operation::ForwardPass, Emulated::CortexM33) => CORTEX_M33,
        (Operation::ForwardPass, Emulated::Rv32imc) => RV32IMC,
        (Operation::Normalize | Operation::ReluPool, _) => Cell::SameCode,
        (
            Operation::Conv1Forward | Operation::Conv2Forward | Operation::Fc1Forward | Operation::Fc2Forward,
            Emulated::CortexM33,
        ) => Cell::Within(Operation::ForwardPass),
        (Operation::Conv1Forward | Operation::Conv2Forward | Operation::Fc1Forward | Operation::Fc2Forward, _) => {
            Cell::SameCode
        }
        _ => Cell::Absent,
    }
}
