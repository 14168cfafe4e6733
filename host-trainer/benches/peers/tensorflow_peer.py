"""TensorFlow: a whole epoch as one graph, with and without XLA; pooling before ReLU, channels last, as its kernels like it."""

import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
import tensorflow as tf

from data import read_splits
from peer import BATCH, DECAY, MOMENTUM, RATE, run

data, _, threads = sys.argv[1:]
tf.config.threading.set_intra_op_parallelism_threads(int(threads))
tf.config.threading.set_inter_op_parallelism_threads(1)
SPLITS = [(tf.constant(images.transpose(0, 2, 3, 1)), tf.constant(labels)) for images, labels in read_splits(data)]
SHAPES = [(3, 3, 1, 16), (16,), (3, 3, 16, 32), (32,), (800, 120), (120,), (120, 10), (10,)]


def parameters():
    random = np.random.default_rng(0)
    return [tf.Variable(random.uniform(-0.05, 0.05, shape).astype(np.float32)) for shape in SHAPES]


def forward(values, images):
    conv1, bias1, conv2, bias2, fc1, bias3, fc2, bias4 = values
    for weight, bias in ((conv1, bias1), (conv2, bias2)):
        images = tf.nn.max_pool2d(tf.nn.conv2d(images, weight, 1, "VALID"), 2, 2, "VALID")
        images = tf.nn.relu(tf.nn.bias_add(images, bias))
    hidden = tf.nn.relu(tf.matmul(tf.reshape(images, [-1, 800]), fc1) + bias3)
    return tf.matmul(hidden, fc2) + bias4


def training(xla):
    def make():
        values = parameters()
        momenta = [tf.Variable(tf.zeros_like(value)) for value in values]
        images, labels = SPLITS[0]

        @tf.function(jit_compile=xla)
        def step(batch):
            with tf.GradientTape() as tape:
                logits = forward(values, tf.gather(images, batch))
                losses = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.gather(labels, batch), logits)
                loss = tf.reduce_mean(losses)
            for value, momentum, gradient in zip(values, momenta, tape.gradient(loss, values)):
                momentum.assign(MOMENTUM * momentum + gradient + DECAY * value)
                value.assign_sub(RATE * momentum)

        @tf.function
        def epoch():
            order = tf.random.shuffle(tf.range(len(images)))
            for start in tf.range(0, len(images), BATCH):
                step(tf.ensure_shape(order[start : start + BATCH], [BATCH]))

        return epoch

    return make


def evaluation(xla, length):
    def make():
        values = parameters()

        @tf.function(jit_compile=xla)
        def measure(images, labels):
            logits = forward(values, images)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
            return tf.reduce_sum(losses), tf.reduce_sum(tf.cast(tf.argmax(logits, 1) == labels, tf.int32))

        @tf.function
        def split(images, labels):
            loss, correct = 0.0, 0
            for start in tf.range(0, len(images), length):
                part = images[start : start + length], labels[start : start + length]
                one = measure(tf.ensure_shape(part[0], [length, 28, 28, 1]), tf.ensure_shape(part[1], [length]))
                loss, correct = loss + one[0], correct + one[1]
            return loss, correct

        return lambda: [split(*both) for both in SPLITS]

    return make


KINDS = {"graph": False, "XLA": True}
run(
    f"TensorFlow {tf.__version__}",
    {kind: training(xla) for kind, xla in KINDS.items()},
    {f"{kind}, batch {n}": evaluation(xla, n) for kind, xla in KINDS.items() for n in (100, 200, 1000)},
)
