@ Five outputs of fc1. SMLAD adds the products of two pairs of 16-bit numbers; a word of four weights becomes the pair of its
@ even and that of its odd bytes.

.syntax unified
.thumb

@ Adds the products of eight inputs (r9 to r12) with one output's weights in r0 and r3.
.macro add_eight sum
    sxtb16   lr, r0
    smlad    \sum, r9, lr, \sum
    sxtb16   lr, r0, ror #8
    smlad    \sum, r10, lr, \sum
    sxtb16   lr, r3
    smlad    \sum, r11, lr, \sum
    sxtb16   lr, r3, ror #8
    smlad    \sum, r12, lr, \sum
.endm

@ The weights of an output within reach of LDRD, and of one beyond.
.macro add_near sum, offset
    ldrd     r0, r3, [r2, #\offset]
    add_eight \sum
.endm
.macro add_far sum, offset
    ldr      r0, [r2, #\offset]
    ldr      r3, [r2, #\offset + 4]
    add_eight \sum
.endm

@ void int8_fc1(int32_t sums[5], const uint16_t inputs[800], const int8_t weights[5][800])
@
@ Adds to the sums. Of each four inputs the even two come first, then the odd ones.
.section .text.int8_fc1, "ax", %progbits
.global int8_fc1
.type int8_fc1, %function
.balign 8
.thumb_func
int8_fc1:
    push     {{r4-r11, lr}}
    vmov     s0, r0
    add      r3, r1, #1600
    vmov     s1, r3
    ldm      r0, {{r4-r8}}
    add      r2, r2, #800             @ The second output's: LDRD reaches the first and the third too.
1:
    .irp     offset, 0, 8, 16, 24, 32
    ldm      r1!, {{r9-r12}}
    add_near r4, \offset - 800
    add_near r5, \offset
    add_near r6, \offset + 800
    add_far  r7, \offset + 1600
    add_far  r8, \offset + 2400
    .endr
    add      r2, r2, #40
    vmov     r0, s1
    cmp      r1, r0
    bne.w    1b
    vmov     r0, s0
    stm      r0, {{r4-r8}}
    pop      {{r4-r11, pc}}
.size int8_fc1, . - int8_fc1
