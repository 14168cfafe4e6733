//! The network as an ONNX file.

use cnn_core::network::{FlatParameters, TENSORS, Tensor};
use cnn_train::fingerprint::Fingerprint;
use prost::Message;

use super::messages::*;
use crate::exchange::INPUT;

/// Opset of exported files: what onnxruntime 1.8, TensorRT 8 and everything newer read.
const OPSET: i64 = 13;
/// The version of the format that came with [`OPSET`].
const IR_VERSION: i64 = 7;

/// The network as an ONNX file. Equal parameters give equal files.
pub fn export(parameters: &FlatParameters) -> Vec<u8> {
    let graph = GraphProto {
        node: nodes().iter().map(Message::encode_to_vec).collect(),
        name: "cnn".into(),
        initializer: TENSORS.iter().map(|tensor| initializer(tensor, parameters).encode_to_vec()).collect(),
        input: vec![value("image", &[1, 28, 28]).encode_to_vec()],
        output: vec![value("logits", &[10]).encode_to_vec()],
    };
    let entry = |key: &str, value: String| EntryProto { key: key.into(), value }.encode_to_vec();
    let model = ModelProto {
        ir_version: IR_VERSION,
        producer_name: "host-trainer".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        graph: Some(graph.encode_to_vec()),
        opset_import: vec![OperatorSetIdProto { version: OPSET }.encode_to_vec()],
        metadata_props: vec![
            entry("input", format!("{INPUT}, 28x28 pixels, white on black")),
            entry("fingerprint", Fingerprint::of(parameters).to_string()),
        ],
    };
    model.encode_to_vec()
}

pub(super) fn initializer(tensor: &Tensor, parameters: &FlatParameters) -> TensorProto {
    TensorProto {
        dims: dims_of(tensor),
        data_type: FLOAT,
        name: tensor.name.into(),
        raw_data: parameters[tensor.range()].iter().flat_map(|value| value.to_le_bytes()).collect(),
        ..TensorProto::default()
    }
}

pub(super) fn dims_of(tensor: &Tensor) -> Vec<i64> {
    tensor.shape.iter().map(|&length| length as i64).collect()
}

/// An input or output: a batch of any length of such arrays.
pub(super) fn value(name: &str, shape: &[i64]) -> ValueInfoProto {
    let batch = DimensionProto { dim_value: None, dim_param: Some("batch".into()) };
    let rest = shape.iter().map(|&length| DimensionProto { dim_value: Some(length), dim_param: None });
    let shape = ShapeProto { dim: [batch].into_iter().chain(rest).map(|dim| dim.encode_to_vec()).collect() };
    let tensor_type = TensorTypeProto { elem_type: FLOAT, shape: Some(shape) };
    ValueInfoProto { name: name.into(), value_type: Some(TypeProto { tensor_type: Some(tensor_type) }) }
}

pub(super) fn nodes() -> Vec<NodeProto> {
    let ints = |name: &str, ints: &[i64]| AttributeProto {
        name: name.into(),
        ints: ints.into(),
        kind: INTS,
        ..AttributeProto::default()
    };
    let int = |name: &str, i| AttributeProto { name: name.into(), i, kind: INT, ..AttributeProto::default() };
    let conv = || vec![ints("kernel_shape", &[3, 3])];
    let pool = || vec![ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])];
    let linear = || vec![int("transB", 1)];
    // Operation, layer with parameters or none, output, attributes; each takes the output of the one before it.
    let steps = [
        ("Conv", Some("conv1"), "conv1", conv()),
        ("Relu", None, "relu1", vec![]),
        ("MaxPool", None, "pool1", pool()),
        ("Conv", Some("conv2"), "conv2", conv()),
        ("Relu", None, "relu2", vec![]),
        ("MaxPool", None, "pool2", pool()),
        ("Flatten", None, "flatten", vec![int("axis", 1)]),
        ("Gemm", Some("fc1"), "fc1", linear()),
        ("Relu", None, "relu3", vec![]),
        ("Gemm", Some("fc2"), "logits", linear()),
    ];
    let mut from = "image";
    let mut nodes = Vec::new();
    for (operation, layer, to, attributes) in steps {
        let mut input = vec![from.to_owned()];
        input.extend(layer.iter().flat_map(|layer| ["weight", "bias"].map(|part| format!("{layer}.{part}"))));
        nodes.push(NodeProto {
            input,
            output: vec![to.into()],
            name: to.into(),
            op_type: operation.into(),
            attribute: attributes.iter().map(Message::encode_to_vec).collect(),
        });
        from = to;
    }
    nodes
}
