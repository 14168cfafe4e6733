//! The network as an ONNX file, and the parameters of such files as PyTorch's exporters write them.

mod error;
mod messages;
mod read;
mod write;

pub use error::OnnxError;
pub use read::import;
pub use write::export;

#[cfg(test)]
mod tests {
    use cnn_core::network::{FC1_WEIGHT, FC2_BIAS, TENSORS};
    use cnn_train::fingerprint::Fingerprint;
    use cnn_train::random::initial_parameters;
    use prost::Message;

    use super::messages::*;
    use super::write::{initializer, nodes, value};
    use super::*;
    use crate::exchange::INPUT;

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
