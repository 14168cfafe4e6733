/* Loaded before the program's libraries: system calls that fail as the environment says. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* FAULT_FLOCK=N: no file can be locked, for the reason N. */
int flock(int file, int operation) {
    const char *reason = getenv("FAULT_FLOCK");
    if (reason) {
        errno = atoi(reason);
        return -1;
    }
    int (*real)(int, int) = dlsym(RTLD_NEXT, "flock");
    return real(file, operation);
}

/* FAULT_EIO=TEXT: a file whose path has the text cannot be opened: the disk is broken there. */
static int opened(const char *function, const char *path, int flags, mode_t mode) {
    const char *text = getenv("FAULT_EIO");
    if (text && strstr(path, text) && !(flags & O_CREAT)) {
        errno = EIO;
        return -1;
    }
    int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, function);
    return real(path, flags, mode);
}

static mode_t mode_in(int flags, va_list arguments) {
    return flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
}

int open64(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_in(flags, arguments);
    va_end(arguments);
    return opened("open64", path, flags, mode);
}

int open(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_in(flags, arguments);
    va_end(arguments);
    return opened("open", path, flags, mode);
}

/* FAULT_TERMINAL=N: after N writes to standard output and error together the terminal behind them is closed. */
ssize_t write(int file, const void *bytes, size_t length) {
    static int writes;
    const char *limit = getenv("FAULT_TERMINAL");
    if (limit && (file == 1 || file == 2) && __atomic_fetch_add(&writes, 1, __ATOMIC_SEQ_CST) >= atoi(limit)) {
        errno = EIO;
        return -1;
    }
    ssize_t (*real)(int, const void *, size_t) = dlsym(RTLD_NEXT, "write");
    return real(file, bytes, length);
}

/* FAULT_FLOAT=N: bits that are set in the register that says how floats are computed, in every thread, as a library does
   that was compiled for speed. */
__attribute__((constructor)) static void set_float_control(void) {
    const char *bits = getenv("FAULT_FLOAT");
    if (!bits)
        return;
#if defined(__x86_64__)
    __builtin_ia32_ldmxcsr(__builtin_ia32_stmxcsr() | (unsigned)strtoul(bits, NULL, 0));
#elif defined(__aarch64__)
    unsigned long control;
    __asm__ volatile("mrs %0, fpcr" : "=r"(control));
    __asm__ volatile("msr fpcr, %0" : : "r"(control | strtoul(bits, NULL, 0)));
#endif
}

/* FAULT_THREADS=N: the system starts N threads at the same time, no more; FAULT_THREADS_EVER=N: N in all. */
static int running, ever;

struct start {
    void *(*function)(void *);
    void *argument;
};

static void *counted(void *argument) {
    struct start start = *(struct start *)argument;
    free(argument);
    set_float_control();
    void *result = start.function(start.argument);
    __atomic_sub_fetch(&running, 1, __ATOMIC_SEQ_CST);
    return result;
}

static int reached(const char *variable, int *count) {
    const char *limit = getenv(variable);
    if (__atomic_add_fetch(count, 1, __ATOMIC_SEQ_CST) > (limit ? atoi(limit) : 1 << 30)) {
        __atomic_sub_fetch(count, 1, __ATOMIC_SEQ_CST);
        return 1;
    }
    return 0;
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*function)(void *), void *argument) {
    if (reached("FAULT_THREADS", &running) || reached("FAULT_THREADS_EVER", &ever))
        return EAGAIN;
    struct start *start = malloc(sizeof *start);
    *start = (struct start){function, argument};
    int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *) = dlsym(RTLD_NEXT, "pthread_create");
    return real(thread, attributes, counted, start);
}
