@ A pooling window of a convolution for processors that have only ARMv6-M's instructions.
@
@ A product overwrites one of its factors here, and most instructions reach r0 to r7 alone. ADD reaches all registers: so
@ the four sums lie in r8 to r11, and what is left of the others holds a row of weights.

.syntax unified
.thumb

@ A row of four inputs, from r0 + offset on, with the weights r2 to r4: the products of the row's left and right sum.
@ An input's last product takes its place.
.macro add_row offset, left, right
    ldrb     r5, [r0, #\offset]
    muls     r5, r2, r5
    add      \left, r5
    ldrb     r5, [r0, #\offset + 1]
    movs     r6, r5
    muls     r6, r3, r6
    add      \left, r6
    muls     r5, r2, r5
    add      \right, r5
    ldrb     r5, [r0, #\offset + 2]
    movs     r6, r5
    muls     r6, r4, r6
    add      \left, r6
    muls     r5, r3, r5
    add      \right, r5
    ldrb     r5, [r0, #\offset + 3]
    muls     r5, r4, r5
    add      \right, r5
.endm

@ void NAME(const uint8_t *input, const int32_t (*weights)[9], const int32_t *end, int32_t sums[4])
@
@ The window begins at the input, in maps of SIDE by SIDE that lie one behind the other. The weights are those of the input
@ channels, up to the end. Adds to the sums.
.macro window name, side
.section .text.\name, "ax", %progbits
.global \name
.type \name, %function
.balign 4
.thumb_func
\name:
    push     {{r4-r7, lr}}
    mov      r4, r8
    mov      r5, r9
    mov      r6, r10
    mov      r7, r11
    push     {{r4-r7}}
    mov      r12, r2
    mov      lr, r3
    ldm      r3!, {{r4-r7}}
    mov      r8, r4
    mov      r9, r5
    mov      r10, r6
    mov      r11, r7
1:
    .rept    3
    ldm      r1!, {{r2-r4}}
    add_row  0, r8, r9
    add_row  \side, r10, r11
    adds     r0, #\side
    .endr
    adds     r0, #(\side * (\side - 3)) & 0xff
    cmp      r1, r12
    bne      1b
    mov      r0, lr
    mov      r4, r8
    mov      r5, r9
    mov      r6, r10
    mov      r7, r11
    stm      r0!, {{r4-r7}}
    pop      {{r4-r7}}
    mov      r8, r4
    mov      r9, r5
    mov      r10, r6
    mov      r11, r7
    pop      {{r4-r7, pc}}
.size \name, . - \name
.endm

@ conv1 has one input channel: where the next one would begin does not matter, nor that 28 * 25 is more than an ADDS takes.
    window   int8_conv1_window, 28
    window   int8_conv2_window, 13
