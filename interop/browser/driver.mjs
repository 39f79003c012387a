// Drives one Chromium with one page. Commands come as lines of JSON on standard input, {id, call, with}; results and what
// the page tells go out as lines on standard output.
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import { build } from 'esbuild';
import { chromium } from 'playwright-core';

const [executablePath, voice] = process.argv.slice(2);
const say = (message) => process.stdout.write(JSON.stringify(message) + '\n');

const bundle = await build({ entryPoints: ['page.js'], bundle: true, write: false, format: 'iife', logLevel: 'silent' });
const page = '<!doctype html><meta charset="utf-8"><title>telephone</title><script src="/page.js"></script>';
const server = createServer((request, response) => {
  const script = request.url === '/page.js';
  response.setHeader('Content-Type', script ? 'text/javascript' : 'text/html');
  response.end(script ? bundle.outputFiles[0].text : page);
});
await new Promise((done) => server.listen(0, '127.0.0.1', done));

const browser = await chromium.launch({
  executablePath, headless: true,
  args: ['--no-sandbox', '--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream',
    `--use-file-for-fake-audio-capture=${voice}`, '--autoplay-policy=no-user-gesture-required',
    '--allow-loopback-in-peer-connection', '--disable-dev-shm-usage'],
});
const context = await browser.newContext({ permissions: ['microphone', 'camera'] });
const tab = await context.newPage();
await tab.exposeFunction('told', (text) => say({ event: JSON.parse(text) }));
tab.on('pageerror', (e) => say({ log: String(e) }));
tab.on('console', (m) => m.type() === 'error' && say({ log: m.text() }));
await tab.goto(`http://127.0.0.1:${server.address().port}/`);
say({ event: { type: 'ready', version: browser.version() } });

for await (const line of createInterface({ input: process.stdin })) {
  const { id, call, with: argument } = JSON.parse(line);
  if (call === 'crash') {
    // Nothing is said any more, neither by signalling nor by media: as when a machine is switched off.
    (await browser.newBrowserCDPSession()).send('Browser.crash').catch(() => {});
    say({ id, result: null });
    continue;
  }
  try {
    const result = await tab.evaluate(([name, value]) => window.phone[name](value), [call, argument]);
    say({ id, result: result ?? null });
  } catch (e) {
    say({ id, error: String(e) });
  }
}
await browser.close();
process.exit(0);
