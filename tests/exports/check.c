/* An exported model against the logits that the host computes: 0 if every bit is equal. With -DEXPECT=N the self-test must
 * answer N, and nothing more is asked of it. */
#include "cnn.h"
#include "vectors.h"

#ifdef FLUSH
#include <xmmintrin.h>
#endif

#ifndef EXPECT
#define EXPECT CNN_OK
#endif

int other_unit(const uint8_t *pixels);

#ifdef CNN_INT8
typedef int32_t cnn_logit;
static uint32_t bits_of(cnn_logit value) {
    return (uint32_t)value;
}
#else
typedef float cnn_logit;
static uint32_t bits_of(cnn_logit value) {
    union {
        float value;
        uint32_t bits;
    } either;
    either.value = value;
    return either.bits;
}
#endif

static int differ(void) {
    static cnn_memory memory;
    int differences = 0;
    for (int image = 0; image < IMAGES; image++) {
        cnn_logit logits[CNN_CLASSES];
        cnn_logits(images[image], &memory, logits);
        for (int class_ = 0; class_ < CNN_CLASSES; class_++) {
            differences += bits_of(logits[class_]) != expected[image][class_];
        }
        differences += cnn_classify(images[image]) != cnn_predict(logits);
#ifdef OTHER_UNIT
        differences += other_unit(images[image]) != cnn_predict(logits);
#endif
    }
    return differences;
}

int main(void) {
#ifdef FLUSH
    _mm_setcsr(_mm_getcsr() | 0x8040);
#endif
    int found = cnn_self_test();
    if (found != EXPECT) {
        return 100 + found;
    }
    return EXPECT == CNN_OK && differ() != 0;
}
