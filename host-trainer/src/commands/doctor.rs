//! `doctor`: what this machine offers, and what would be chosen of it.

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anstream::println;
use host_trainer::backend::cuda::{DeviceInfo, Probe, probe};
use host_trainer::backend::{BackendChoice, CpuOptions, Opened, SimdLevel, open};
use host_trainer::dataset::{DOWNLOAD_FOLDER, Dataset, Source, Split, mnist, synthetic};

use super::{data, described};
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
    println!("\n--backend auto takes {}", choice());
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
        let DeviceInfo { name, compute_capability: (major, minor), multiprocessors, memory, cooperative_launch } =
            device;
        println!(
            "GPU        {name}, compute capability {major}.{minor}, {multiprocessors} multiprocessors, {:.1} GB{}",
            *memory as f64 / 1e9,
            if *cooperative_launch { "" } else { ", no cooperative launches" }
        );
    }
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
fn choice() -> String {
    let dataset = Arc::new(synthetic::synthetic(0, 1, 1));
    match open(BackendChoice::Auto, dataset, CpuOptions::default()) {
        Ok(Opened { backend, no_gpu, .. }) => described(&*backend, no_gpu.as_ref()),
        Err(error) => format!("nothing: {error}"),
    }
}
