//! With rates at which training diverges, both schedules end at the reference's step, with its words.

use cnn_train::backend::Reference;
use equality::divergence::{datasets, ending, settings};
use host_trainer::backend::cuda::{Cuda, Schedule};

use crate::gpu::gpu;

/// Settings that are tried: all thousand with DIVERGENCE_SETTINGS=1000, which takes a simulated GPU half an hour.
fn count() -> u32 {
    std::env::var("DIVERGENCE_SETTINGS").map_or(24, |count| count.parse().expect("DIVERGENCE_SETTINGS is a number"))
}

#[cfg_attr(no_gpu, ignore = "no GPU and no C++ compiler to build a simulated one")]
#[test]
fn runs_end_as_the_references_whether_they_diverge_or_not() {
    let Some(_gpu) = gpu() else { return };
    let datasets = datasets();
    let mut diverged = 0;
    for (i, dataset) in datasets.iter().enumerate() {
        let mut reference = Reference::new(dataset.clone());
        let schedules = [Schedule::Cooperative, Schedule::Graph];
        let mut backends = schedules.map(|schedule| Cuda::with_schedule(dataset.clone(), schedule).unwrap());
        for number in (i as u32..count()).step_by(datasets.len()) {
            let settings = settings(number);
            let expected = ending(&mut reference, dataset, &settings);
            diverged += u32::from(expected.has_diverged());
            for (cuda, schedule) in backends.iter_mut().zip(schedules) {
                assert_eq!(ending(cuda, dataset, &settings), expected, "number {number}, {schedule:?}, {settings:?}");
            }
        }
    }
    println!("{diverged} of {} runs diverged", count());
    assert!(diverged > count() / 3 && diverged < count() * 4 / 5, "{diverged} of {} runs diverged", count());
}
