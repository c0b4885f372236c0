// The clocks and timers of the platform, taken when the package is loaded: fake ones, which a test installs
// later, must not stop a client whose cluster goes on in real time.

const { setTimeout, clearTimeout, setImmediate, performance, Date } = globalThis;

export const platform = {
  setTimeout,
  clearTimeout,
  setImmediate,
  nowMs: performance.now.bind(performance),
  wallMs: Date.now.bind(Date),
} as const;
