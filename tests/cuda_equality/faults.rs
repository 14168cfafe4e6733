//! What is wrong with a GPU is said in one clear line.

use std::ops::ControlFlow;

use cnn_train::backend::{Backend, BackendError, Epoch, Outcome};
use cnn_train::dataset::Split;
use cnn_train::random::in_sequence;
use cuda_sim::Setting;
use equality::cases::{Case, Sizes, noise};
use host_trainer::backend::cuda::{Cuda, CudaError, Schedule, probe};

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

#[cfg_attr(no_gpu_with_faults, ignore = "a simulated GPU is needed: a C++ compiler and no real GPU")]
#[test]
fn a_driver_that_is_too_old_is_told_which_is_needed() {
    let Some(gpu) = simulated_gpu() else { return };
    gpu.set(Setting::DriverVersion, 11_040);
    let error = refusal();
    assert_eq!(error, CudaError::DriverTooOld { major: 11, minor: 4, needed: "525" });
    assert!(error.to_string().contains("11.4") && error.to_string().contains("525"), "{error}");
    assert_eq!(probe(), Err(error));
}

#[cfg_attr(no_gpu_with_faults, ignore = "a simulated GPU is needed: a C++ compiler and no real GPU")]
#[test]
fn a_machine_without_a_device_says_so() {
    let Some(gpu) = simulated_gpu() else { return };
    gpu.set(Setting::Devices, 0);
    let error = refusal();
    assert!(
        matches!(&error, CudaError::NoDevice { message, .. } if message.contains("CUDA_ERROR_NO_DEVICE")),
        "{error}"
    );
}

#[cfg_attr(no_gpu_with_faults, ignore = "a simulated GPU is needed: a C++ compiler and no real GPU")]
#[test]
fn a_device_that_is_too_old_is_told_which_is_needed() {
    let Some(gpu) = simulated_gpu() else { return };
    gpu.set(Setting::ComputeCapability, 61);
    let error = refusal();
    assert!(matches!(error.cause(), CudaError::DeviceTooOld { found: (6, 1), needed: (7, 0) }), "{error}");
}

/// What is wrong with one device, and how a test makes it so.
const FAULTS: [(Setting, u32, &str); 5] = [
    (Setting::DeviceError, 46, "CUDA_ERROR_DEVICE_UNAVAILABLE (46)"),
    (Setting::DescribeError, 999, "(999)"),
    (Setting::ComputeCapability, 61, "6.1 is too old: 7.0"),
    (Setting::ComputeMode, 2, "Prohibited"),
    (Setting::ContextError, 101, "CUDA_ERROR_INVALID_DEVICE (101)"),
];

#[cfg_attr(no_gpu_with_faults, ignore = "a simulated GPU is needed: a C++ compiler and no real GPU")]
#[test]
fn a_device_that_does_not_serve_leaves_the_others_to_be_used() {
    let Some(gpu) = simulated_gpu() else { return };
    for (setting, value, words) in FAULTS {
        for faulty in 0..3 {
            gpu.reset();
            gpu.set(Setting::Devices, 3);
            gpu.set_for(faulty, setting, value);
            let first = if faulty == 0 { "cuda:1 (" } else { "cuda:0 (" };
            let cuda = Cuda::new(case().dataset).unwrap();
            assert!(cuda.description().starts_with(first), "{}", cuda.description());
            for ordinal in 0..3 {
                match Cuda::on_device(case().dataset, Schedule::Cooperative, Some(ordinal)) {
                    Ok(cuda) => {
                        assert!(cuda.description().starts_with(&format!("cuda:{ordinal} (")) && ordinal != faulty)
                    }
                    Err(error) => {
                        assert_eq!(ordinal, faulty, "{error}");
                        assert_names(&error.to_string(), &[&format!("GPU {faulty}"), words, "CUDA_VISIBLE_DEVICES"]);
                    }
                }
            }
        }
    }
}

#[cfg_attr(no_gpu_with_faults, ignore = "a simulated GPU is needed: a C++ compiler and no real GPU")]
#[test]
fn if_no_device_serves_every_one_is_named_with_its_reason() {
    let Some(gpu) = simulated_gpu() else { return };
    gpu.set(Setting::Devices, FAULTS.len() as u32);
    for (device, (setting, value, _)) in (0..).zip(FAULTS) {
        gpu.set_for(device, setting, value);
    }
    let error = refusal();
    assert!(matches!(&error, CudaError::NoneUsable { reasons, .. } if reasons.len() == FAULTS.len()), "{error}");
    for (device, (_, _, words)) in FAULTS.iter().enumerate() {
        assert_names(&error.to_string(), &[&format!("GPU {device}"), words, "CUDA_VISIBLE_DEVICES"]);
    }
}

#[cfg_attr(no_gpu_with_faults, ignore = "a simulated GPU is needed: a C++ compiler and no real GPU")]
#[test]
fn a_number_that_the_driver_does_not_count_is_told_how_many_there_are() {
    let Some(gpu) = simulated_gpu() else { return };
    gpu.set(Setting::Devices, 2);
    let error = Cuda::on_device(case().dataset, Schedule::Graph, Some(2)).err().expect("there are 0 and 1");
    assert!(matches!(error, CudaError::NoSuchDevice { ordinal: 2, count: 2, .. }), "{error}");
    assert_names(&error.to_string(), &["GPU 2", "counts 2", "CUDA_VISIBLE_DEVICES", "doctor"]);
}

#[cfg_attr(no_gpu_with_faults, ignore = "a simulated GPU is needed: a C++ compiler and no real GPU")]
#[test]
fn devices_that_differ_are_each_used_as_they_are() {
    let Some(gpu) = simulated_gpu() else { return };
    gpu.set(Setting::Devices, 2);
    gpu.set_for(1, Setting::CooperativeLaunch, 0);
    gpu.set_for(1, Setting::Multiprocessors, 2);
    let description =
        |ordinal| Cuda::on_device(case().dataset, Schedule::Cooperative, Some(ordinal)).unwrap().description();
    assert!(description(0).contains("4 multiprocessors, cooperative launches"), "{}", description(0));
    assert!(description(1).contains("2 multiprocessors, graphs"), "{}", description(1));
}

#[track_caller]
fn assert_names(message: &str, all: &[&str]) {
    for words in all {
        assert!(message.contains(words), "'{words}' is not in: {message}");
    }
}

#[cfg_attr(no_gpu_with_faults, ignore = "a simulated GPU is needed: a C++ compiler and no real GPU")]
#[test]
fn a_busy_device_is_named_by_the_drivers_own_code() {
    let Some(gpu) = simulated_gpu() else { return };
    // CUDA_ERROR_DEVICE_UNAVAILABLE, which cust does not know.
    gpu.set(Setting::ContextError, 46);
    let error = refusal();
    assert!(error.to_string().contains("CUDA_ERROR_DEVICE_UNAVAILABLE (46)"), "{error}");
}

#[cfg_attr(no_gpu_with_faults, ignore = "a simulated GPU is needed: a C++ compiler and no real GPU")]
#[test]
fn too_little_memory_is_told_how_much_is_needed() {
    let Some(gpu) = simulated_gpu() else { return };
    gpu.set(Setting::MemoryMegabytes, 1);
    let error = refusal();
    assert!(matches!(error.cause(), CudaError::OutOfMemory { free, total, .. } if free <= total), "{error}");
    assert!(error.to_string().contains("MB"), "{error}");
}

#[cfg_attr(no_gpu_with_faults, ignore = "a simulated GPU is needed: a C++ compiler and no real GPU")]
#[test]
fn a_module_that_does_not_load_prints_the_drivers_log() {
    let Some(gpu) = simulated_gpu() else { return };
    gpu.set(Setting::InvalidPtx, 1);
    let error = refusal();
    assert!(
        matches!(error.cause(), CudaError::Load { log, .. } if log.starts_with("ptxas application ptx input")),
        "{error}"
    );
}

#[cfg_attr(no_gpu_with_faults, ignore = "a simulated GPU is needed: a C++ compiler and no real GPU")]
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
        let epoch = Epoch { order: &order, batch_length: 1, sgd: case.sgd, layers: case.layers };
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
            assert_names(
                &message,
                &["CUDA_ERROR_LAUNCH_FAILED (719)", "GPU 0 (simulated GPU)", "CUDA_VISIBLE_DEVICES"],
            );
            assert!(!message.contains('\n'), "{message}");
        }
        other => panic!("{other:?}"),
    }
}

#[cfg_attr(no_gpu_with_faults, ignore = "a simulated GPU is needed: a C++ compiler and no real GPU")]
#[test]
fn a_device_without_cooperative_launches_trains_by_graphs() {
    let Some(gpu) = simulated_gpu() else { return };
    gpu.set(Setting::CooperativeLaunch, 0);
    let cuda = Cuda::new(case().dataset).unwrap();
    assert!(cuda.description().contains("graphs"), "{}", cuda.description());
}

#[cfg_attr(no_gpu_with_faults, ignore = "a simulated GPU is needed: a C++ compiler and no real GPU")]
#[test]
fn the_probe_tells_what_the_driver_says_of_every_device() {
    let Some(gpu) = simulated_gpu() else { return };
    gpu.set(Setting::Devices, 3);
    gpu.set(Setting::Multiprocessors, 132);
    gpu.set(Setting::ComputeCapability, 90);
    gpu.set(Setting::DriverVersion, 12_040);
    gpu.set_for(1, Setting::ComputeCapability, 37);
    gpu.set_for(2, Setting::DescribeError, 101);
    let probe = probe().unwrap();
    assert_eq!(probe.cuda_version, (12, 4));
    let [sound, old, lost] = &probe.devices[..] else { panic!("{probe:?}") };
    let info = sound.info.as_ref().expect("the driver describes it");
    assert_eq!((info.ordinal, info.name.as_str(), info.compute_capability), (0, "simulated GPU", (9, 0)));
    assert_eq!((info.multiprocessors, &sound.fault), (132, &None));
    let info = old.info.as_ref().expect("the driver describes it");
    assert_eq!((info.ordinal, info.compute_capability), (1, (3, 7)));
    assert_eq!(old.fault, Some(CudaError::DeviceTooOld { found: (3, 7), needed: (7, 0) }));
    assert_eq!((lost.ordinal, &lost.info), (2, &None));
    let fault = lost.fault.as_ref().expect("it does not answer").to_string();
    assert!(fault.contains("CUDA_ERROR_INVALID_DEVICE (101)"), "{fault}");
}
