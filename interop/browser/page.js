// The telephone in the page: JsSIP, and what the tests look at. It is bundled by driver.mjs.
import JsSIP from 'jssip';

const events = [];
let ua, session, audio, wrong;
let heard = [];
let taps = []; // what listens to the call before

const tell = (type, more = {}) => {
  const event = { type, ...more };
  events.push(event);
  window.told(JSON.stringify(event));
};

// The samples are taken on the thread that makes them: a page that is slow must not lose any.
const tapper = `registerProcessor('tapper', class extends AudioWorkletProcessor {
  process([input]) { if (input[0]) this.port.postMessage(input[0].slice()); return true; }
});`;

// listen keeps the samples of what is heard, and shows the pictures.
function listen(connection) {
  connection.addEventListener('track', (e) => {
    const stream = new MediaStream([e.track]);
    const element = document.createElement(e.track.kind);
    element.srcObject = stream;
    element.autoplay = true;
    document.body.append(element);
    element.play().catch(() => {});
    if (e.track.kind !== 'audio') return;
    const source = audio.createMediaStreamSource(stream);
    const tap = new AudioWorkletNode(audio, 'tapper', { numberOfInputs: 1, numberOfOutputs: 0 });
    tap.port.onmessage = ({ data }) => heard.push(Int16Array.from(data, (s) => Math.max(-32768, Math.min(32767, Math.round(s * 32768)))));
    source.connect(tap);
    taps.push(() => { source.disconnect(); tap.port.onmessage = null; element.remove(); });
  });
}

function follow(next) {
  session = next;
  for (const end of taps) end();
  taps = [];
  heard = [];
  next.on('peerconnection', (e) => listen(e.peerconnection));
  if (next.connection) listen(next.connection);
  next.on('sdp', (e) => {
    if (e.originator === 'local' && wrong) {
      e.sdp = e.sdp.replace(/a=fingerprint:sha-256 (..):(..)/g, (line, a, b) => `a=fingerprint:sha-256 ${b}:${a}`);
    }
    tell('sdp', { originator: e.originator, kind: e.type, sdp: e.sdp });
  });
  next.on('progress', () => tell('progress'));
  next.on('accepted', () => tell('accepted'));
  next.on('confirmed', () => tell('confirmed'));
  next.on('ended', (e) => tell('ended', { cause: e.cause, originator: e.originator }));
  next.on('failed', (e) => tell('failed', { cause: e.cause, status: e.message?.status_code }));
  next.on('hold', (e) => tell('hold', { originator: e.originator }));
  next.on('unhold', (e) => tell('unhold', { originator: e.originator }));
  next.on('newDTMF', (e) => tell('key', { originator: e.originator, key: e.dtmf.tone }));
  next.on('getusermediafailed', (e) => tell('broken', { what: String(e) }));
  next.on('peerconnection:setremotedescriptionfailed', (e) => tell('broken', { what: String(e) }));
  next.on('peerconnection:setlocaldescriptionfailed', (e) => tell('broken', { what: String(e) }));
  next.on('peerconnection:createofferfailed', (e) => tell('broken', { what: String(e) }));
}

const constraints = (video) => ({ audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false }, video: !!video });
const options = (video) => ({ mediaConstraints: constraints(video), pcConfig: { iceServers: [] } });

window.phone = {
  async register({ ws, uri, password }) {
    audio = new AudioContext({ sampleRate: 48000 });
    await audio.audioWorklet.addModule(URL.createObjectURL(new Blob([tapper], { type: 'text/javascript' })));
    ua = new JsSIP.UA({ sockets: [new JsSIP.WebSocketInterface(ws)], uri, password, register: true, user_agent: 'JsSIP in Chromium' });
    ua.on('registered', () => tell('registered'));
    ua.on('registrationFailed', (e) => tell('failed', { cause: e.cause }));
    ua.on('newRTCSession', (e) => {
      follow(e.session);
      if (e.originator !== 'remote') return;
      tell('incoming');
      const video = e.request.body.includes('m=video');
      e.session.answer(options(video));
    });
    ua.start();
  },
  call({ uri, video, fingerprint }) {
    wrong = fingerprint === 'wrong';
    ua.call(uri, options(video));
  },
  hangup() { session.terminate(); },
  hold() { return session.hold(); },
  unhold() { return session.unhold(); },
  press({ key, by }) { session.sendDTMF(key, { transportType: by === 'info' ? 'INFO' : 'RFC2833' }); },
  restart() { return session.renegotiate({ rtcOfferConstraints: { iceRestart: true } }); },
  // what was heard so far, 48 kHz, as base64 of 16-bit samples
  heard() {
    let text = '';
    for (const block of heard) {
      const bytes = new Uint8Array(block.buffer);
      for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
    }
    return btoa(text);
  },
  async stats() {
    const report = { inbound: {}, outbound: {}, remote: {}, transports: [], pair: {} };
    for (const s of (await session.connection.getStats()).values()) {
      switch (s.type) {
        case 'inbound-rtp': report.inbound[s.kind] = s; break;
        case 'outbound-rtp': report.outbound[s.kind] = s; break;
        case 'remote-inbound-rtp': report.remote[s.kind] = s; break;
        case 'transport': report.transports.push(s); break;
        case 'candidate-pair': if (s.nominated) report.pair = s; break;
      }
    }
    return report;
  },
};
