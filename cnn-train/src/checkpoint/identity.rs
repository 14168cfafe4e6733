//! Whether two runs are the same run, of different lengths perhaps.

use super::Checkpoint;
use crate::dataset::DatasetRecord;
use crate::fingerprint::Fingerprint;
use crate::recipe::Recipe;

/// What makes a run the run that it is.
#[derive(Debug, Clone, Copy)]
pub struct Identity<'a> {
    /// The recipe; the number of epochs matters only if its rates depend on it.
    pub settings: &'a Recipe,
    /// The data; its name does not matter.
    pub dataset: &'a DatasetRecord,
    /// The file that the initial parameters came from, if they are not the seed's own; its name does not matter.
    pub initial_file: Option<&'a str>,
    /// The initial parameters.
    pub initial_fingerprint: Fingerprint,
}

impl<'a> From<&'a Checkpoint> for Identity<'a> {
    fn from(checkpoint: &'a Checkpoint) -> Self {
        let Checkpoint { settings, dataset, initial_file, initial_fingerprint, .. } = checkpoint;
        let initial_file = initial_file.as_deref();
        Self { settings, dataset, initial_file, initial_fingerprint: *initial_fingerprint }
    }
}

impl Identity<'_> {
    /// What is not that of another run: every difference with the value there, which is this one, and the one `here`,
    /// floats compared by bits.
    pub fn difference(&self, other: &Identity<'_>, here: &str) -> Option<String> {
        let (there, own) = (self.settings, other.settings);
        let rate = |flag, there: f32, here: f32| {
            (flag, there.to_bits() != here.to_bits(), there.to_string(), here.to_string())
        };
        let differences = [
            (
                "the batch size",
                there.batch_size != own.batch_size,
                there.batch_size.to_string(),
                own.batch_size.to_string(),
            ),
            rate("the learning rate", there.learning_rate, own.learning_rate),
            (
                "the learning-rate schedule",
                there.schedule != own.schedule,
                there.schedule.to_string(),
                own.schedule.to_string(),
            ),
            (
                "the number of epochs, on which the schedule depends,",
                there.schedule == own.schedule && there.depends_on_its_epochs() && there.epochs != own.epochs,
                there.epochs.to_string(),
                own.epochs.to_string(),
            ),
            rate("the momentum", there.momentum, own.momentum),
            rate("the weight decay", there.weight_decay, own.weight_decay),
            ("the seed", there.seed != own.seed, there.seed.to_string(), own.seed.to_string()),
            ("shuffling", there.shuffle != own.shuffle, on_off(there.shuffle), on_off(own.shuffle)),
            ("what is trained", there.layers != own.layers, there.layers.to_string(), own.layers.to_string()),
            (
                "the data set",
                self.dataset.sha256 != other.dataset.sha256,
                described(self.dataset),
                described(other.dataset),
            ),
        ];
        let mut differences: Vec<String> = differences
            .into_iter()
            .filter(|&(_, differs, ..)| differs)
            .map(|(name, _, there, own)| format!("{name} is {there} there and {own} {here}"))
            .collect();
        if self.initial_fingerprint != other.initial_fingerprint {
            let (there, own) = (self.initial_fingerprint, other.initial_fingerprint);
            if self.initial_file.is_some() || other.initial_file.is_some() {
                let given = |it: &Identity<'_>| match it.initial_file {
                    Some(name) => format!("{name} ({})", it.initial_fingerprint),
                    None => "not given".into(),
                };
                differences.push(format!(
                    "the file of initial parameters is {} there and {} {here}",
                    given(self),
                    given(other)
                ));
            } else if differences.is_empty() {
                differences.push(format!("its initial parameters are {there} there and {own} {here}"));
            }
        }
        (!differences.is_empty()).then(|| differences.join(", "))
    }
}

fn on_off(value: bool) -> String {
    if value { "on" } else { "off" }.into()
}

fn described(dataset: &DatasetRecord) -> String {
    format!("{} ({})", dataset.name, Fingerprint::from(dataset.sha256))
}
