// What can stand in for the compiled kernels and the device's memory: a machine that executes PTX. src/ptx.rs has the
// same structs.
#pragma once
#include <cstddef>

struct SimShape {
    unsigned blocks, threads;
    size_t shared_bytes;
    bool cooperative;
};

struct SimMachine {
    unsigned long long (*allocate)(size_t bytes);
    bool (*free)(unsigned long long address);
    bool (*write)(unsigned long long to, const void *from, size_t bytes);
    bool (*read)(void *to, unsigned long long from, size_t bytes);
    // Runs `kernel` of the text; the arguments have these sizes in bytes. False if the kernel does something wrong.
    bool (*launch)(const char *text, const char *kernel, const SimShape *shape, void *const *arguments,
                   const size_t *sizes, size_t count);
};
