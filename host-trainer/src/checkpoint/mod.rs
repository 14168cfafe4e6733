//! The checkpoints of a run in its folder, one file after every epoch: written beside the training, found again, cleaned up.

mod folder;
mod writer;

pub use folder::{
    FOLDER, Rejected, ResumeError, Search, file_name, find_recorded, find_to_resume, list, remove_replaced,
};
pub use writer::{Follow, Plan, WriteError, Writer};

#[cfg(test)]
mod tests {
    use std::sync::{Arc, LazyLock};

    use cnn_train::backend::Reference;
    use cnn_train::checkpoint::Checkpoint;
    use cnn_train::dataset::{DatasetRecord, synthetic::synthetic};
    use cnn_train::fingerprint::Fingerprint;
    use cnn_train::recipe::Recipe;
    use cnn_train::trainer::{EpochReport, Observer, Run};

    struct Silent;

    impl Observer for Silent {
        fn advance(&mut self, _samples: usize) -> std::ops::ControlFlow<()> {
            std::ops::ControlFlow::Continue(())
        }

        fn epoch(&mut self, _report: &EpochReport) {}
    }

    /// A run of three epochs after its second one.
    pub(super) fn checkpoint() -> Checkpoint {
        static CHECKPOINT: LazyLock<Checkpoint> = LazyLock::new(|| {
            let settings = Recipe { epochs: 3, batch_size: 2, seed: u64::MAX, ..Recipe::TUTORIAL };
            let dataset = Arc::new(synthetic(0, 10, 5));
            let mut backend = Reference::new(Arc::clone(&dataset));
            let run = Run::new(&settings).go_on_to(2, &mut backend, &dataset, &settings, &mut Silent);
            Checkpoint {
                settings,
                dataset: DatasetRecord { name: "ten".into(), sha256: [0xab; 32], ..DatasetRecord::from(&*dataset) },
                initial_file: None,
                initial_fingerprint: Fingerprint::from([1; 32]),
                backends: vec!["reference".into(), "cpu".into()],
                epochs: run.epochs,
                state: run.state,
            }
        });
        CHECKPOINT.clone()
    }
}
