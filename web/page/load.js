// What is needed first, on its own: the module is compiled while the rest of the page is on its way.

async function file(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: ${response.status}`);
  return response;
}

// The compiled cnn.wasm and the model file's bytes.
export const files = Promise.all([
  WebAssembly.compileStreaming(file('cnn.wasm')),
  file('mnist.cnnm').then(async (it) => new Uint8Array(await it.arrayBuffer())),
]);
// The runs whose fingerprints are known.
export const known = file('known.json').then((it) => it.json());
