/* The start of a Cortex-M4F without any library, for QEMU's mps2-an386: copies data, clears memory, switches the
 * floating-point unit on, and gives main's answer to the emulator (semihosting, SYS_EXIT_EXTENDED). */
#include <stdint.h>

extern uint32_t data_load, data_start, data_end, bss_start, bss_end, stack_top;
int main(void);
void reset(void);

static void leave(uint32_t code) {
    const uint32_t arguments[2] = {0x20026, code};
    register uint32_t operation __asm__("r0") = 0x20;
    register const uint32_t *block __asm__("r1") = arguments;
    __asm__ volatile("bkpt 0xab" : : "r"(operation), "r"(block) : "memory");
    for (;;) {
    }
}

static void fault(void) {
    leave(99);
}

void reset(void) {
    uint32_t *from = &data_load;
    for (uint32_t *to = &data_start; to < &data_end;) {
        *to++ = *from++;
    }
    for (uint32_t *to = &bss_start; to < &bss_end;) {
        *to++ = 0;
    }
    *(volatile uint32_t *)0xe000ed88 |= 0xf00000; /* CPACR: full access to the floating-point unit */
    __asm__ volatile("dsb\nisb" : : : "memory");
    leave((uint32_t)main());
}

/* The compiler may call it for structures. */
void *memcpy(void *to, const void *from, unsigned int count);
void *memcpy(void *to, const void *from, unsigned int count) {
    for (unsigned int i = 0; i < count; i++) {
        ((volatile uint8_t *)to)[i] = ((const uint8_t *)from)[i];
    }
    return to;
}

static const struct {
    uint32_t *stack;
    void (*handlers[15])(void);
} vectors __attribute__((section(".vectors"), used)) = {&stack_top, {reset, fault, fault, fault, fault, fault}};
