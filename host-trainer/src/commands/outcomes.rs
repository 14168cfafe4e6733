//! What a model of either kind makes of a whole split.

use std::ops::ControlFlow;
use std::sync::Arc;

use anyhow::bail;
use cnn_core::int8;
use cnn_core::loss::cross_entropy;
use cnn_core::network::CLASSES;
use cnn_train::backend::{Outcome, TrainingState};
use cnn_train::dataset::{Dataset, Split};
use cnn_train::int8::Evaluator;
use host_trainer::classifier::Answer;
use host_trainer::model_file::{AnyLoaded, LoadedInt8, LoadedModel};

use super::open_backend;
use crate::cli::{BackendArg, BackendArgs};

/// The outcome of every image of a split, and what computed it.
pub fn of(
    model: &AnyLoaded,
    dataset: &Arc<Dataset>,
    split: Split,
    args: &BackendArgs,
) -> anyhow::Result<(Vec<Outcome>, String)> {
    match model {
        AnyLoaded::Float(model) => of_float(model, dataset, split, args),
        AnyLoaded::Int8(model) => of_int8(model, dataset, split, args),
    }
}

/// [`of`] a model of f32.
pub fn of_float(
    model: &LoadedModel,
    dataset: &Arc<Dataset>,
    split: Split,
    args: &BackendArgs,
) -> anyhow::Result<(Vec<Outcome>, String)> {
    let (mut backend, title) = open_backend(args, dataset)?;
    backend.load(&TrainingState::new(model.parameters.clone()))?;
    let mut outcomes = vec![Outcome::default(); dataset.split(split).len()];
    backend.evaluate(split, &mut outcomes, &mut |_| ControlFlow::Continue(()))?;
    Ok((outcomes, title))
}

/// [`of`] an int8 model.
pub fn of_int8(
    model: &LoadedInt8,
    dataset: &Dataset,
    split: Split,
    args: &BackendArgs,
) -> anyhow::Result<(Vec<Outcome>, String)> {
    let samples = dataset.split(split);
    let mut logits = vec![[0; CLASSES]; samples.len()];
    let title = match args.backend {
        BackendArg::Auto | BackendArg::Cpu => {
            let evaluator = Evaluator::new(args.machine().cpu)?;
            evaluator.run(&model.parameters, samples.images(), &mut logits);
            evaluator.description()
        }
        BackendArg::Reference => {
            let mut activations = int8::Activations::new();
            for (logits, pixels) in logits.iter_mut().zip(samples.images()) {
                *logits = int8::reference::forward(pixels, &model.parameters.view(), &mut activations);
            }
            "reference, int8".into()
        }
        BackendArg::Cuda | BackendArg::CudaGraph => bail!(
            "{} is an int8 model, which the GPU does not compute: --backend cpu or reference",
            model.path().display()
        ),
    };
    let scale = model.scales().logits;
    let outcome = |(&logits, &label)| {
        let Answer { logits, prediction, .. } = Answer::of_integers(logits, scale);
        Outcome { loss: cross_entropy(&logits, label), prediction: prediction as u8 }
    };
    Ok((logits.iter().zip(samples.labels()).map(outcome).collect(), title))
}
