// A libcuda.so.1 for tests: those functions of the driver that the trainer calls, with the kernels on the CPU: their
// compiled sources, or their PTX on a machine. Everything happens at once and in order, whatever the stream. Tests choose
// the devices and their faults through cuda_sim_set; whoever runs a program on it, by the variable CUDA_SIM, a list such
// as "devices=2 1.compute_capability=61".
#include <map>
#include <sstream>
#include <string>

#include "cuda_sim.h"
#include "machine.h"

#include "evaluate.cu"
#include "probe.cu"
#include "train_phases.cu"
#include "train_steps.cu"

namespace {

// Codes of CUresult.
enum {
    SUCCESS = 0,
    INVALID_VALUE = 1,
    OUT_OF_MEMORY = 2,
    DEVICE_UNAVAILABLE = 46,
    NO_DEVICE = 100,
    INVALID_DEVICE = 101,
    INVALID_PTX = 218,
    NOT_FOUND = 500,
    COOPERATIVE_LAUNCH_TOO_LARGE = 720,
    LAUNCH_FAILED = 719,
};

// What cuda_sim_set sets; the crate's `Setting` says what each is.
const std::map<std::string, unsigned> defaults = {
    {"driver_version", 12000},
    {"devices", 1},
    {"multiprocessors", 4},
    {"compute_capability", 70},
    {"cooperative_launch", 1},
    {"memory_megabytes", 1u << 20},
    {"device_error", 0},
    {"describe_error", 0},
    {"compute_mode", 0},
    {"context_error", 0},
    {"invalid_ptx", 0},
    {"launches_until_lost", ~0u},
};
std::map<std::string, unsigned> settings = defaults;

// Sets one of `settings` for all devices, or for one whose number comes before a point. False if there is no such.
bool set(const std::string &name, unsigned value) {
    const size_t point = name.find('.');
    if (!defaults.count(point == std::string::npos ? name : name.substr(point + 1))) return false;
    settings[name] = value;
    return true;
}
const bool from_environment = [] {
    const char *list = getenv("CUDA_SIM");
    std::istringstream words(list ? list : "");
    for (std::string word; words >> word;) {
        const size_t equals = word.find('=');
        if (equals == std::string::npos || !set(word.substr(0, equals), (unsigned)atoi(&word[equals + 1]))) {
            fprintf(stderr, "cuda-sim: CUDA_SIM has '%s'\n", word.c_str());
            abort();
        }
    }
    return true;
}();

// A setting as it holds for one device.
unsigned of_device(int device, const char *name) {
    const auto own = settings.find(std::to_string(device) + "." + name);
    return own == settings.end() ? settings[name] : own->second;
}

// The device whose primary context is current.
int current = 0;

std::map<unsigned long long, size_t> allocations;
size_t allocated = 0;

// Executes the PTX and holds the device's memory; null where the kernels' compiled sources run in the host's.
const SimMachine *machine = nullptr;

struct Kernel {
    const char *name;
    std::function<void(const SimLaunch &, void **)> run;
    std::vector<size_t> argument_sizes;
    size_t shared_limit = 48 << 10;
    std::string ptx{};  // the text of the module it was found in
};

template <class... A, size_t... I>
Kernel kernel_of(const char *name, void (*function)(A...), std::index_sequence<I...>) {
    auto run = [function](const SimLaunch &launch, void **arguments) {
        sim_launch(launch, [&] { function(*static_cast<A *>(arguments[I])...); });
    };
    return {name, run, {sizeof(A)...}};
}
template <class... A>
Kernel kernel_of(const char *name, void (*function)(A...)) {
    return kernel_of(name, function, std::index_sequence_for<A...>());
}

Kernel kernels[] = {
    kernel_of("train_steps", train_steps),
    kernel_of("train_samples", train_samples),
    kernel_of("train_update", train_update),
    kernel_of("evaluate_convolutions", evaluate_convolutions),
    kernel_of("evaluate_classifier", evaluate_classifier),
    kernel_of("probe_math", probe_math),
};

// Work of a stream under capture is recorded; a graph's launch runs it again.
using Work = std::function<int()>;
struct Graph {
    std::vector<Work> nodes;
};
Graph *capturing = nullptr;

int submit(Work work) {
    if (settings["launches_until_lost"] == 0) return LAUNCH_FAILED;
    if (!capturing) return work();
    capturing->nodes.push_back(std::move(work));
    return SUCCESS;
}

int launch(void *function, const SimLaunch &shape, void **arguments) {
    Kernel *kernel = static_cast<Kernel *>(function);
    if (shape.shared_bytes > kernel->shared_limit) return INVALID_VALUE;
    const unsigned blocks = shape.grid.x * shape.grid.y * shape.grid.z;
    if (shape.cooperative && blocks > of_device(current, "multiprocessors")) return COOPERATIVE_LAUNCH_TOO_LARGE;
    std::vector<std::vector<char>> copies;  // a captured launch outlives its arguments
    for (size_t i = 0; i < kernel->argument_sizes.size(); i++) {
        const char *argument = static_cast<char *>(arguments[i]);
        copies.emplace_back(argument, argument + kernel->argument_sizes[i]);
    }
    return submit([=]() mutable -> int {
        if (settings["launches_until_lost"] == 0) return LAUNCH_FAILED;
        settings["launches_until_lost"]--;
        std::vector<void *> pointers;
        for (auto &copy : copies) pointers.push_back(copy.data());
        if (machine) {
            const SimShape on_machine{shape.grid.x, shape.block.x, shape.shared_bytes, shape.cooperative};
            const bool right = machine->launch(kernel->ptx.c_str(), kernel->name, &on_machine, pointers.data(),
                                               kernel->argument_sizes.data(), pointers.size());
            return right ? SUCCESS : LAUNCH_FAILED;
        }
        kernel->run(shape, pointers.data());
        return SUCCESS;
    });
}

int write_device(unsigned long long to, const void *from, size_t bytes) {
    if (machine) return machine->write(to, from, bytes) ? SUCCESS : INVALID_VALUE;
    return memcpy(reinterpret_cast<void *>(to), from, bytes), SUCCESS;
}
int read_device(void *to, unsigned long long from, size_t bytes) {
    if (machine) return machine->read(to, from, bytes) ? SUCCESS : INVALID_VALUE;
    return memcpy(to, reinterpret_cast<void *>(from), bytes), SUCCESS;
}

int synchronize() { return settings["launches_until_lost"] == 0 ? LAUNCH_FAILED : SUCCESS; }

const char *error_name(int code) {
    switch (code) {
        case SUCCESS: return "CUDA_SUCCESS";
        case INVALID_VALUE: return "CUDA_ERROR_INVALID_VALUE";
        case OUT_OF_MEMORY: return "CUDA_ERROR_OUT_OF_MEMORY";
        case DEVICE_UNAVAILABLE: return "CUDA_ERROR_DEVICE_UNAVAILABLE";
        case NO_DEVICE: return "CUDA_ERROR_NO_DEVICE";
        case INVALID_DEVICE: return "CUDA_ERROR_INVALID_DEVICE";
        case INVALID_PTX: return "CUDA_ERROR_INVALID_PTX";
        case NOT_FOUND: return "CUDA_ERROR_NOT_FOUND";
        case LAUNCH_FAILED: return "CUDA_ERROR_LAUNCH_FAILED";
        case COOPERATIVE_LAUNCH_TOO_LARGE: return "CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE";
        default: return nullptr;
    }
}

}  // namespace

using Unsigned = unsigned;
using Address = unsigned long long;

extern "C" {

// `set`; 1 if there is no such setting.
int cuda_sim_set(const char *name, unsigned value) { return set(name, value) ? 0 : 1; }
// Gives every setting its default again; the compiled sources run.
int cuda_sim_reset() { return settings = defaults, machine = nullptr, 0; }
// From now on PTX runs, on `other`. All of the device's memory has been given back.
int cuda_sim_use_machine(const SimMachine *other) { return machine = other, 0; }

int cuInit(Unsigned) { return settings["devices"] == 0 ? NO_DEVICE : SUCCESS; }
int cuDriverGetVersion(int *version) { return *version = (int)settings["driver_version"], SUCCESS; }
int cuGetErrorName(int code, const char **name) { return (*name = error_name(code)) ? SUCCESS : INVALID_VALUE; }
int cuGetErrorString(int code, const char **text) { return cuGetErrorName(code, text); }

int cuDeviceGetCount(int *count) { return *count = (int)settings["devices"], SUCCESS; }
int cuDeviceGet(int *device, int ordinal) {
    *device = ordinal;
    return ordinal < (int)settings["devices"] ? (int)of_device(ordinal, "device_error") : INVALID_DEVICE;
}
int cuDeviceGetName(char *name, int length, int device) {
    snprintf(name, (size_t)length, "simulated GPU");
    return (int)of_device(device, "describe_error");
}
int cuDeviceGetAttribute(int *value, int attribute, int device) {
    const auto tell = [&](unsigned of_this) { return *value = (int)of_this, (int)of_device(device, "describe_error"); };
    switch (attribute) {
        case 16: return tell(of_device(device, "multiprocessors"));
        case 20: return tell(of_device(device, "compute_mode"));
        case 75: return tell(of_device(device, "compute_capability") / 10);
        case 76: return tell(of_device(device, "compute_capability") % 10);
        case 95: return tell(of_device(device, "cooperative_launch"));
        default: return INVALID_VALUE;
    }
}
int cuDeviceTotalMem_v2(size_t *bytes, int device) {
    *bytes = (size_t)of_device(device, "memory_megabytes") << 20;
    return (int)of_device(device, "describe_error");
}
int cuDevicePrimaryCtxRetain(void **context, int device) {
    *context = reinterpret_cast<void *>((intptr_t)device + 1);
    return (int)of_device(device, "context_error");
}
int cuDevicePrimaryCtxRelease_v2(int) { return SUCCESS; }
int cuCtxSetCurrent(void *context) {
    current = (int)reinterpret_cast<intptr_t>(context) - 1;
    return SUCCESS;
}
int cuCtxSynchronize() { return synchronize(); }

// The options CU_JIT_ERROR_LOG_BUFFER (5) and its size (6) are understood.
int cuModuleLoadDataEx(void **module, const void *image, Unsigned options, int *names, void **values) {
    const bool valid = strstr(static_cast<const char *>(image), ".target sm_70") && !settings["invalid_ptx"];
    if (valid) return *module = new std::string(static_cast<const char *>(image)), SUCCESS;
    char *log = nullptr;
    size_t size = 0;
    for (Unsigned i = 0; i < options; i++) {
        if (names[i] == 5) log = static_cast<char *>(values[i]);
        if (names[i] == 6) size = reinterpret_cast<size_t>(values[i]);
    }
    if (log) snprintf(log, size, "ptxas application ptx input, line 1; fatal: simulated\n");
    return INVALID_PTX;
}
int cuModuleUnload(void *module) { return delete static_cast<std::string *>(module), SUCCESS; }
int cuModuleGetFunction(void **function, void *module, const char *name) {
    for (Kernel &kernel : kernels) {
        if (strcmp(kernel.name, name)) continue;
        kernel.ptx = *static_cast<std::string *>(module);
        return *function = &kernel, SUCCESS;
    }
    return NOT_FOUND;
}
int cuFuncSetAttribute(void *function, int attribute, int value) {
    if (attribute != 8) return INVALID_VALUE;  // MAX_DYNAMIC_SHARED_SIZE_BYTES
    static_cast<Kernel *>(function)->shared_limit = (size_t)value;
    return SUCCESS;
}
int cuOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, void *, int, size_t) { return *blocks = 1, SUCCESS; }

int cuStreamCreateWithPriority(void **stream, Unsigned, int) { return *stream = reinterpret_cast<void *>(2), SUCCESS; }
int cuStreamDestroy_v2(void *) { return SUCCESS; }
int cuStreamSynchronize(void *) { return synchronize(); }
int cuEventCreate(void **event, Unsigned) { return *event = reinterpret_cast<void *>(3), SUCCESS; }
int cuEventDestroy_v2(void *) { return SUCCESS; }
int cuEventRecord(void *, void *) { return synchronize(); }
int cuEventSynchronize(void *) { return synchronize(); }

int cuMemAlloc_v2(Address *address, size_t bytes) {
    if (allocated + bytes > (size_t)of_device(current, "memory_megabytes") << 20) return OUT_OF_MEMORY;
    if (machine) {
        *address = machine->allocate(bytes);
    } else {
        void *memory = aligned_alloc(256, (bytes + 255) / 256 * 256);
        memset(memory, 0xff, bytes);
        *address = reinterpret_cast<Address>(memory);
    }
    allocations[*address] = bytes;
    allocated += bytes;
    return SUCCESS;
}
int cuMemFree_v2(Address address) {
    allocated -= allocations[address];
    allocations.erase(address);
    if (machine) return machine->free(address) ? SUCCESS : INVALID_VALUE;
    return free(reinterpret_cast<void *>(address)), SUCCESS;
}
int cuMemAllocHost_v2(void **memory, size_t bytes) { return (*memory = malloc(bytes)) ? SUCCESS : OUT_OF_MEMORY; }
int cuMemFreeHost(void *memory) { return free(memory), SUCCESS; }
int cuMemGetInfo_v2(size_t *available, size_t *total) {
    *total = (size_t)of_device(current, "memory_megabytes") << 20;
    *available = *total - allocated;
    return SUCCESS;
}
int cuMemcpyHtoD_v2(Address to, const void *from, size_t bytes) {
    return submit([=] { return write_device(to, from, bytes); });
}
int cuMemcpyDtoH_v2(void *to, Address from, size_t bytes) {
    return submit([=] { return read_device(to, from, bytes); });
}
int cuMemcpyHtoDAsync_v2(Address to, const void *from, size_t bytes, void *) { return cuMemcpyHtoD_v2(to, from, bytes); }
int cuMemcpyDtoHAsync_v2(void *to, Address from, size_t bytes, void *) { return cuMemcpyDtoH_v2(to, from, bytes); }
int cuMemsetD32Async(Address to, Unsigned value, size_t count, void *) {
    return submit([=] { return write_device(to, std::vector<Unsigned>(count, value).data(), 4 * count); });
}

int cuLaunchKernel(void *function, Unsigned gx, Unsigned gy, Unsigned gz, Unsigned bx, Unsigned by, Unsigned bz,
                   Unsigned shared_bytes, void *, void **arguments, void **) {
    return launch(function, {{gx, gy, gz}, {bx, by, bz}, shared_bytes, false}, arguments);
}
int cuLaunchCooperativeKernel(void *function, Unsigned gx, Unsigned gy, Unsigned gz, Unsigned bx, Unsigned by,
                              Unsigned bz, Unsigned shared_bytes, void *, void **arguments) {
    return launch(function, {{gx, gy, gz}, {bx, by, bz}, shared_bytes, true}, arguments);
}

int cuStreamBeginCapture_v2(void *, int) { return capturing = new Graph, SUCCESS; }
int cuStreamEndCapture(void *, void **graph) {
    *graph = capturing;
    capturing = nullptr;
    return SUCCESS;
}
int cuGraphInstantiateWithFlags(void **executable, void *graph, unsigned long long) {
    return *executable = new Graph(*static_cast<Graph *>(graph)), SUCCESS;
}
int cuGraphLaunch(void *executable, void *) {
    for (const Work &node : static_cast<Graph *>(executable)->nodes) {
        if (const int code = node()) return code;
    }
    return SUCCESS;
}
int cuGraphExecDestroy(void *executable) { return delete static_cast<Graph *>(executable), SUCCESS; }
int cuGraphDestroy(void *graph) { return delete static_cast<Graph *>(graph), SUCCESS; }

}  // extern "C"
