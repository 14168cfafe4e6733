//! `doctor`: what this machine offers, and what would be chosen of it.

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anstream::println;
use host_trainer::backend::cuda::{DeviceInfo, Probe, ProbedDevice, probe};
use host_trainer::backend::{BackendChoice, CpuOptions, MachineOptions, Opened, SimdLevel, open};
use host_trainer::dataset::{DOWNLOAD_FOLDER, Dataset, Source, Split, mnist, synthetic};

use super::{data, described, printable};
use crate::cli::DoctorArgs;

/// Prints a line for everything. What is missing is no error: another part may do without it.
pub fn run(args: &DoctorArgs) -> anyhow::Result<ExitCode> {
    println!("processor  {}", processor());
    if let Some(memory) = memory() {
        println!("memory     {memory}");
    }
    match probe() {
        Ok(probe) => print_gpus(&probe),
        Err(reason) => println!("GPU        none: {reason}"),
    }
    println!("data       {}", data_found(args));
    println!("\n--backend auto takes {}", choice(args));
    Ok(ExitCode::SUCCESS)
}

fn processor() -> String {
    let levels: Vec<_> = SimdLevel::available().map(SimdLevel::name).collect();
    format!("{}, {} cores, vectors: {}", std::env::consts::ARCH, num_cpus::get_physical(), levels.join(", "))
}

/// Total and free memory, where the system tells it as Linux does.
fn memory() -> Option<String> {
    let table = fs::read_to_string("/proc/meminfo").ok()?;
    let gigabytes = |name: &str| {
        let line = table.lines().find_map(|line| line.strip_prefix(name))?;
        let kibibytes: f64 = line.trim_start_matches(':').split_whitespace().next()?.parse().ok()?;
        Some(kibibytes * 1024.0 / 1e9)
    };
    Some(format!("{:.1} GB, {:.1} GB of it free", gigabytes("MemTotal")?, gigabytes("MemAvailable")?))
}

fn print_gpus(probe: &Probe) {
    let (major, minor) = probe.cuda_version;
    println!("driver     NVIDIA, CUDA {major}.{minor}");
    for device in &probe.devices {
        println!("{:<11}{}", format!("GPU {}", device.ordinal), printable(gpu(device)));
    }
    if let Some(devices) = std::env::var_os("CUDA_VISIBLE_DEVICES") {
        println!("           CUDA_VISIBLE_DEVICES={} chose them", printable(devices.display()));
    }
}

/// What a GPU is, and whether it can be used.
fn gpu(ProbedDevice { info, fault, .. }: &ProbedDevice) -> String {
    let described = info.as_ref().map(|info| {
        let DeviceInfo { name, compute_capability: (major, minor), multiprocessors, memory, .. } = info;
        format!(
            "{name}, compute capability {major}.{minor}, {multiprocessors} multiprocessors, {:.1} GB{}",
            *memory as f64 / 1e9,
            if info.cooperative_launch { "" } else { ", no cooperative launches" }
        )
    });
    let state = fault.as_ref().map_or_else(|| "usable".into(), |fault| format!("not usable: {fault}"));
    described.into_iter().chain([state]).collect::<Vec<_>>().join("; ")
}

/// The data set that a run would read. Nothing is downloaded.
fn data_found(args: &DoctorArgs) -> String {
    let folder_named = args.data.data.is_some() || std::env::var_os("MNIST_DIR").is_some_and(|dir| !dir.is_empty());
    let drawn = args.data.dataset == Source::Synthetic;
    let mut files = [Split::Train, Split::Test].into_iter().flat_map(mnist::files);
    if !folder_named && !drawn && files.any(|file| file.find(Path::new(DOWNLOAD_FOLDER)).is_none()) {
        return format!("not in {DOWNLOAD_FOLDER}; a run downloads MNIST there");
    }
    match data::open(&args.data) {
        Ok(Dataset { name, train, test, .. }) => {
            format!("{name}: {} training and {} test images", train.len(), test.len())
        }
        Err(error) => error.to_string(),
    }
}

/// The backend that is taken if none is named. It is made, so that what it needs is known to be there.
fn choice(args: &DoctorArgs) -> String {
    let dataset = Arc::new(synthetic::synthetic(0, 1, 1));
    let options = MachineOptions { cpu: CpuOptions::default(), device: args.gpu.device };
    match open(BackendChoice::Auto, dataset, options) {
        Ok(Opened { backend, no_gpu }) => described(&*backend, no_gpu.as_ref()),
        Err(error) => format!("nothing: {error}"),
    }
}
