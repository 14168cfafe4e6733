//! With rates at which training diverges, the PTX ends at the reference's step, with its words, and without a fault.

use cnn_train::backend::Reference;
use equality::divergence::{datasets, ending, settings};
use host_trainer::backend::cuda::{Cuda, Schedule};

use crate::gpu::gpu;

#[cfg_attr(no_simulated_gpu, ignore = "no C++ compiler to build the simulated GPU")]
#[test]
fn runs_that_diverge_end_as_the_references() {
    let Some(_gpu) = gpu() else { return };
    let dataset = &datasets()[0];
    let runs = (0..).map(settings).filter_map(|settings| {
        let expected = ending(&mut Reference::new(dataset.clone()), dataset, &settings);
        (expected.has_diverged() && settings.batch_size > 5).then_some((settings, expected))
    });
    for (settings, expected) in runs.take(2) {
        for schedule in [Schedule::Cooperative, Schedule::Graph] {
            let mut cuda = Cuda::with_schedule(dataset.clone(), schedule).unwrap();
            assert_eq!(ending(&mut cuda, dataset, &settings), expected, "{schedule:?}, {settings:?}");
        }
    }
}
