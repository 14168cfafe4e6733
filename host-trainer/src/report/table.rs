//! The table of the metrics over the epochs, `metrics.csv`.

use std::fmt::Write;

use cnn_train::metrics::EpochMetrics;

/// The contents of `metrics.csv`: a header, then a line for each epoch.
///
/// Numbers are the shortest decimals that read back as the same f64.
pub fn to_csv(epochs: &[EpochMetrics]) -> String {
    let mut csv = String::from("epoch,train_loss,train_accuracy,test_loss,test_accuracy\n");
    for EpochMetrics { epoch, train, test } in epochs {
        writeln!(csv, "{epoch},{},{},{},{}", train.loss, train.accuracy(), test.loss, test.accuracy())
            .expect("a String takes everything");
    }
    csv
}

#[cfg(test)]
mod tests {
    use cnn_train::metrics::Metrics;

    use super::*;

    #[test]
    fn the_table_loses_no_bit() {
        let train = Metrics { loss: 0.1 + 0.2, correct: 1, count: 3 };
        let test = Metrics { loss: f64::MIN_POSITIVE, correct: 10_000, count: 10_000 };
        let csv =
            to_csv(&[EpochMetrics { epoch: 1, train, test }, EpochMetrics { epoch: 2, train: test, test: train }]);
        let lines: Vec<_> = csv.lines().collect();
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[0], "epoch,train_loss,train_accuracy,test_loss,test_accuracy");
        let numbers: Vec<f64> = lines[1].split(',').map(|number| number.parse().unwrap()).collect();
        let expected = [1.0, train.loss, train.accuracy(), test.loss, test.accuracy()];
        assert_eq!(numbers.len(), expected.len());
        for (number, expected) in numbers.iter().zip(expected) {
            assert_eq!(number.to_bits(), expected.to_bits());
        }
        assert!(lines[2].starts_with("2,"));
    }
}
