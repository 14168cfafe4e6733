//! `doctor`: what this machine offers, and what would be chosen of it.

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use cnn_train::backend::{CpuOptions, SimdLevel};
use cnn_train::dataset::{Dataset, Split, synthetic};
use host_trainer::backend::cuda::{Probe, ProbedDevice, probe};
use host_trainer::backend::{BackendChoice, MachineOptions, OpenedBackend, open};
use host_trainer::dataset::{DOWNLOAD_FOLDER, mnist};
use serde::{Serialize, Serializer};

use super::output::{self, result, say};
use super::{data, described};
use crate::cli::{DoctorArgs, SourceArg};

/// Prints a line for everything. What is missing is no error: another part may do without it.
pub fn run(args: &DoctorArgs) -> anyhow::Result<ExitCode> {
    let machine = Machine::describe(args);
    let Machine { architecture, cores, vectors, memory, data, auto, .. } = &machine;
    result!("processor  {architecture}, {cores} cores, vectors: {}", vectors.join(", "));
    if let Some(Memory { total, free }) = memory {
        result!("memory     {:.1} GB, {:.1} GB of it free", *total as f64 / 1e9, *free as f64 / 1e9);
    }
    match &machine.gpu {
        Ok(driver) => print_gpus(driver),
        Err(reason) => result!("GPU        none: {reason}"),
    }
    result!("data       {data}");
    say!();
    result!("--backend auto takes {auto}");
    output::json(&machine)?;
    Ok(ExitCode::SUCCESS)
}

/// What was found; the answer of `--json`.
#[derive(Serialize)]
struct Machine {
    architecture: &'static str,
    cores: usize,
    vectors: Vec<&'static str>,
    #[serde(rename = "memory_bytes")]
    memory: Option<Memory>,
    #[serde(serialize_with = "gpu_or_reason")]
    gpu: Result<Driver, String>,
    data: String,
    #[serde(rename = "backend_auto")]
    auto: String,
}

/// Bytes.
#[derive(Serialize)]
struct Memory {
    total: u64,
    free: u64,
}

/// [`Probe`] as JSON.
#[derive(Serialize)]
struct Driver {
    cuda_version: (i32, i32),
    devices: Vec<Gpu>,
}

/// A device of a [`Probe`] as JSON. What the driver does not tell of it is null.
#[derive(Serialize)]
struct Gpu {
    device: u32,
    name: Option<String>,
    compute_capability: Option<(i32, i32)>,
    multiprocessors: Option<u32>,
    memory_bytes: Option<usize>,
    cooperative_launch: Option<bool>,
    usable: bool,
    not_usable_because: Option<String>,
}

impl Machine {
    fn describe(args: &DoctorArgs) -> Self {
        Self {
            architecture: std::env::consts::ARCH,
            cores: num_cpus::get_physical(),
            vectors: SimdLevel::available().map(SimdLevel::name).collect(),
            memory: memory(),
            gpu: probe().map(Driver::from).map_err(|reason| reason.to_string()),
            data: data_found(args),
            auto: choice(args),
        }
    }
}

/// Two fields, one of them null.
fn gpu_or_reason<S: Serializer>(gpu: &Result<Driver, String>, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Found<'a> {
        driver: Option<&'a Driver>,
        none_because: Option<&'a str>,
    }
    let found = Found { driver: gpu.as_ref().ok(), none_because: gpu.as_ref().err().map(String::as_str) };
    found.serialize(serializer)
}

impl From<Probe> for Driver {
    fn from(probe: Probe) -> Self {
        Self { cuda_version: probe.cuda_version, devices: probe.devices.into_iter().map(Gpu::from).collect() }
    }
}

impl From<ProbedDevice> for Gpu {
    fn from(ProbedDevice { ordinal, info, fault }: ProbedDevice) -> Self {
        Self {
            device: ordinal,
            compute_capability: info.as_ref().map(|info| info.compute_capability),
            multiprocessors: info.as_ref().map(|info| info.multiprocessors),
            memory_bytes: info.as_ref().map(|info| info.memory),
            cooperative_launch: info.as_ref().map(|info| info.cooperative_launch),
            name: info.map(|info| info.name),
            usable: fault.is_none(),
            not_usable_because: fault.map(|fault| fault.to_string()),
        }
    }
}

impl Gpu {
    /// What it is, and whether it can be used.
    fn line(&self) -> String {
        let Self { name, compute_capability, multiprocessors, memory_bytes, .. } = self;
        let mut parts = Vec::from_iter(name.clone());
        parts.extend(compute_capability.map(|(major, minor)| format!("compute capability {major}.{minor}")));
        parts.extend(multiprocessors.map(|count| format!("{count} multiprocessors")));
        parts.extend(memory_bytes.map(|bytes| format!("{:.1} GB", bytes as f64 / 1e9)));
        parts.extend((self.cooperative_launch == Some(false)).then(|| "no cooperative launches".into()));
        parts.push(match &self.not_usable_because {
            None => "usable".into(),
            Some(reason) => format!("not usable: {reason}"),
        });
        parts.join(", ")
    }
}

/// Total and free memory, where the system tells it as Linux does.
fn memory() -> Option<Memory> {
    let table = fs::read_to_string("/proc/meminfo").ok()?;
    let bytes = |name: &str| {
        let line = table.lines().find_map(|line| line.strip_prefix(name))?;
        let kibibytes: u64 = line.trim_start_matches(':').split_whitespace().next()?.parse().ok()?;
        Some(kibibytes * 1024)
    };
    Some(Memory { total: bytes("MemTotal")?, free: bytes("MemAvailable")? })
}

fn print_gpus(driver: &Driver) {
    let (major, minor) = driver.cuda_version;
    result!("driver     NVIDIA, CUDA {major}.{minor}");
    for gpu in &driver.devices {
        result!("GPU {:<7}{}", gpu.device, gpu.line());
    }
    if let Some(devices) = std::env::var_os("CUDA_VISIBLE_DEVICES") {
        result!("           CUDA_VISIBLE_DEVICES, which chooses among them, is {devices:?}");
    }
}

/// The data set that a run would read. Nothing is downloaded.
fn data_found(args: &DoctorArgs) -> String {
    let in_environment = std::env::var_os("MNIST_DIR").is_some_and(|dir| !dir.is_empty());
    let folder_named = args.data.data.is_some() || (in_environment && args.data.mirror.is_none());
    let drawn = args.data.dataset == SourceArg::Synthetic;
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
        Ok(OpenedBackend { backend, no_gpu, .. }) => described(&*backend, no_gpu.as_ref()),
        Err(error) => format!("nothing: {error}"),
    }
}
