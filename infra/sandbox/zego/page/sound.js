// The stream's audio: fetched in small pieces, measured for the face and the meter, and played when asked for.

const DELAY = 0.5; // Seconds behind the present: room for a late answer.
const MOST_BEHIND = 2.5;
const FETCH_EVERY = 120; // Milliseconds.
const LEVEL_SAMPLES = 320; // 20 ms at 16 kHz.
const KEPT_LEVELS = 500;

export class Sound {
  constructor(address) {
    this.address = address;
    this.rate = 16000;
    this.next = null; // The sample to be fetched next.
    this.origin = null; // Where sample 0 lies on the page's clock, in seconds, delay included.
    this.levels = new Map();
    this.sum = 0;
    this.count = 0;
    this.context = null;
    this.buffers = 0; // How many pieces were handed to the loudspeaker.
  }

  /** Fetch for ever; `told` hears whether the sandbox answered. */
  async run(goesOn, told) {
    while (goesOn()) {
      try {
        await this.fetch();
        told(true);
      } catch {
        told(false);
        this.forget();
      }
      await new Promise((done) => setTimeout(done, FETCH_EVERY));
    }
  }

  async fetch() {
    const after = this.next === null ? "" : `?after=${this.next}`;
    const answer = await fetch(`${this.address}/audio${after}`, { cache: "no-store" });
    if (!answer.ok) throw new Error(`audio: ${answer.status}`);
    const pcm = new Int16Array(await answer.arrayBuffer());
    const begin = Number(answer.headers.get("X-Sample"));
    this.rate = Number(answer.headers.get("X-Rate"));
    if (this.next !== null && begin !== this.next) this.forget();
    this.next = begin + pcm.length;
    const behind = now() - this.next / this.rate;
    if (this.origin === null || this.origin - behind < 0 || this.origin - behind > MOST_BEHIND) {
      this.origin = behind + DELAY;
      if (this.context) this.aim();
    }
    this.measure(begin, pcm);
    this.schedule(begin, pcm);
  }

  /** Start anew, as after a restart of the sandbox. */
  forget() {
    this.next = this.origin = null;
    this.levels.clear();
    this.sum = this.count = 0;
  }

  /** Seconds of the stream that are shown and heard now. */
  position() {
    return this.origin === null ? 0 : now() - this.origin;
  }

  /** Loudness at this moment, 0 to 1. */
  level() {
    return this.levels.get(Math.floor((this.position() * this.rate) / LEVEL_SAMPLES)) ?? 0;
  }

  measure(begin, pcm) {
    pcm.forEach((value, place) => {
      this.sum += value * value;
      this.count += 1;
      if ((begin + place + 1) % LEVEL_SAMPLES) return;
      const loudness = Math.sqrt(this.sum / this.count) / 32768;
      this.levels.set((begin + place + 1) / LEVEL_SAMPLES - 1, Math.min(1, Math.sqrt(loudness * 4)));
      this.sum = this.count = 0;
    });
    for (const place of this.levels.keys()) {
      if (this.levels.size <= KEPT_LEVELS) break;
      this.levels.delete(place);
    }
  }

  // Hearing

  get isHeard() {
    return this.context !== null;
  }

  /** Browsers allow this only after a click. */
  async listen() {
    // At the rate of the audio, so that one piece follows the other without a seam.
    this.context = new AudioContext({ sampleRate: this.rate });
    await this.context.resume();
    this.aim();
  }

  async mute() {
    const context = this.context;
    this.context = null;
    await context.close();
  }

  aim() {
    this.start = this.context.currentTime - this.position();
  }

  schedule(begin, pcm) {
    if (!this.context || !pcm.length) return;
    const at = this.start + begin / this.rate;
    if (at < this.context.currentTime) return;
    const buffer = this.context.createBuffer(1, pcm.length, this.rate);
    buffer.copyToChannel(Float32Array.from(pcm, (value) => value / 32768), 0);
    const source = this.context.createBufferSource();
    source.buffer = buffer;
    source.connect(this.context.destination);
    source.start(at);
    this.buffers += 1;
  }
}

function now() {
  return performance.now() / 1000;
}
