//! Modules and kernels: loading with the driver's log, launches of both kinds, captured graphs.

use std::ffi::{CString, c_void};
use std::ptr;

use cust::function::BlockSize;
use cust::stream::Stream;
use cust::sys;
use kernels::{Ptx, THREADS};

use super::error::CudaError;

/// A module on the device. Its [`LoadedKernel`]s must not be used after it is dropped.
pub(super) struct Module {
    name: &'static str,
    inner: cust::module::Module,
}

impl Module {
    /// Has the driver translate and load a module's PTX.
    ///
    /// # Errors
    /// [`CudaError::Load`] with the driver's log.
    pub(super) fn load(ptx: Ptx) -> Result<Self, CudaError> {
        let text = CString::new(ptx.text).expect("PTX has no nul");
        let inner = cust::module::Module::from_ptx_cstr(&text, &[]).map_err(|_| CudaError::Load {
            module: ptx.name,
            message: cuda_loader::last_error(),
            log: load_log(&text),
        })?;
        Ok(Self { name: ptx.name, inner })
    }

    /// A kernel that is launched with [`THREADS`] threads a block and `shared_bytes` of dynamic shared memory.
    ///
    /// # Errors
    /// [`CudaError::Load`] if the module has no such kernel or a block cannot have so much shared memory.
    pub(super) fn kernel(&self, name: &'static str, shared_bytes: u32) -> Result<LoadedKernel, CudaError> {
        let error = |_| CudaError::Load {
            module: self.name,
            message: format!("kernel {name}: {}", cuda_loader::last_error()),
            log: "empty".into(),
        };
        let function = self.inner.get_function(name).map_err(error)?;
        let attribute = sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
        // SAFETY: the function is the module's, which is loaded.
        let result = unsafe { sys::cuFuncSetAttribute(function.to_raw(), attribute, shared_bytes as i32) };
        succeed(result).map_err(error)?;
        let blocks_per_multiprocessor = function
            .max_active_blocks_per_multiprocessor(BlockSize::x(THREADS), shared_bytes as usize)
            .map_err(error)?;
        Ok(LoadedKernel { function: function.to_raw(), shared_bytes, blocks_per_multiprocessor })
    }
}

/// What the driver's compiler says of a module that does not load, on one line.
fn load_log(text: &CString) -> String {
    let mut log = vec![0u8; 4096];
    let mut options =
        [sys::CUjit_option::CU_JIT_ERROR_LOG_BUFFER, sys::CUjit_option::CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES];
    let mut values = [log.as_mut_ptr().cast::<c_void>(), log.len() as *mut c_void];
    let mut module = ptr::null_mut();
    // SAFETY: the options come with their values: a buffer that outlives the call, and its size, by value as the driver
    // wants it. A module that does load after all is unloaded.
    unsafe {
        let count = options.len() as u32;
        let image = text.as_ptr().cast();
        let result = sys::cuModuleLoadDataEx(&mut module, image, count, options.as_mut_ptr(), values.as_mut_ptr());
        if succeed(result).is_ok() {
            sys::cuModuleUnload(module);
        }
    }
    let end = log.iter().position(|&byte| byte == 0).unwrap_or(log.len());
    let text = String::from_utf8_lossy(&log[..end]);
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    if lines.is_empty() { "empty".into() } else { lines.join("; ") }
}

/// A kernel of a loaded module.
#[derive(Clone, Copy)]
pub(super) struct LoadedKernel {
    function: sys::CUfunction,
    shared_bytes: u32,
    /// Blocks that a multiprocessor holds at once.
    pub(super) blocks_per_multiprocessor: u32,
}

/// The addresses of a kernel's arguments, as the driver takes them.
macro_rules! arguments {
    ($($argument:expr),* $(,)?) => { [$((&raw const $argument).cast_mut().cast::<std::ffi::c_void>()),*] };
}
pub(super) use arguments;

impl LoadedKernel {
    /// Enqueues the kernel with `grid` blocks.
    ///
    /// # Safety
    /// `arguments` point to values of the types of the kernel's parameters, and the device memory that they name lives
    /// until the kernel has ended.
    pub(super) unsafe fn launch(
        &self,
        stream: &Stream,
        grid: u32,
        arguments: &mut [*mut c_void],
    ) -> cust::error::CudaResult<()> {
        // SAFETY: the function is a loaded module's; the caller vouches for the arguments, which the driver copies.
        succeed(unsafe {
            sys::cuLaunchKernel(
                self.function,
                grid,
                1,
                1,
                THREADS,
                1,
                1,
                self.shared_bytes,
                stream.as_inner(),
                arguments.as_mut_ptr(),
                ptr::null_mut(),
            )
        })
    }

    /// [`LoadedKernel::launch`] with all blocks resident at once, so that they can wait for each other.
    ///
    /// # Safety
    /// As for [`LoadedKernel::launch`].
    pub(super) unsafe fn launch_cooperative(
        &self,
        stream: &Stream,
        grid: u32,
        arguments: &mut [*mut c_void],
    ) -> cust::error::CudaResult<()> {
        // SAFETY: as in `launch`; the driver refuses a grid that is not resident at once.
        succeed(unsafe {
            sys::cuLaunchCooperativeKernel(
                self.function,
                grid,
                1,
                1,
                THREADS,
                1,
                1,
                self.shared_bytes,
                stream.as_inner(),
                arguments.as_mut_ptr(),
            )
        })
    }
}

/// Launches that were captured from a stream, to be launched together any number of times.
pub(super) struct Graph(sys::CUgraphExec);

impl Graph {
    /// Captures what `enqueue` puts on the stream; nothing of it runs.
    ///
    /// # Safety
    /// The device memory that the captured launches name lives as long as the graph.
    pub(super) unsafe fn capture(
        stream: &Stream,
        enqueue: impl FnOnce() -> cust::error::CudaResult<()>,
    ) -> cust::error::CudaResult<Self> {
        let (mut graph, mut executable) = (ptr::null_mut(), ptr::null_mut());
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_RELAXED;
        // SAFETY: the stream lives; begin and end frame the capture whatever `enqueue` does; the graph is destroyed
        // once, after its executable form was made.
        unsafe {
            succeed(sys::cuStreamBeginCapture_v2(stream.as_inner(), mode))?;
            let enqueued = enqueue();
            succeed(sys::cuStreamEndCapture(stream.as_inner(), &mut graph))?;
            let instantiated =
                enqueued.and_then(|()| succeed(sys::cuGraphInstantiateWithFlags(&mut executable, graph, 0)));
            sys::cuGraphDestroy(graph);
            instantiated.map(|()| Self(executable))
        }
    }

    /// Enqueues the captured launches.
    pub(super) fn launch(&self, stream: &Stream) -> cust::error::CudaResult<()> {
        // SAFETY: both handles are valid; `capture`'s caller vouches for the memory.
        succeed(unsafe { sys::cuGraphLaunch(self.0, stream.as_inner()) })
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        // SAFETY: the handle is this graph's alone. An error would be that of earlier work, reported where it is awaited.
        unsafe { sys::cuGraphExecDestroy(self.0) };
    }
}

/// A driver's code as a result. Which code it was says [`cuda_loader::last_error`].
fn succeed(code: sys::CUresult) -> cust::error::CudaResult<()> {
    if code == sys::CUresult::CUDA_SUCCESS { Ok(()) } else { Err(cust::error::CudaError::UnknownError) }
}
