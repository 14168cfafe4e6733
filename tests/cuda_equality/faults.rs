//! What is wrong with a GPU is said in one clear line.

use std::ops::ControlFlow;

use cuda_sim::Setting;
use host_trainer::backend::cuda::{Cuda, CudaError, Schedule, probe};
use host_trainer::backend::{Backend, BackendError, Epoch, Outcome};
use host_trainer::dataset::Split;
use host_trainer::random::in_sequence;
use tests::cases::{Case, Sizes, noise};

use crate::gpu::simulated_gpu;

const SIZES: Sizes = Sizes { train: 20, test: 5 };

fn case() -> Case {
    noise(SIZES)
}

/// The error of opening the backend, which is one line.
#[track_caller]
fn refusal() -> CudaError {
    let error = Cuda::new(case().dataset).err().expect("the backend refuses");
    assert!(!error.to_string().contains('\n'), "{error}");
    error
}

#[test]
fn a_driver_that_is_too_old_is_told_which_is_needed() {
    let Some(gpu) = simulated_gpu() else { return };
    gpu.set(Setting::DriverVersion, 11_040);
    let error = refusal();
    assert_eq!(error, CudaError::DriverTooOld { major: 11, minor: 4, needed: "525" });
    assert!(error.to_string().contains("11.4") && error.to_string().contains("525"), "{error}");
    assert_eq!(probe(), Err(error));
}

#[test]
fn a_machine_without_a_device_says_so() {
    let Some(gpu) = simulated_gpu() else { return };
    gpu.set(Setting::Devices, 0);
    let error = refusal();
    assert!(matches!(&error, CudaError::NoDevice { message } if message.contains("CUDA_ERROR_NO_DEVICE")), "{error}");
}

#[test]
fn a_device_that_is_too_old_is_told_which_is_needed() {
    let Some(gpu) = simulated_gpu() else { return };
    gpu.set(Setting::ComputeCapability, 61);
    let error = refusal();
    assert!(matches!(error, CudaError::DeviceTooOld { found: (6, 1), needed: (7, 0), .. }), "{error}");
}

#[test]
fn a_busy_device_is_named_by_the_drivers_own_code() {
    let Some(gpu) = simulated_gpu() else { return };
    // CUDA_ERROR_DEVICE_UNAVAILABLE, which cust does not know.
    gpu.set(Setting::ContextError, 46);
    let error = refusal();
    assert!(error.to_string().contains("CUDA_ERROR_DEVICE_UNAVAILABLE (46)"), "{error}");
}

#[test]
fn too_little_memory_is_told_how_much_is_needed() {
    let Some(gpu) = simulated_gpu() else { return };
    gpu.set(Setting::MemoryMegabytes, 1);
    let error = refusal();
    assert!(matches!(&error, CudaError::OutOfMemory { free, total, .. } if free <= total), "{error}");
    assert!(error.to_string().contains("MB"), "{error}");
}

#[test]
fn a_module_that_does_not_load_prints_the_drivers_log() {
    let Some(gpu) = simulated_gpu() else { return };
    gpu.set(Setting::InvalidPtx, 1);
    let error = refusal();
    assert!(matches!(&error, CudaError::Load { log, .. } if log.starts_with("ptxas application ptx input")), "{error}");
}

#[test]
fn a_device_lost_in_training_or_evaluation_is_an_error_and_stays_one() {
    let Some(gpu) = simulated_gpu() else { return };
    let case = case();
    for schedule in [Schedule::Cooperative, Schedule::Graph] {
        gpu.set(Setting::LaunchesUntilLost, u32::MAX);
        let mut cuda = Cuda::with_schedule(case.dataset.clone(), schedule).unwrap();
        cuda.load(&case.state).unwrap();
        gpu.set(Setting::LaunchesUntilLost, 1);
        let order = in_sequence(SIZES.train).repeat(20);
        let epoch = Epoch { order: &order, batch_length: 1, sgd: case.sgd };
        let mut go_on = |_| ControlFlow::Continue(());
        assert_lost(cuda.train_epoch(epoch, &mut go_on));
        assert_lost(cuda.evaluate(Split::Test, &mut [Outcome::default(); SIZES.test], &mut go_on));
        assert_lost(cuda.state().map(drop));
    }
}

#[track_caller]
fn assert_lost(result: Result<(), BackendError>) {
    match result {
        Err(BackendError::Device { message }) => {
            assert!(message.contains("CUDA_ERROR_LAUNCH_FAILED (719)") && !message.contains('\n'), "{message}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_device_without_cooperative_launches_trains_by_graphs() {
    let Some(gpu) = simulated_gpu() else { return };
    gpu.set(Setting::CooperativeLaunch, 0);
    let cuda = Cuda::new(case().dataset).unwrap();
    assert!(cuda.description().contains("graphs"), "{}", cuda.description());
}

#[test]
fn the_probe_tells_what_the_driver_says() {
    let Some(gpu) = simulated_gpu() else { return };
    gpu.set(Setting::Multiprocessors, 132);
    gpu.set(Setting::ComputeCapability, 90);
    gpu.set(Setting::DriverVersion, 12_040);
    let probe = probe().unwrap();
    assert_eq!(probe.cuda_version, (12, 4));
    let [device] = &probe.devices[..] else { panic!("{probe:?}") };
    assert_eq!((device.name.as_str(), device.compute_capability), ("simulated GPU", (9, 0)));
    assert_eq!(device.multiprocessors, 132);
}
