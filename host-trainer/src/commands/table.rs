//! The network as a table.

use cnn_core::network::{
    CLASSES, CONV1_CHANNELS, CONV2_CHANNELS, FORWARD_RAM, HIDDEN, KERNEL_LEN, PARAMETER_COUNT, POOL1_SIDE, POOL2_LEN,
    POOL2_SIDE, TENSORS,
};

/// A layer's line: what it does, the shape it gives, its parameters and the multiply-adds of one image.
struct Row {
    layer: &'static str,
    output: &'static str,
    parameters: usize,
    multiply_adds: usize,
}

/// Layers, output shapes, parameters and multiply-adds an image.
pub fn network() -> String {
    let parameters = |layer: usize| TENSORS[2 * layer].len + TENSORS[2 * layer + 1].len;
    // Convolutions are computed where pooling keeps them: at four positions for each pooled one.
    let conv1 = CONV1_CHANNELS * 4 * POOL1_SIDE * POOL1_SIDE * KERNEL_LEN;
    let conv2 = CONV2_CHANNELS * 4 * POOL2_SIDE * POOL2_SIDE * KERNEL_LEN * CONV1_CHANNELS;
    let rows = [
        Row { layer: "image", output: "1×28×28", parameters: 0, multiply_adds: 0 },
        Row { layer: "conv1 3×3", output: "16×26×26", parameters: parameters(0), multiply_adds: conv1 },
        Row { layer: "ReLU, max-pool 2", output: "16×13×13", parameters: 0, multiply_adds: 0 },
        Row { layer: "conv2 3×3", output: "32×11×11", parameters: parameters(1), multiply_adds: conv2 },
        Row { layer: "ReLU, max-pool 2", output: "32×5×5", parameters: 0, multiply_adds: 0 },
        Row { layer: "fc1", output: "120", parameters: parameters(2), multiply_adds: HIDDEN * POOL2_LEN },
        Row { layer: "ReLU", output: "120", parameters: 0, multiply_adds: 0 },
        Row { layer: "fc2", output: "10", parameters: parameters(3), multiply_adds: CLASSES * HIDDEN },
    ];
    let mut table = format!("{:<18} {:>9} {:>11} {:>14}\n", "layer", "output", "parameters", "multiply-adds");
    let line = format!("{}\n", "─".repeat(55));
    table += &line;
    for row in &rows {
        let [parameters, multiply_adds] = [row.parameters, row.multiply_adds].map(thousands_or_blank);
        table += format!("{:<18} {:>9} {parameters:>11} {multiply_adds:>14}", row.layer, row.output).trim_end();
        table += "\n";
    }
    table += &line;
    let multiply_adds = rows.iter().map(|row| row.multiply_adds).sum();
    table += &format!("{:<28} {:>11} {:>14}\n", "total", thousands(PARAMETER_COUNT), thousands(multiply_adds));
    table += &format!(
        "{} bytes of parameters, {} bytes of RAM for a forward pass\n",
        thousands(4 * PARAMETER_COUNT),
        thousands(FORWARD_RAM)
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
        let table = network();
        assert!(table.contains("102,130") && table.contains("655,344"), "{table}");
    }
}
