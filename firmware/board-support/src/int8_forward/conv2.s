@ conv2 and max-pool of two output channels. SMLAD adds the products of two pairs of 16-bit numbers, here of two input
@ channels. The pooling window's eight sums stay in registers; what is rarely needed lies in those of the floating-point
@ unit, from where a move takes a cycle less than a load.

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

@ The activation of the largest of four sums in the first of their registers; the three numbers of its scale in the
@ floating-point unit's.
.macro pool a, b, c, d, multiplier, half, shift
    keep_larger \a, \b
    keep_larger \c, \d
    keep_larger \a, \c
    vmov     r0, \multiplier
    vmov     r1, \half
    vmov     r2, \shift
    smmla    \a, \a, r0, r1
    asr      \a, \a, r2
    usat     \a, #8, \a
.endm

@ void int8_conv2(const uint8_t input[4][13][13][4], uint8_t output[2][5][5], const int16_t *weights, const Scale scales[2])
@
@ `weights` are [4 quads][2 halves][9][2 output channels][2 channels], the halves being channels 0 and 2, and 1 and 3, of a
@ quad.
.section .text.int8_conv2, "ax", %progbits
.global int8_conv2
.type int8_conv2, %function
.balign 8
.thumb_func
int8_conv2:
    push     {{r4-r11, lr}}
    vldm     r3, {{s4-s11}}           @ The scales.
    add      r3, r2, #576
    vmov     s0, r2                   @ The weights and their end.
    vmov     s1, r3
    add      r3, r1, #25
    vmov     s2, r3                   @ The end of the output.
    vmov     s3, r1                   @ The output.
    vmov     s12, r0                  @ The patch.
1:  mov      r0, #5
2:  vmov     s13, r0                  @ The columns that are left.
    vmov     r4, s4
    mov      r5, r4
    mov      r6, r4
    mov      r7, r4
    vmov     r8, s8
    mov      r9, r8
    mov      r10, r8
    mov      r11, r8
    vmov     r12, s12
    vmov     lr, s0
3:  add_half 0
    add_half 1
    add      r12, r12, #676
    add      lr, lr, #144
    vmov     r0, s1
    cmp      lr, r0
    bne.w    3b
    pool     r4, r5, r6, r7, s5, s6, s7
    pool     r8, r9, r10, r11, s9, s10, s11
    vmov     r3, s3
    strb     r8, [r3, #25]
    strb     r4, [r3], #1
    vmov     s3, r3
    vmov     r12, s12
    add      r12, r12, #8
    vmov     s12, r12
    vmov     r0, s13
    subs     r0, r0, #1
    bne.w    2b
    add      r12, r12, #64
    vmov     s12, r12
    vmov     r0, s2
    cmp      r3, r0
    bne.w    1b
    pop      {{r4-r11, pc}}
.size int8_conv2, . - int8_conv2
