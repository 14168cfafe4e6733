// The scheduler: fibers for the threads of a block, operating system's threads for the blocks of a grid.
#include "cuda_sim.h"

thread_local SimBlock *sim __attribute__((tls_model("initial-exec")));

asm(R"(
    .text
    .globl sim_switch
    .type sim_switch, @function
sim_switch:
    pushq %rbp; pushq %rbx; pushq %r12; pushq %r13; pushq %r14; pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15; popq %r14; popq %r13; popq %r12; popq %rbx; popq %rbp
    ret
    .size sim_switch, .-sim_switch
)");

// Where a fiber starts.
static void run_thread() {
    (*sim->body)();
    SimThread &self = sim->threads[sim->current];
    sim->alive--;
    void *unused;
    self.stack = nullptr;
    sim_switch(&unused, sim->scheduler);
}

// Stacks for the fibers of one operating system's thread; pages are touched on first use only.
static char *fiber_stacks(size_t bytes) {
    struct Stacks {
        char *start = nullptr;
        size_t size = 0;
        ~Stacks() {
            if (start) munmap(start, size);
        }
    };
    static thread_local Stacks stacks;
    if (stacks.size < bytes) {
        if (stacks.start) munmap(stacks.start, stacks.size);
        void *start = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (start == MAP_FAILED) {
            perror("cuda-sim: mmap");
            abort();
        }
        stacks.start = static_cast<char *>(start);
        stacks.size = bytes;
    }
    return stacks.start;
}

// Gives every thread of the block that is not blocked one turn; whether there was one that could go on.
bool SimBlock::take_turns() {
    bool progress = false;
    for (unsigned t = 0; t < threads.size(); t++) {
        if (!threads[t].stack || threads[t].is_blocked()) continue;
        current = t;
        thread = {t % block.x, t / block.x % block.y, t / block.x / block.y};
        spins = false;
        sim_switch(&scheduler, threads[t].stack);
        progress |= !spins;
    }
    return progress;
}

void SimBlock::run() {
    constexpr size_t STACK = (64 << 10) + 832;  // not a power of two: the tops share no cache set
    const unsigned count = block.x * block.y * block.z;
    threads.resize(count);
    warps.resize((count + WARP - 1) / WARP);
    shared.resize((shared_bytes + sizeof(std::max_align_t) - 1) / sizeof(std::max_align_t));
    memset(static_cast<void *>(shared.data()), 0xff, shared.size() * sizeof(std::max_align_t));
    char *stacks = fiber_stacks(count * STACK);
    for (unsigned t = 0; t < count; t++) {
        void **top = reinterpret_cast<void **>(stacks + (t + 1) * STACK) - 2;
        *--top = nullptr;  // run_thread finds the stack as after a call
        *--top = reinterpret_cast<void *>(run_thread);
        top -= 6;  // the registers that sim_switch restores
        memset(top, 0, 6 * sizeof(void *));
        threads[t].stack = top;
    }
    sim = this;
    for (alive = count; alive > 0;) {
        if (take_turns()) continue;
        const bool someone_spins = std::any_of(threads.begin(), threads.end(), [](const SimThread &thread) {
            return thread.stack && !thread.is_blocked();
        });
        if (!someone_spins) {
            fprintf(stderr, "cuda-sim: a barrier is not reached by every thread of block %u\n", index.x);
            abort();
        }
        sched_yield();
    }
    sim = nullptr;
}

void sim_launch(const SimLaunch &launch, const std::function<void()> &body) {
    const dim3 &grid = launch.grid;
    const unsigned blocks = grid.x * grid.y * grid.z;
    unsigned next = 0;
    auto run_blocks = [&] {
        for (;;) {
            const unsigned b = __atomic_fetch_add(&next, 1, __ATOMIC_RELAXED);
            if (b >= blocks) return;
            SimBlock block{{grid.x, grid.y, grid.z},
                           {launch.block.x, launch.block.y, launch.block.z},
                           {b % grid.x, b / grid.x % grid.y, b / grid.x / grid.y},
                           {},
                           &body,
                           launch.shared_bytes};
            block.run();
            if (launch.cooperative) return;
        }
    };
    const unsigned cores = std::max(1u, std::thread::hardware_concurrency());
    std::vector<std::thread> workers;
    for (unsigned w = 0; w < (launch.cooperative ? blocks : std::min(blocks, cores)); w++)
        workers.emplace_back(run_blocks);
    for (std::thread &worker : workers) worker.join();
}
