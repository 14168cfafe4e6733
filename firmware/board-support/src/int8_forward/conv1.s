@ conv1 and max-pool of one output channel. SMLAD adds the products of two pairs of 16-bit numbers; of a kernel's row the
@ outer two weights are a pair, as are the even and the odd inputs of a row of the patch.

.syntax unified
.thumb

@ The products of a row of inputs (r0 the even ones, r1 the odd ones) with a row of the kernel, for the left and the right
@ position. `half` is where the middle weight lies in `middle`.
.macro add_outer_and_middle outer, middle, half, left, right, left_start, right_start
    smlad    \left, r0, \outer, \left_start
    smlad    \right, r1, \outer, \right_start
    .ifc \half, lower
    smlabb   \left, r1, \middle, \left
    smlatb   \right, r0, \middle, \right
    .else
    smlabt   \left, r1, \middle, \left
    smlatt   \right, r0, \middle, \right
    .endif
.endm

.macro split_inputs
    uxtb16   r1, r0, ror #8
    uxtb16   r0, r0
.endm

@ The larger of both in the first.
.macro keep_larger a, b
    cmp      \a, \b
    it       lt
    movlt    \a, \b
.endm

@ void int8_conv1(const uint8_t image[28][28], uint8_t output[13][13][4], const uint32_t weights[5], const Scale *scale)
@
@ `weights` are the outer pairs of the kernel's three rows, then the middle ones of rows 0 and 1, then that of row 2.
@ Writes every fourth byte from `output` on.
.section .text.int8_conv1, "ax", %progbits
.global int8_conv1
.type int8_conv1, %function
.balign 8
.thumb_func
int8_conv1:
    push     {{r4-r11, lr}}
    ldm      r2, {{r8-r12}}
    ldr      lr, [r3]
    vldr     s0, [r3, #4]
    vldr     s1, [r3, #8]
    vldr     s2, [r3, #12]
    mov      r2, r0
    mov      r3, r1
    add      r0, r1, #676
    vmov     s3, r0
1:  movt     r12, #0xfff3             @ The columns that are left, below 0, beside the weight.
2:  ldr      r0, [r2], #2
    split_inputs
    add_outer_and_middle r8, r11, lower, r4, r5, lr, lr
    ldr      r0, [r2, #26]
    split_inputs
    add_outer_and_middle r9, r11, upper, r4, r5, r4, r5
    add_outer_and_middle r8, r11, lower, r6, r7, lr, lr
    ldr      r0, [r2, #54]
    split_inputs
    add_outer_and_middle r10, r12, lower, r4, r5, r4, r5
    add_outer_and_middle r9, r11, upper, r6, r7, r6, r7
    ldr      r0, [r2, #82]
    split_inputs
    add_outer_and_middle r10, r12, lower, r6, r7, r6, r7
    keep_larger r4, r5
    keep_larger r6, r7
    keep_larger r4, r6
    vmov     r0, s0
    vmov     r1, s1
    smmla    r4, r4, r0, r1
    vmov     r0, s2
    asr      r4, r4, r0
    usat     r4, #8, r4
    strb     r4, [r3], #4
    adds     r12, r12, #0x10000
    bcc      2b
    add      r2, r2, #30
    vmov     r0, s3
    cmp      r3, r0
    bne      1b
    pop      {{r4-r11, pc}}
.size int8_conv1, . - int8_conv1
