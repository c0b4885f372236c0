// Placeholder.
import type { ChaosEvidence } from './run.js';
import type { Verdict } from './verdict.js';
export function renderReport(evidence: ChaosEvidence, verdict: Verdict): string {
  return JSON.stringify([evidence.loadToNs, verdict]);
}
