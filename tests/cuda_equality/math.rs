//! exp and ln of the kernels are those of `cnn-core`.

use cuda_loader as _;
use cust::memory::{CopyDestination, DeviceBuffer};
use cust::prelude::{Context, CudaFlags, Device, Module, Stream, StreamFlags};

use crate::gpu::gpu;

/// exp and ln of every value, by the kernel.
fn on_the_gpu(values: &[f32]) -> (Vec<f32>, Vec<f32>) {
    cust::init(CudaFlags::empty()).unwrap();
    let _context = Context::new(Device::get_device(0).unwrap()).unwrap();
    let module = Module::from_ptx(kernels::PROBE.text, &[]).unwrap();
    let stream = Stream::new(StreamFlags::DEFAULT, None).unwrap();
    let kernel = module.get_function(kernels::PROBE_MATH).unwrap();
    let x = DeviceBuffer::from_slice(values).unwrap();
    let exponentials = DeviceBuffer::from_slice(values).unwrap();
    let logarithms = DeviceBuffer::from_slice(values).unwrap();
    let count = values.len() as u32;
    let grid = count.div_ceil(kernels::THREADS);
    // SAFETY: the arguments are those of the kernel; the buffers live until the stream is awaited.
    unsafe {
        cust::launch!(kernel<<<grid, kernels::THREADS, 0, stream>>>(
            x.as_device_ptr(),
            exponentials.as_device_ptr(),
            logarithms.as_device_ptr(),
            count
        ))
        .unwrap();
    }
    stream.synchronize().unwrap();
    let (mut exp, mut ln) = (vec![0.0; values.len()], vec![0.0; values.len()]);
    exponentials.copy_to(&mut exp[..]).unwrap();
    logarithms.copy_to(&mut ln[..]).unwrap();
    (exp, ln)
}

/// Every `stride`-th float between two, by its bits.
fn floats(from: f32, to: f32, stride: usize) -> impl Iterator<Item = f32> {
    (from.to_bits()..=to.to_bits()).step_by(stride).map(f32::from_bits)
}

#[cfg_attr(no_gpu, ignore = "no GPU and no C++ compiler to build a simulated one")]
#[test]
fn exp_of_the_kernels_is_that_of_the_core() {
    let Some(_gpu) = gpu() else { return };
    // −0.0 to −∞, subnormals included, and a dense stretch where the result is subnormal.
    let mut values: Vec<_> = floats(-0.0, f32::NEG_INFINITY, 4801).chain(floats(-86.0, -104.5, 61)).collect();
    values.extend([0.0, -104.0, f32::NEG_INFINITY]);
    let (found, _) = on_the_gpu(&values);
    for (x, found) in values.iter().zip(found) {
        assert_eq!(found.to_bits(), cnn_core::math::exp(*x).to_bits(), "exp({x:e})");
    }
}

#[cfg_attr(no_gpu, ignore = "no GPU and no C++ compiler to build a simulated one")]
#[test]
fn ln_of_the_kernels_is_that_of_the_core() {
    let Some(_gpu) = gpu() else { return };
    let values: Vec<_> = floats(1.0, 10.0, 61).chain([10.0]).collect();
    let (_, found) = on_the_gpu(&values);
    for (x, found) in values.iter().zip(found) {
        assert_eq!(found.to_bits(), cnn_core::math::ln(*x).to_bits(), "ln({x:e})");
    }
}

#[cfg_attr(no_gpu, ignore = "no GPU and no C++ compiler to build a simulated one")]
#[test]
fn what_is_not_a_number_stays_so() {
    let Some(_gpu) = gpu() else { return };
    let values = [f32::NAN, -f32::NAN, f32::from_bits(0x7fff_ffff), f32::from_bits(0xff80_0001), f32::INFINITY];
    let (exp, ln) = on_the_gpu(&values);
    assert!(exp[..4].iter().all(|value| value.is_nan()), "{exp:?}");
    assert!(ln.iter().all(|value| value.is_nan()), "{ln:?}");
}
