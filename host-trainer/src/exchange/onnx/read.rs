//! The parameters of ONNX files, found by what the graph computes and not by their names, which differ from exporter to
//! exporter.

use cnn_core::network::{FlatParameters, TENSORS, Tensor};
use cnn_train::backend::boxed_zeros;
use prost::Message;

use super::OnnxError;
use super::messages::*;
use super::write::dims_of;
use crate::exchange::checked;

/// Most nodes, tensors, or attributes of a node; this network has ten nodes and eight tensors.
const MOST: usize = 1000;

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
            parameters[tensor.offset + place] = checked(values[from], tensor.name, place, tensor.shape)?;
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
