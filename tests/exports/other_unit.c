/* A second file that includes the header, twice, and calls it. */
#include "cnn.h"
#include "cnn.h"

int other_unit(const uint8_t *pixels);

int other_unit(const uint8_t *pixels) {
    return cnn_classify(pixels);
}
