//! What can be wrong with an ONNX file.

use crate::exchange::OutOfRange;

/// Why an ONNX file does not hold this network's parameters.
#[derive(Debug, thiserror::Error)]
pub enum OnnxError {
    /// Not protobuf, or a truncated file.
    #[error("not a whole ONNX file: {0}")]
    Format(#[from] prost::DecodeError),
    /// No graph, or far more in it than this network has.
    #[error("not an ONNX file of this network: {0}")]
    Contents(String),
    /// The parameters are in a file of their own.
    #[error(
        "the parameters are in another file ('external data'); export them into this one: \
         torch.onnx.export(…, external_data=False)"
    )]
    External,
    /// Another operation than this network has at that place.
    #[error("the graph's node {name:?} is {found}, but {expected} is expected there: the network is {NETWORK}")]
    Operation {
        /// The node's name, or that of its output.
        name: String,
        /// Its operation.
        found: String,
        /// What this network has there.
        expected: String,
    },
    /// The graph ends too early, or two nodes use the same value.
    #[error("{expected} is expected after {after:?}, but {found} nodes follow it: the network is {NETWORK}")]
    Path {
        /// The value after which the path is lost.
        after: String,
        /// What this network has there.
        expected: String,
        /// How many nodes use the value.
        found: usize,
    },
    /// An operation with another setting than this network's.
    #[error("the graph's node {name:?} ({operation}) has {attribute} {found}, but this network's has {expected}")]
    Attribute {
        /// The node's name, or that of its output.
        name: String,
        /// Its operation.
        operation: String,
        /// The setting.
        attribute: &'static str,
        /// Its value.
        found: String,
        /// This network's.
        expected: String,
    },
    /// A tensor of another shape.
    #[error("the tensor {found_name:?}, this network's {name}, has the shape {found:?}, but {expected:?} is expected")]
    Shape {
        /// PyTorch's name.
        name: &'static str,
        /// Its name in the file.
        found_name: String,
        /// The shape in the file.
        found: Vec<i64>,
        /// The network's shape.
        expected: Vec<i64>,
    },
    /// A tensor of another type of number, or whose values are not as many as its shape says.
    #[error("the tensor {found_name:?}, this network's {name}, {problem}")]
    Values {
        /// PyTorch's name.
        name: &'static str,
        /// Its name in the file.
        found_name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A value that no parameter has.
    #[error(transparent)]
    OutOfRange(#[from] OutOfRange),
}

/// What this network computes, in ONNX' words.
const NETWORK: &str =
    "Conv, Relu, MaxPool, Conv, Relu, MaxPool, Flatten or Reshape, Gemm, Relu, Gemm, from normalised pixels to logits";
