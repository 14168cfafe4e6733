//! The network as an ONNX file, and the parameters of such files as PyTorch's exporters write them.
//!
//! The format is <https://github.com/onnx/onnx/blob/main/onnx/onnx.proto>; the messages here are the part of it that this
//! network needs. A graph's nodes and tensors are kept as bytes until they have been counted: two bytes of a file can
//! stand for an empty node.
//!
//! Parameters are found by what the graph computes, not by their names, which differ from exporter to exporter.

use cnn_core::network::{FlatParameters, TENSORS, Tensor};
use cnn_core::range::{PARAMETER_LIMIT, in_range};
use cnn_train::backend::boxed_zeros;
use cnn_train::fingerprint::Fingerprint;
use prost::Message;

use super::{INPUT, index_of};

/// Most nodes, tensors, or attributes of a node; this network has ten nodes and eight tensors.
const MOST: usize = 1000;
/// Opset of exported files: what onnxruntime 1.8, TensorRT 8 and everything newer read.
const OPSET: i64 = 13;
/// The version of the format that came with [`OPSET`].
const IR_VERSION: i64 = 7;

/// Value of `TensorProto.DataType`.
const FLOAT: i32 = 1;
/// Value of `TensorProto.DataLocation`.
const EXTERNAL: i32 = 1;
/// Values of `AttributeProto.AttributeType`.
const INT: i32 = 2;
const INTS: i32 = 7;

/// `ModelProto`.
#[derive(Clone, PartialEq, Message)]
struct ModelProto {
    #[prost(int64, tag = "1")]
    ir_version: i64,
    #[prost(string, tag = "2")]
    producer_name: String,
    #[prost(string, tag = "3")]
    producer_version: String,
    #[prost(bytes = "vec", optional, tag = "7")]
    graph: Option<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "8")]
    opset_import: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "14")]
    metadata_props: Vec<Vec<u8>>,
}

/// `OperatorSetIdProto`.
#[derive(Clone, PartialEq, Message)]
struct OperatorSetIdProto {
    #[prost(int64, tag = "2")]
    version: i64,
}

/// `StringStringEntryProto`.
#[derive(Clone, PartialEq, Message)]
struct EntryProto {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(string, tag = "2")]
    value: String,
}

/// `GraphProto`.
#[derive(Clone, PartialEq, Message)]
struct GraphProto {
    #[prost(bytes = "vec", repeated, tag = "1")]
    node: Vec<Vec<u8>>,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(bytes = "vec", repeated, tag = "5")]
    initializer: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "11")]
    input: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "12")]
    output: Vec<Vec<u8>>,
}

/// `NodeProto`.
#[derive(Clone, PartialEq, Message)]
struct NodeProto {
    #[prost(string, repeated, tag = "1")]
    input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    output: Vec<String>,
    #[prost(string, tag = "3")]
    name: String,
    #[prost(string, tag = "4")]
    op_type: String,
    #[prost(bytes = "vec", repeated, tag = "5")]
    attribute: Vec<Vec<u8>>,
}

/// `AttributeProto`.
#[derive(Clone, PartialEq, Message)]
struct AttributeProto {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(float, tag = "2")]
    f: f32,
    #[prost(int64, tag = "3")]
    i: i64,
    #[prost(bytes = "vec", tag = "4")]
    s: Vec<u8>,
    #[prost(bytes = "vec", optional, tag = "5")]
    t: Option<Vec<u8>>,
    #[prost(int64, repeated, tag = "8")]
    ints: Vec<i64>,
    #[prost(int32, tag = "20")]
    kind: i32,
}

/// `TensorProto`.
#[derive(Clone, PartialEq, Message)]
struct TensorProto {
    #[prost(int64, repeated, tag = "1")]
    dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    data_type: i32,
    #[prost(float, repeated, tag = "4")]
    float_data: Vec<f32>,
    #[prost(string, tag = "8")]
    name: String,
    #[prost(bytes = "vec", tag = "9")]
    raw_data: Vec<u8>,
    #[prost(int32, tag = "14")]
    data_location: i32,
}

/// `ValueInfoProto`.
#[derive(Clone, PartialEq, Message)]
struct ValueInfoProto {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    value_type: Option<TypeProto>,
}

/// `TypeProto` of a tensor.
#[derive(Clone, PartialEq, Message)]
struct TypeProto {
    #[prost(message, optional, tag = "1")]
    tensor_type: Option<TensorTypeProto>,
}

/// `TypeProto.Tensor`.
#[derive(Clone, PartialEq, Message)]
struct TensorTypeProto {
    #[prost(int32, tag = "1")]
    elem_type: i32,
    #[prost(message, optional, tag = "2")]
    shape: Option<ShapeProto>,
}

/// `TensorShapeProto`.
#[derive(Clone, PartialEq, Message)]
struct ShapeProto {
    #[prost(bytes = "vec", repeated, tag = "1")]
    dim: Vec<Vec<u8>>,
}

/// `TensorShapeProto.Dimension`.
#[derive(Clone, PartialEq, Message)]
struct DimensionProto {
    #[prost(int64, optional, tag = "1")]
    dim_value: Option<i64>,
    #[prost(string, optional, tag = "2")]
    dim_param: Option<String>,
}

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
    /// A value that is NaN, infinite or too large ([`cnn_core::range`]).
    #[error(
        "the tensor {name} holds {value} at index {index:?}; every parameter must be below {PARAMETER_LIMIT} in magnitude"
    )]
    OutOfRange {
        /// PyTorch's name.
        name: &'static str,
        /// The value.
        value: f32,
        /// Its place in every dimension of the tensor.
        index: Vec<usize>,
    },
}

const NETWORK: &str =
    "Conv, Relu, MaxPool, Conv, Relu, MaxPool, Flatten or Reshape, Gemm, Relu, Gemm, from normalised pixels to logits";

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

fn initializer(tensor: &Tensor, parameters: &FlatParameters) -> TensorProto {
    TensorProto {
        dims: dims_of(tensor),
        data_type: FLOAT,
        name: tensor.name.into(),
        raw_data: parameters[tensor.range()].iter().flat_map(|value| value.to_le_bytes()).collect(),
        ..TensorProto::default()
    }
}

fn dims_of(tensor: &Tensor) -> Vec<i64> {
    tensor.shape.iter().map(|&length| length as i64).collect()
}

/// An input or output: a batch of any length of such arrays.
fn value(name: &str, shape: &[i64]) -> ValueInfoProto {
    let batch = DimensionProto { dim_value: None, dim_param: Some("batch".into()) };
    let rest = shape.iter().map(|&length| DimensionProto { dim_value: Some(length), dim_param: None });
    let shape = ShapeProto { dim: [batch].into_iter().chain(rest).map(|dim| dim.encode_to_vec()).collect() };
    let tensor_type = TensorTypeProto { elem_type: FLOAT, shape: Some(shape) };
    ValueInfoProto { name: name.into(), value_type: Some(TypeProto { tensor_type: Some(tensor_type) }) }
}

fn nodes() -> Vec<NodeProto> {
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

/// The parameters of an ONNX file of this network.
///
/// # Errors
/// If the bytes are not a whole ONNX file, if its graph is not this network's, or if a parameter is missing, of another
/// shape or type, or out of range.
pub fn import(bytes: &[u8]) -> Result<Box<FlatParameters>, OnnxError> {
    let graph = Graph::parse(bytes)?;
    let mut walk = Walk { graph: &graph, at: graph.input()?, steps: 0 };
    let mut parameters = boxed_zeros();
    for layer in 0..2 {
        walk.convolution(layer, &mut parameters)?;
        walk.relu_and_pool()?;
    }
    walk.flatten()?;
    walk.linear(2, &mut parameters)?;
    walk.next(&["Relu"])?;
    walk.linear(3, &mut parameters)?;
    walk.end()?;
    Ok(parameters)
}

/// A node, with its attributes.
struct Node {
    name: String,
    operation: String,
    inputs: Vec<String>,
    outputs: Vec<String>,
    attributes: Vec<AttributeProto>,
}

impl Node {
    fn parse(bytes: &[u8]) -> Result<Self, OnnxError> {
        let NodeProto { input, output, name, op_type, attribute } = NodeProto::decode(bytes)?;
        few(attribute.len(), "attributes in a node")?;
        let attributes = attribute.iter().map(|bytes| AttributeProto::decode(&bytes[..])).collect::<Result<_, _>>()?;
        let shown = if name.is_empty() { output.first().cloned().unwrap_or_default() } else { name };
        Ok(Self { name: shown, operation: op_type, inputs: input, outputs: output, attributes })
    }

    fn attribute(&self, name: &str) -> Option<&AttributeProto> {
        self.attributes.iter().find(|attribute| attribute.name == name)
    }

    fn wrong(&self, attribute: &'static str, found: impl ToString, expected: impl ToString) -> OnnxError {
        OnnxError::Attribute {
            name: self.name.clone(),
            operation: self.operation.clone(),
            attribute,
            found: found.to_string(),
            expected: expected.to_string(),
        }
    }

    /// An attribute of whole numbers must be so wherever it is given.
    fn require_ints(&self, name: &'static str, expected: &[i64]) -> Result<(), OnnxError> {
        match self.attribute(name) {
            Some(found) if found.ints != expected => {
                Err(self.wrong(name, format!("{:?}", found.ints), format!("{expected:?}")))
            }
            _ => Ok(()),
        }
    }

    /// An attribute that is a whole number must be so; `default` is what it is where it is not given.
    fn require_int(&self, name: &'static str, default: i64, expected: i64) -> Result<(), OnnxError> {
        let found = self.attribute(name).map_or(default, |attribute| attribute.i);
        if found == expected { Ok(()) } else { Err(self.wrong(name, found, expected)) }
    }

    /// A factor must be 1, which it is where it is not given.
    fn require_one(&self, name: &'static str) -> Result<(), OnnxError> {
        match self.attribute(name) {
            Some(found) if found.f != 1.0 => Err(self.wrong(name, found.f, 1)),
            _ => Ok(()),
        }
    }

    /// No padding, by whatever attribute.
    fn require_no_padding(&self) -> Result<(), OnnxError> {
        self.require_ints("pads", &[0; 4])?;
        match self.attribute("auto_pad") {
            Some(found) if !matches!(&found.s[..], b"" | b"NOTSET" | b"VALID") => {
                Err(self.wrong("auto_pad", String::from_utf8_lossy(&found.s), "NOTSET"))
            }
            _ => Ok(()),
        }
    }
}

/// The graph, its parts few enough to be looked through again and again.
struct Graph {
    nodes: Vec<Node>,
    tensors: Vec<TensorProto>,
    inputs: Vec<ValueInfoProto>,
}

fn few(count: usize, what: &str) -> Result<(), OnnxError> {
    if count <= MOST { Ok(()) } else { Err(OnnxError::Contents(format!("there are {count} {what}"))) }
}

impl Graph {
    fn parse(bytes: &[u8]) -> Result<Self, OnnxError> {
        let graph = ModelProto::decode(bytes)?.graph.ok_or_else(|| OnnxError::Contents("it has no graph".into()))?;
        let graph = GraphProto::decode(&graph[..])?;
        few(graph.node.len(), "nodes")?;
        few(graph.initializer.len(), "tensors")?;
        few(graph.input.len(), "inputs")?;
        let tensors =
            graph.initializer.iter().map(|bytes| TensorProto::decode(&bytes[..])).collect::<Result<_, _>>()?;
        let inputs = graph.input.iter().map(|bytes| ValueInfoProto::decode(&bytes[..])).collect::<Result<_, _>>()?;
        let nodes = graph.node.iter().map(|bytes| Node::parse(bytes)).collect::<Result<_, _>>()?;
        Ok(Self { nodes, tensors, inputs })
    }

    /// The name of the image: the one input that is not a parameter. Old files list these among the inputs.
    fn input(&self) -> Result<&str, OnnxError> {
        let is_tensor = |name: &str| self.tensors.iter().any(|tensor| tensor.name == name);
        let images: Vec<_> = self.inputs.iter().filter(|input| !is_tensor(&input.name)).collect();
        let [image] = images[..] else {
            return Err(OnnxError::Contents(format!("it has {} inputs, but one is expected", images.len())));
        };
        let shape = image.value_type.as_ref().and_then(|it| it.tensor_type.as_ref()?.shape.as_ref());
        let Some(shape) = shape else { return Ok(&image.name) };
        few(shape.dim.len(), "dimensions")?;
        let dims = shape.dim.iter().map(|dim| Ok(DimensionProto::decode(&dim[..])?.dim_value));
        let dims = dims.collect::<Result<Vec<_>, OnnxError>>()?;
        let is_as = |(dim, expected): (&Option<i64>, _)| dim.is_none_or(|length| length == expected);
        if dims.len() != 4 || !dims[1..].iter().zip([1, 28, 28]).all(is_as) {
            let message = format!("its input has the shape {}, but [batch, 1, 28, 28] is expected", shown(&dims));
            return Err(OnnxError::Contents(message));
        }
        Ok(&image.name)
    }

    fn producer(&self, name: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.outputs.iter().any(|output| output == name))
    }

    /// A constant tensor by its name, and whether it is to be transposed.
    fn tensor(&self, name: &str) -> Result<(TensorProto, bool), OnnxError> {
        let mut transposed = false;
        let mut name = name;
        for _ in 0..=self.nodes.len() {
            if let Some(tensor) = self.tensors.iter().find(|tensor| tensor.name == name) {
                return Ok((tensor.clone(), transposed));
            }
            let Some(node) = self.producer(name) else { break };
            match (&*node.operation, node.inputs.first()) {
                ("Identity", Some(from)) => name = from,
                ("Transpose", Some(from)) => {
                    node.require_ints("perm", &[1, 0])?;
                    (name, transposed) = (from, !transposed);
                }
                ("Constant", _) => {
                    let bytes = node.attribute("value").and_then(|value| value.t.as_ref());
                    let Some(bytes) = bytes else { break };
                    return Ok((TensorProto { name: name.into(), ..TensorProto::decode(&bytes[..])? }, transposed));
                }
                _ => break,
            }
        }
        Err(OnnxError::Contents(format!("the tensor {name:?} is not in the file")))
    }
}

fn shown(dims: &[Option<i64>]) -> String {
    let dims = dims.iter().map(|dim| dim.map_or("any".into(), |length| length.to_string()));
    format!("[{}]", dims.collect::<Vec<_>>().join(", "))
}

/// A way along the graph, from node to node.
struct Walk<'a> {
    graph: &'a Graph,
    /// The value in hand.
    at: &'a str,
    steps: usize,
}

impl<'a> Walk<'a> {
    /// The node that computes with the value in hand; it must be one of these. What changes nothing is passed over.
    fn next(&mut self, expected: &[&str]) -> Result<&'a Node, OnnxError> {
        loop {
            let users = self.users();
            let [node] = users[..] else { return Err(self.lost(expected, users.len())) };
            self.steps += 1;
            let Some(output) = node.outputs.first().filter(|_| self.steps <= self.graph.nodes.len()) else {
                return Err(self.lost(expected, 0));
            };
            let is_first = node.inputs.first().is_some_and(|input| input == self.at);
            // An addition has no order.
            if expected.contains(&&*node.operation) && (is_first || node.operation == "Add") {
                self.at = output;
                return Ok(node);
            }
            if !matches!(&*node.operation, "Identity" | "Dropout") || !is_first {
                let (name, found) = (node.name.clone(), node.operation.clone());
                return Err(OnnxError::Operation { name, found, expected: expected.join(" or ") });
            }
            self.at = output;
        }
    }

    /// The nodes that use the value in hand, but for those that only ask for its shape.
    fn users(&self) -> Vec<&'a Node> {
        let uses = |node: &&Node| node.operation != "Shape" && node.inputs.iter().any(|input| input == self.at);
        self.graph.nodes.iter().filter(uses).collect()
    }

    fn lost(&self, expected: &[&str], found: usize) -> OnnxError {
        OnnxError::Path { after: self.at.into(), expected: expected.join(" or "), found }
    }

    fn convolution(&mut self, layer: usize, parameters: &mut FlatParameters) -> Result<(), OnnxError> {
        let node = self.next(&["Conv"])?;
        node.require_no_padding()?;
        node.require_ints("kernel_shape", &[3, 3])?;
        node.require_ints("strides", &[1, 1])?;
        node.require_ints("dilations", &[1, 1])?;
        node.require_int("group", 1, 1)?;
        self.read(node, 1, &TENSORS[2 * layer], false, parameters)?;
        self.read(node, 2, &TENSORS[2 * layer + 1], false, parameters)
    }

    /// In either order: the largest of four values is the same before and after ReLU.
    fn relu_and_pool(&mut self) -> Result<(), OnnxError> {
        let first = self.next(&["Relu", "MaxPool"])?;
        let other = if first.operation == "Relu" { "MaxPool" } else { "Relu" };
        let second = self.next(&[other])?;
        let pool = if other == "MaxPool" { second } else { first };
        pool.require_no_padding()?;
        if pool.attribute("strides").is_none() {
            return Err(pool.wrong("strides", "[1, 1]", "[2, 2]"));
        }
        pool.require_ints("kernel_shape", &[2, 2])?;
        pool.require_ints("strides", &[2, 2])?;
        pool.require_ints("dilations", &[1, 1])?;
        pool.require_int("ceil_mode", 0, 0)
    }

    /// A reshape keeps the order of the values, so that the next layer's shape is all that it can be asked for.
    fn flatten(&mut self) -> Result<(), OnnxError> {
        let node = self.next(&["Flatten", "Reshape"])?;
        if node.operation == "Flatten" { node.require_int("axis", 1, 1) } else { Ok(()) }
    }

    /// `Gemm` with the weight as PyTorch has it or transposed, or a product and a sum.
    fn linear(&mut self, layer: usize, parameters: &mut FlatParameters) -> Result<(), OnnxError> {
        let [weight, bias] = [TENSORS[2 * layer], TENSORS[2 * layer + 1]];
        let node = self.next(&["Gemm", "MatMul"])?;
        if node.operation == "MatMul" {
            self.read(node, 1, &weight, true, parameters)?;
            let product = self.at;
            let sum = self.next(&["Add"])?;
            let place = usize::from(sum.inputs.first().is_some_and(|input| input == product));
            return self.read(sum, place, &bias, false, parameters);
        }
        node.require_one("alpha")?;
        node.require_one("beta")?;
        node.require_int("transA", 0, 0)?;
        let transposed = match node.attribute("transB").map_or(0, |attribute| attribute.i) {
            0 => true,
            1 => false,
            other => return Err(node.wrong("transB", other, 1)),
        };
        self.read(node, 1, &weight, transposed, parameters)?;
        self.read(node, 2, &bias, false, parameters)
    }

    fn end(&self) -> Result<(), OnnxError> {
        match self.users().first() {
            None => Ok(()),
            Some(node) => Err(OnnxError::Operation {
                name: node.name.clone(),
                found: node.operation.clone(),
                expected: "nothing".into(),
            }),
        }
    }

    /// Reads the parameters that are an input of a node; `transposed` if the file has rows for columns.
    fn read(
        &self,
        node: &Node,
        input: usize,
        tensor: &Tensor,
        transposed: bool,
        parameters: &mut FlatParameters,
    ) -> Result<(), OnnxError> {
        let name = node.inputs.get(input).filter(|name| !name.is_empty());
        let Some(name) = name else {
            let expected = if input == 1 { "a weight" } else { "a bias" };
            return Err(node.wrong("inputs", node.inputs.len(), expected));
        };
        let (found, turned) = self.graph.tensor(name)?;
        let transposed = transposed != turned;
        let values = values(&found, tensor, transposed)?;
        for place in 0..tensor.len {
            // Of a transposed tensor the row is the fast one.
            let from = match tensor.shape {
                &[rows, columns] if transposed => place % columns * rows + place / columns,
                _ => place,
            };
            let value = values[from];
            if !in_range(value) {
                return Err(OnnxError::OutOfRange { name: tensor.name, value, index: index_of(place, tensor.shape) });
            }
            parameters[tensor.offset + place] = value;
        }
        Ok(())
    }
}

/// The values of a tensor in the file, as many as this network's has.
fn values(found: &TensorProto, tensor: &Tensor, transposed: bool) -> Result<Vec<f32>, OnnxError> {
    if found.data_location == EXTERNAL {
        return Err(OnnxError::External);
    }
    let mut expected = dims_of(tensor);
    if transposed {
        expected.reverse();
    }
    if found.dims != expected {
        let (name, found_name, found) = (tensor.name, found.name.clone(), found.dims.clone());
        return Err(OnnxError::Shape { name, found_name, found, expected });
    }
    let wrong = |problem| OnnxError::Values { name: tensor.name, found_name: found.name.clone(), problem };
    if found.data_type != FLOAT {
        let told = format!(
            "holds {} values, but f32 is expected; convert the network with .float() first",
            type_name(found.data_type)
        );
        return Err(wrong(told));
    }
    let values: Vec<f32> = match &found.raw_data[..] {
        [] => found.float_data.clone(),
        raw => {
            let (words, rest) = raw.as_chunks();
            if !rest.is_empty() {
                return Err(wrong(format!("has {} bytes, which are no whole values", raw.len())));
            }
            words.iter().map(|&word| f32::from_le_bytes(word)).collect()
        }
    };
    if values.len() != tensor.len {
        return Err(wrong(format!("has {} values, but {} are expected", values.len(), tensor.len)));
    }
    Ok(values)
}

/// What `TensorProto.DataType` calls a type.
fn type_name(data_type: i32) -> String {
    match data_type {
        6 => "INT32".into(),
        7 => "INT64".into(),
        10 => "FLOAT16".into(),
        11 => "DOUBLE".into(),
        16 => "BFLOAT16".into(),
        other => format!("type {other}"),
    }
}

#[cfg(test)]
mod tests {
    use cnn_core::network::{FC1_WEIGHT, FC2_BIAS};
    use cnn_train::random::initial_parameters;

    use super::*;

    /// What a test changes of the exported file.
    struct File {
        nodes: Vec<NodeProto>,
        tensors: Vec<TensorProto>,
        inputs: Vec<ValueInfoProto>,
    }

    impl File {
        fn new() -> Self {
            let parameters = initial_parameters(3);
            Self {
                nodes: nodes(),
                tensors: TENSORS.iter().map(|tensor| initializer(tensor, &parameters)).collect(),
                inputs: vec![value("image", &[1, 28, 28])],
            }
        }

        fn bytes(&self) -> Vec<u8> {
            let graph = GraphProto {
                node: self.nodes.iter().map(Message::encode_to_vec).collect(),
                initializer: self.tensors.iter().map(Message::encode_to_vec).collect(),
                input: self.inputs.iter().map(Message::encode_to_vec).collect(),
                ..GraphProto::default()
            };
            let model = ModelProto { ir_version: 8, graph: Some(graph.encode_to_vec()), ..ModelProto::default() };
            model.encode_to_vec()
        }

        fn node(&mut self, name: &str) -> &mut NodeProto {
            self.nodes.iter_mut().find(|node| node.name == name).unwrap()
        }

        fn tensor(&mut self, name: &str) -> &mut TensorProto {
            self.tensors.iter_mut().find(|tensor| tensor.name == name).unwrap()
        }

        #[track_caller]
        fn is_read(&self) {
            assert_eq!(import(&self.bytes()).unwrap(), initial_parameters(3));
        }

        #[track_caller]
        fn is_refused(&self, words: &str) {
            let message = import(&self.bytes()).expect_err(words).to_string();
            assert!(message.contains(words), "{words}: {message}");
        }
    }

    fn node(operation: &str, input: &[&str], output: &str) -> NodeProto {
        NodeProto {
            input: input.iter().map(|&name| name.into()).collect(),
            output: vec![output.into()],
            op_type: operation.into(),
            ..NodeProto::default()
        }
    }

    fn attribute(attribute: AttributeProto) -> Vec<u8> {
        attribute.encode_to_vec()
    }

    fn int(name: &str, i: i64) -> Vec<u8> {
        attribute(AttributeProto { name: name.into(), i, kind: INT, ..AttributeProto::default() })
    }

    fn ints(name: &str, ints: &[i64]) -> Vec<u8> {
        attribute(AttributeProto { name: name.into(), ints: ints.into(), kind: INTS, ..AttributeProto::default() })
    }

    /// The tensor with rows for columns.
    fn transposed(tensor: &TensorProto) -> TensorProto {
        let [rows, columns] = [tensor.dims[0] as usize, tensor.dims[1] as usize];
        let words: Vec<&[u8]> = tensor.raw_data.chunks(4).collect();
        let raw_data =
            (0..words.len()).flat_map(|place| words[place % rows * columns + place / rows]).copied().collect();
        TensorProto { dims: vec![columns as i64, rows as i64], raw_data, ..tensor.clone() }
    }

    #[test]
    fn what_is_exported_is_imported_bit_for_bit() {
        let mut parameters = initial_parameters(5);
        (parameters[0], parameters[1]) = (-0.0, f32::from_bits(1));
        let read = import(&export(&parameters)).unwrap();
        assert!(read.iter().zip(&*parameters).all(|(a, b)| a.to_bits() == b.to_bits()));
        let model = ModelProto::decode(&export(&parameters)[..]).unwrap();
        let entries: Vec<_> =
            model.metadata_props.iter().map(|bytes| EntryProto::decode(&bytes[..]).unwrap()).collect();
        assert!(entries[0].key == "input" && entries[0].value.starts_with(INPUT));
        assert!(entries[1].key == "fingerprint" && entries[1].value == Fingerprint::of(&parameters).to_string());
    }

    #[test]
    fn names_do_not_matter_and_values_may_be_floats() {
        let mut file = File::new();
        for node in &mut file.nodes {
            for name in node.input.iter_mut().chain(&mut node.output) {
                *name = format!("/{name}/Output_0");
            }
            node.name.clear();
        }
        for tensor in &mut file.tensors {
            tensor.name = format!("/{}/Output_0", tensor.name);
            tensor.float_data =
                tensor.raw_data.chunks(4).map(|word| f32::from_le_bytes(word.try_into().unwrap())).collect();
            tensor.raw_data.clear();
        }
        file.inputs[0].name = "/image/Output_0".into();
        file.is_read();
        // Files before 2019 list the parameters among the inputs.
        file.inputs.push(value("/fc2.bias/Output_0", &[]));
        file.is_read();
    }

    #[test]
    fn the_forms_that_exporters_write_are_read() {
        // A view: its shape is computed, or a constant.
        let mut file = File::new();
        *file.node("flatten") = node("Reshape", &["pool2", "shape"], "flatten");
        file.nodes.insert(6, node("Shape", &["pool2"], "shape"));
        file.is_read();
        // Pooling before ReLU.
        let mut file = File::new();
        (file.node("relu1").op_type, file.node("pool1").op_type) = ("MaxPool".into(), "Relu".into());
        file.node("relu1").attribute = std::mem::take(&mut file.node("pool1").attribute);
        file.is_read();
        // What does nothing when a network is used.
        let mut file = File::new();
        file.node("logits").input[0] = "dropped".into();
        file.nodes.insert(0, node("Dropout", &["same"], "dropped"));
        file.nodes.push(node("Identity", &["relu3"], "same"));
        file.is_read();
        // Two equal tensors are written once.
        let mut file = File::new();
        file.tensor("fc2.bias").name = "shared".into();
        file.nodes.push(node("Identity", &["shared"], "fc2.bias"));
        file.is_read();
        // A tensor as a node.
        let mut file = File::new();
        let tensor = file.tensors.pop().unwrap();
        let constant =
            AttributeProto { name: "value".into(), t: Some(tensor.encode_to_vec()), ..AttributeProto::default() };
        file.nodes.push(NodeProto { attribute: vec![attribute(constant)], ..node("Constant", &[], "fc2.bias") });
        file.is_read();
        // Weights with rows for columns: by their layout, by a node, and in a product with a sum.
        let mut file = File::new();
        file.node("fc1").attribute.clear();
        *file.tensor("fc1.weight") = transposed(&file.tensor("fc1.weight").clone());
        file.is_read();
        let mut file = File::new();
        file.node("fc1").attribute.clear();
        file.node("fc1").input[1] = "turned".into();
        file.nodes
            .push(NodeProto { attribute: vec![ints("perm", &[1, 0])], ..node("Transpose", &["fc1.weight"], "turned") });
        file.is_read();
        for sum in [["product", "fc1.bias"], ["fc1.bias", "product"]] {
            let mut file = File::new();
            *file.tensor("fc1.weight") = transposed(&file.tensor("fc1.weight").clone());
            *file.node("fc1") = node("MatMul", &["flatten", "fc1.weight"], "product");
            file.nodes.push(node("Add", &sum, "fc1"));
            file.is_read();
        }
    }

    #[test]
    fn another_network_is_refused_with_the_node_that_differs() {
        let change = |change: &dyn Fn(&mut File), words: &str| {
            let mut file = File::new();
            change(&mut file);
            file.is_refused(words);
        };
        change(
            &|file| file.node("relu1").op_type = "Tanh".into(),
            "\"relu1\" is Tanh, but Relu or MaxPool is expected",
        );
        change(&|file| file.nodes.push(node("Softmax", &["logits"], "p")), "is Softmax, but nothing is expected");
        change(&|file| file.nodes.push(node("Relu", &["pool1"], "branch")), "2 nodes follow it");
        change(&|file| file.nodes.truncate(9), "Gemm or MatMul is expected after \"relu3\", but 0 nodes");
        change(&|file| file.node("conv1").attribute.push(ints("pads", &[1; 4])), "has pads [1, 1, 1, 1]");
        change(&|file| file.node("conv2").attribute.push(ints("strides", &[2, 2])), "has strides [2, 2]");
        change(&|file| file.node("conv2").attribute.push(ints("dilations", &[2, 2])), "has dilations [2, 2]");
        change(&|file| file.node("conv2").attribute.push(int("group", 2)), "has group 2");
        change(&|file| file.node("pool1").attribute.push(int("ceil_mode", 1)), "has ceil_mode 1");
        change(&|file| file.node("pool2").attribute.truncate(1), "has strides [1, 1]");
        change(&|file| file.node("pool2").attribute[0] = ints("kernel_shape", &[3, 3]), "has kernel_shape [3, 3]");
        change(&|file| file.node("flatten").attribute = vec![int("axis", 2)], "has axis 2");
        change(&|file| file.node("fc1").attribute.push(int("transA", 1)), "has transA 1");
        let alpha = AttributeProto { name: "alpha".into(), f: 0.5, ..AttributeProto::default() };
        change(&|file| file.node("fc1").attribute.push(attribute(alpha.clone())), "has alpha 0.5");
        let same = AttributeProto { name: "auto_pad".into(), s: b"SAME_UPPER".into(), ..AttributeProto::default() };
        change(&|file| file.node("conv1").attribute.push(attribute(same.clone())), "has auto_pad SAME_UPPER");
        change(&|file| file.node("logits").input.truncate(2), "but this network's has a bias");
        change(&|file| file.inputs.clear(), "it has 0 inputs");
        change(&|file| file.inputs = vec![value("image", &[3, 28, 28])], "the shape [any, 3, 28, 28]");
        change(&|file| file.inputs = vec![value("image", &[784])], "the shape [any, 784]");
        let circle = |file: &mut File| {
            file.node("relu1").input[0] = "round".into();
            file.nodes.push(node("Identity", &["conv1"], "round2"));
            file.nodes.push(node("Identity", &["round2"], "conv1"));
        };
        change(&circle, "nodes follow it");
    }

    #[test]
    fn tensors_of_another_kind_are_refused() {
        let change = |name: &str, change: &dyn Fn(&mut TensorProto), words: &str| {
            let mut file = File::new();
            change(file.tensor(name));
            file.is_refused(words);
        };
        change("fc1.weight", &|tensor| tensor.data_location = EXTERNAL, "external_data=False");
        change("fc1.weight", &|tensor| tensor.dims = vec![800, 120], "has the shape [800, 120], but [120, 800]");
        change("fc1.weight", &|tensor| tensor.name = "other".into(), "the tensor \"fc1.weight\" is not in the file");
        change("conv1.bias", &|tensor| tensor.data_type = 10, "holds FLOAT16 values");
        change("conv1.bias", &|tensor| tensor.raw_data.truncate(60), "has 15 values, but 16");
        change("conv1.bias", &|tensor| tensor.raw_data.truncate(63), "63 bytes, which are no whole values");
        let mut parameters = initial_parameters(3);
        parameters[FC1_WEIGHT.offset + 2 * 800 + 17] = f32::NAN;
        assert!(
            import(&export(&parameters)).unwrap_err().to_string().contains("fc1.weight holds NaN at index [2, 17]")
        );
        let mut parameters = initial_parameters(3);
        parameters[FC2_BIAS.offset] = 16_777_216.0;
        assert!(import(&export(&parameters)).unwrap_err().to_string().contains("fc2.bias holds 16777216"));
    }

    #[test]
    fn a_truncated_file_or_another_one_is_refused() {
        let bytes = export(&initial_parameters(1));
        for length in (0..2000).chain((2000..bytes.len()).step_by(997)) {
            assert!(import(&bytes[..length]).is_err(), "{length} bytes");
        }
        for other in [&b"<!DOCTYPE html><html></html>"[..], b"PK\x03\x04", &[0xff; 100], &[0x0a; 100]] {
            assert!(import(other).is_err());
        }
        let many = GraphProto { node: vec![Vec::new(); 1001], ..GraphProto::default() };
        let model = ModelProto { graph: Some(many.encode_to_vec()), ..ModelProto::default() };
        assert!(import(&model.encode_to_vec()).unwrap_err().to_string().contains("1001 nodes"));
    }
}
