@ The inner loop of conv2 in integers for a Cortex-M4F or M33: SMLAD multiplies two pairs of 16-bit numbers and adds both
@ products. Integers are exact, so the order of the terms does not matter.

.syntax unified
.thumb

@ Of the four channels of an input the two of a half, as 16-bit numbers.
.macro split register, half
    .if \half == 0
    uxtb16   \register, \register
    .else
    uxtb16   \register, \register, ror #8
    .endif
.endm

.macro load_input register, offset, half
    ldr      \register, [r12, #\offset]
    split    \register, \half
.endm

@ Adds the products of one kernel place: of two neighbouring inputs with two output channels' weights.
.macro add_products_of place, left, right, sum0, sum1, sum2, sum3
    ldrd     r2, r3, [lr, #8 * (\place)]
    smlad    \sum0, \left, r2, \sum0
    smlad    \sum1, \right, r2, \sum1
    smlad    \sum2, \left, r3, \sum2
    smlad    \sum3, \right, r3, \sum3
.endm

@ Adds a column of the kernel in one row of the patch: to the window's upper positions, to its lower ones, or to both.
.macro add_column half, row, column, left, right
    .if \row < 3
    add_products_of 9 * \half + 3 * \row + \column, \left, \right, r4, r5, r8, r9
    .endif
    .if \row > 0
    add_products_of 9 * \half + 3 * (\row - 1) + \column, \left, \right, r6, r7, r10, r11
    .endif
.endm

.macro add_row half, row
    ldrd     r0, r1, [r12, #52 * \row]
    split    r0, \half
    split    r1, \half
    add_column \half, \row, 0, r0, r1
    load_input r0, 52 * \row + 8, \half
    add_column \half, \row, 1, r1, r0
    load_input r1, 52 * \row + 12, \half
    add_column \half, \row, 2, r0, r1
.endm

.macro add_half half
    add_row \half, 0
    add_row \half, 1
    add_row \half, 2
    add_row \half, 3
.endm

@ void add_window(int32_t sums[2][4], const uint8_t *input, const int16_t *weights)
@
@ Adds to sums[output channel][position] the convolution at the four positions of a pooling window. `input` is the patch's
@ first element of [4 quads][13][13][4 channels]; `weights` are [4 quads][2 halves][9][2 output channels][2 channels], the
@ halves being channels 0 and 2, and 1 and 3, of a quad.
.section .text.add_window, "ax", %progbits
.global add_window
.type add_window, %function
.balign 8
.thumb_func
add_window:
    push     {{r4-r11, lr}}
    add      r3, r2, #576
    push     {{r0, r3}}
    mov      r12, r1
    mov      lr, r2
    ldm      r0, {{r4-r11}}
1:  add_half 0
    add_half 1
    add      r12, r12, #676
    add      lr, lr, #144
    ldr      r0, [sp, #4]
    cmp      lr, r0
    bne.w    1b
    pop      {{r0, r3}}
    stm      r0, {{r4-r11}}
    pop      {{r4-r11, pc}}
.size add_window, . - add_window
