//! The network as a table.

use cnn_core::network::{
    CLASSES, CONV1_CHANNELS, CONV2_CHANNELS, FORWARD_RAM, HIDDEN, KERNEL_LEN, PARAMETER_COUNT, POOL1_SIDE, POOL2_LEN,
    POOL2_SIDE, TENSORS,
};
use serde::Serialize;

/// The network's layers and what they cost.
#[derive(Serialize)]
pub struct NetworkTable {
    layers: [LayerRow; 8],
    parameters: usize,
    multiply_adds: usize,
    parameter_bytes: usize,
    forward_ram_bytes: usize,
}

/// A layer's line: what it does, the shape it gives, its parameters and the multiply-adds of one image.
#[derive(Serialize)]
struct LayerRow {
    layer: &'static str,
    output: &'static [usize],
    parameters: usize,
    multiply_adds: usize,
}

impl LayerRow {
    const fn new(layer: &'static str, output: &'static [usize], parameters: usize, multiply_adds: usize) -> Self {
        Self { layer, output, parameters, multiply_adds }
    }
}

/// Layers, output shapes, parameters and multiply-adds an image.
pub fn network_facts() -> NetworkTable {
    let parameters = |layer: usize| TENSORS[2 * layer].len + TENSORS[2 * layer + 1].len;
    // Convolutions are computed where pooling keeps them: at four positions for each pooled one.
    let conv1 = CONV1_CHANNELS * 4 * POOL1_SIDE * POOL1_SIDE * KERNEL_LEN;
    let conv2 = CONV2_CHANNELS * 4 * POOL2_SIDE * POOL2_SIDE * KERNEL_LEN * CONV1_CHANNELS;
    let layers = [
        LayerRow::new("image", &[1, 28, 28], 0, 0),
        LayerRow::new("conv1 3×3", &[16, 26, 26], parameters(0), conv1),
        LayerRow::new("ReLU, max-pool 2", &[16, 13, 13], 0, 0),
        LayerRow::new("conv2 3×3", &[32, 11, 11], parameters(1), conv2),
        LayerRow::new("ReLU, max-pool 2", &[32, 5, 5], 0, 0),
        LayerRow::new("fc1", &[HIDDEN], parameters(2), HIDDEN * POOL2_LEN),
        LayerRow::new("ReLU", &[HIDDEN], 0, 0),
        LayerRow::new("fc2", &[CLASSES], parameters(3), CLASSES * HIDDEN),
    ];
    NetworkTable {
        parameters: PARAMETER_COUNT,
        multiply_adds: layers.iter().map(|layer| layer.multiply_adds).sum(),
        parameter_bytes: 4 * PARAMETER_COUNT,
        forward_ram_bytes: FORWARD_RAM,
        layers,
    }
}

/// [`network_facts`] as a table for a terminal of so many columns; the narrow form fits into 40.
pub fn network(columns: Option<usize>) -> String {
    // That of the line below the table.
    const WIDTH: usize = 67;
    let narrow = columns.is_some_and(|columns| columns < WIDTH);
    let [layer, output, parameters, multiply_adds] = if narrow { [17, 8, 7, 8] } else { [18, 10, 12, 15] };
    let row = |cells: [&str; 4]| {
        let [name, shape, trained, cost] = cells;
        let line = format!("{name:<layer$}{shape:>output$}{trained:>parameters$}{cost:>multiply_adds$}");
        format!("{}\n", line.trim_end())
    };
    let rule = format!("{}\n", "─".repeat(layer + output + parameters + multiply_adds));
    let network = network_facts();
    let headings = if narrow { ["params", "mul-add"] } else { ["parameters", "multiply-adds"] };
    let mut table = row(["layer", "output", headings[0], headings[1]]) + &rule;
    for layer in &network.layers {
        let shape: Vec<_> = layer.output.iter().map(ToString::to_string).collect();
        let [parameters, multiply_adds] = [layer.parameters, layer.multiply_adds].map(thousands_or_blank);
        table += &row([layer.layer, &shape.join("×"), &parameters, &multiply_adds]);
    }
    table += &rule;
    table += &row(["total", "", &thousands(network.parameters), &thousands(network.multiply_adds)]);
    table += &format!(
        "{} bytes of parameters,{}{} bytes of RAM for a forward pass\n",
        thousands(network.parameter_bytes),
        if narrow { '\n' } else { ' ' },
        thousands(network.forward_ram_bytes)
    );
    table
}

fn thousands_or_blank(number: usize) -> String {
    if number == 0 { String::new() } else { thousands(number) }
}

/// A number with commas between its thousands.
pub fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_commas_between_their_thousands() {
        assert_eq!([0, 999, 1_000, 102_130, 1_234_567].map(thousands), ["0", "999", "1,000", "102,130", "1,234,567"]);
    }

    #[test]
    fn the_table_adds_up_to_the_known_totals() {
        for columns in [None, Some(40)] {
            let table = network(columns);
            assert!(table.contains("102,130") && table.contains("655,344"), "{table}");
        }
    }

    #[test]
    fn the_table_fits_into_a_narrow_terminal() {
        for (columns, most) in [(Some(40), 40), (Some(66), 40), (Some(67), 67), (None, 67)] {
            let table = network(columns);
            assert!(table.lines().all(|line| line.chars().count() <= most), "{table}");
        }
    }
}
