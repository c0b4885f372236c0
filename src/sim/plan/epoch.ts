// When virtual time begins by the wall: a plan gives each machine's clock an offset from there.

/** Unix milliseconds; a moment in 2023, so that times look like times. */
export const wallStartMs = 1_700_000_000_000;
