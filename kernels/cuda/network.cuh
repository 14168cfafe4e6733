// The network's shapes and the places of its tensors in the flat array of parameters: cnn-core's `network`.
#pragma once

namespace network {

constexpr int IMAGE_SIDE = 28;
constexpr int IMAGE_PIXELS = IMAGE_SIDE * IMAGE_SIDE;
constexpr int CONV1_CHANNELS = 16;
constexpr int POOL1_SIDE = 13;
constexpr int POOL1_LEN = CONV1_CHANNELS * POOL1_SIDE * POOL1_SIDE;
constexpr int CONV2_CHANNELS = 32;
constexpr int POOL2_SIDE = 5;
constexpr int POOL2_AREA = POOL2_SIDE * POOL2_SIDE;
constexpr int POOL2_LEN = CONV2_CHANNELS * POOL2_AREA;
constexpr int HIDDEN = 120;
constexpr int CLASSES = 10;
constexpr int KERNEL_LEN = 9;

constexpr int CONV1_WEIGHT = 0;
constexpr int CONV1_BIAS = CONV1_WEIGHT + CONV1_CHANNELS * KERNEL_LEN;
constexpr int CONV2_WEIGHT = CONV1_BIAS + CONV1_CHANNELS;
constexpr int CONV2_BIAS = CONV2_WEIGHT + CONV2_CHANNELS * CONV1_CHANNELS * KERNEL_LEN;
constexpr int FC1_WEIGHT = CONV2_BIAS + CONV2_CHANNELS;
constexpr int FC1_BIAS = FC1_WEIGHT + HIDDEN * POOL2_LEN;
constexpr int FC2_WEIGHT = FC1_BIAS + HIDDEN;
constexpr int FC2_BIAS = FC2_WEIGHT + CLASSES * HIDDEN;
static_assert(FC2_BIAS + CLASSES == 102130, "the number of parameters");

// The convolutions' parameters stand first.
constexpr int CONV_LEN = FC1_WEIGHT;

}  // namespace network
