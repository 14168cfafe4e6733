// The page's WebAssembly, bit for bit, wherever JavaScript runs: 10,000 logits of the built-in digits, and of MNIST where
// it is there; training on the first of the built-in digits; with `wholeEpoch` the first epoch of the committed run on MNIST.

// `read` gives a file of the project or of MNIST as bytes, `expected` what is known, `print` takes lines. Returns whether
// everything was equal.
export async function compareBits({ Network, module, read, mnist, wholeEpoch, print }) {
  const json = async (path) => JSON.parse(new TextDecoder().decode(await read(path)));
  const sha256 = async (bytes) => Array.from(new Uint8Array(await crypto.subtle.digest('SHA-256', bytes)), (byte) => byte.toString(16).padStart(2, '0')).join('');
  let all = true;
  const compare = (what, found, wanted) => {
    all &&= found === wanted;
    print(`${what}: ${found === wanted ? 'equal' : `${found}, expected ${wanted}`}`);
  };
  const expected = await json('web/check/expected.json'), record = await json('firmware/model/run.json');
  const network = await Network.open(module);
  const logits = (digits) => {
    network.give(digits);
    network.exports.logits_of_all();
    return sha256(network.output().slice());
  };
  const begin = (name, { epochs, batch_size, learning_rate, momentum, weight_decay, seed, shuffle }) => {
    network.give(new TextEncoder().encode(`${name}\nconstant\nconv1,conv2,fc1,fc2`));
    return network.ask('begin', epochs, batch_size, learning_rate, momentum, weight_decay, BigInt(seed), Number(shuffle)).split('\n');
  };

  network.loadModel(await read('firmware/model/mnist.cnnm'));
  const digits = new Uint8Array(10000 * 784);
  for (let i = 0; i < 10000; i++) {
    network.exports.sample(i);
    digits.set(network.pixels, 784 * i);
  }
  compare('10,000 logits of the built-in digits', await logits(digits), expected.synthetic_logits);

  const { train, test, epochs: fingerprints } = expected.synthetic_training;
  network.exports.draw(0, train);
  network.exports.draw(1, test);
  begin('digits', { ...record.settings, learning_rate: 0.03 });
  for (const fingerprint of fingerprints) {
    network.ask('train', train);
    compare(`${train} built-in digits, an epoch`, network.ask('finish_epoch'), fingerprint);
  }
  if (!mnist) return all;

  compare('10,000 logits of MNIST', await logits((await read('t10k-images-idx3-ubyte')).subarray(16)), expected.mnist_logits);
  if (!wholeEpoch) return all;
  network.exports.forget();
  for (const [split, name] of [[0, 'train'], [1, 't10k']]) {
    for (const kind of ['images-idx3-ubyte', 'labels-idx1-ubyte']) {
      network.give(await read(`${name}-${kind}`));
      network.ask('take', split);
    }
  }
  const begun = begin('files', record.settings);
  compare('the data set', begun.slice(0, 2).join(' '), `${record.dataset.name} ${record.dataset.sha256}`);
  compare('the initial parameters', begun[4], record.initial_fingerprint);
  let start = performance.now();
  network.ask('train', 600);
  const training = performance.now() - start;
  start = performance.now();
  const fingerprint = network.ask('finish_epoch'), evaluation = performance.now() - start;
  const [first] = record.epochs;
  compare('an epoch of training on MNIST', fingerprint, first.fingerprint);
  const numbers = new Float64Array(network.exports.memory.buffer, network.exports.numbers(), 6);
  compare('its losses', `${numbers[0]} ${numbers[3]}`, `${first.train_loss} ${first.test_loss}`);
  print(`${(training / 1000).toFixed(2)} s of training, ${(evaluation / 1000).toFixed(2)} s of evaluation`);
  return all;
}
