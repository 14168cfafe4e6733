@ The inner loops of the forward pass for a Cortex-M4F.
@
@ Every product is rounded before it is added, and each sum takes its terms in the order of cnn-core: the bits are the
@ same. What differs is the schedule: values are loaded several at a time, and no instruction consumes the result of the
@ one just before it, which would cost a cycle (ARM DDI 0439B, 7.2.3).

.syntax unified
.fpu fpv4-sp-d16
.thumb

@ Adds one weight's products to the sums of a window's four positions.
.macro add_weight sum0, sum1, sum2, sum3, x0, x1, x2, x3, weight
    vmul.f32 s30, \x0, \weight
    vmul.f32 s31, \x1, \weight
    vadd.f32 \sum0, \sum0, s30
    vmul.f32 s30, \x2, \weight
    vadd.f32 \sum1, \sum1, s31
    vmul.f32 s31, \x3, \weight
    vadd.f32 \sum2, \sum2, s30
    vadd.f32 \sum3, \sum3, s31
.endm

@ Adds a kernel row of one output channel: three weights, over the two input rows a and b of the window.
.macro add_kernel_row weights, sum0, sum1, sum2, sum3, a0, a1, a2, a3, b0, b1, b2, b3
    vldmia   \weights!, {{s24-s26}}
    add_weight \sum0, \sum1, \sum2, \sum3, \a0, \a1, \b0, \b1, s24
    add_weight \sum0, \sum1, \sum2, \sum3, \a1, \a2, \b1, \b2, s25
    add_weight \sum0, \sum1, \sum2, \sum3, \a2, \a3, \b2, \b3, s26
.endm

@ The same for four output channels.
.macro add_kernel_rows a0, a1, a2, a3, b0, b1, b2, b3
    add_kernel_row r2, s0, s1, s2, s3, \a0, \a1, \a2, \a3, \b0, \b1, \b2, \b3
    add_kernel_row r6, s4, s5, s6, s7, \a0, \a1, \a2, \a3, \b0, \b1, \b2, \b3
    add_kernel_row r7, s8, s9, s10, s11, \a0, \a1, \a2, \a3, \b0, \b1, \b2, \b3
    add_kernel_row r8, s12, s13, s14, s15, \a0, \a1, \a2, \a3, \b0, \b1, \b2, \b3
.endm

@ void convolve_window(float sums[4][4], const float *input, const float *weight, uint32_t input_channels,
@                      uint32_t row_bytes, uint32_t channel_bytes)
@
@ Adds to sums[output channel][position] the convolution at the four positions of a pooling window whose first input is
@ `input`, for four output channels whose weights [output channel][input channel][9] start at `weight`.
.section .text.convolve_window, "ax", %progbits
.global convolve_window
.type convolve_window, %function
.balign 8
.thumb_func
convolve_window:
    push     {{r4-r8, lr}}
    ldrd     r4, r5, [sp, #24]
    vpush    {{s16-s31}}
    sub      r5, r5, r4
    sub      r5, r5, r4, lsl #1         @ from the patch's fourth row to the next channel's first
    add      r6, r3, r3, lsl #3
    lsl      r6, r6, #2                 @ bytes of an output channel's weights
    add      r7, r2, r6, lsl #1
    add      r8, r7, r6
    add      r6, r2, r6
    vldmia   r0, {{s0-s15}}
1:  vldmia   r1, {{s16-s19}}
    add      r1, r4
    vldmia   r1, {{s20-s23}}
    add      r1, r4
    add_kernel_rows s16, s17, s18, s19, s20, s21, s22, s23
    vldmia   r1, {{s16-s19}}
    add      r1, r4
    add_kernel_rows s20, s21, s22, s23, s16, s17, s18, s19
    vldmia   r1, {{s20-s23}}
    add      r1, r5
    add_kernel_rows s16, s17, s18, s19, s20, s21, s22, s23
    subs     r3, #1
    bne.w    1b
    vstmia   r0, {{s0-s15}}
    vpop     {{s16-s31}}
    pop      {{r4-r8, pc}}
.size convolve_window, . - convolve_window

@ Adds the products of four inputs (s8-s11) to the sums of two outputs.
.macro add_inputs weights0, weights1, sum0, sum1
    vldmia   \weights0!, {{s12-s15}}
    vldmia   \weights1!, {{s16-s19}}
    vmul.f32 s20, s8, s12
    vmul.f32 s21, s8, s16
    vmul.f32 s22, s9, s13
    vmul.f32 s23, s9, s17
    vadd.f32 \sum0, \sum0, s20
    vadd.f32 \sum1, \sum1, s21
    vmul.f32 s20, s10, s14
    vmul.f32 s21, s10, s18
    vadd.f32 \sum0, \sum0, s22
    vadd.f32 \sum1, \sum1, s23
    vmul.f32 s22, s11, s15
    vmul.f32 s23, s11, s19
    vadd.f32 \sum0, \sum0, s20
    vadd.f32 \sum1, \sum1, s21
    vadd.f32 \sum0, \sum0, s22
    vadd.f32 \sum1, \sum1, s23
.endm

@ void add_products(float sums[8], const float *input, const float *weight, uint32_t inputs)
@
@ Adds to each sums[o] the products of all inputs with weight[o][inputs]; `inputs` is a multiple of 4.
.section .text.add_products, "ax", %progbits
.global add_products
.type add_products, %function
.balign 8
.thumb_func
add_products:
    push     {{r4-r10, lr}}
    vpush    {{s16-s23}}
    lsl      r12, r3, #2                @ bytes of an output's weights
    add      r4, r2, r12
    add      r5, r4, r12
    add      r6, r5, r12
    add      r7, r6, r12
    add      r8, r7, r12
    add      r9, r8, r12
    add      r10, r9, r12
    vldmia   r0, {{s0-s7}}
1:  vldmia   r1!, {{s8-s11}}
    add_inputs r2, r4, s0, s1
    add_inputs r5, r6, s2, s3
    add_inputs r7, r8, s4, s5
    add_inputs r9, r10, s6, s7
    subs     r3, #4
    bne.w    1b
    vstmia   r0, {{s0-s7}}
    vpop     {{s16-s23}}
    pop      {{r4-r10, pc}}
.size add_products, . - add_products
