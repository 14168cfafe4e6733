// Keeps the page for when there is no network. What the network has comes first, so that nothing stays old.

const CACHE = 'page';
const FILES = ['./', 'index.html', 'page.css', 'main.js', 'load.js', 'network.js', 'explain.js', 'detail.js', 'paint.js', 'maps.js',
  'pad.js', 'picture.js', 'train.js', 'lesson.js', 'board.js', 'live.js', 'curves.js', 'worker.js', 'known.json', 'cnn.wasm', 'mnist.cnnm'];

addEventListener('install', (event) => event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(FILES))));
addEventListener('fetch', (event) => event.respondWith(fetch(event.request).then(async (response) => {
  if (response.ok && event.request.method === 'GET') await (await caches.open(CACHE)).put(event.request, response.clone());
  return response;
}, async () => await caches.match(event.request) ?? Response.error())));
