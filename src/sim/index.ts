// The package's entry point for tests, `kvorum/testing`: a cluster inside a test, the simulator, and the
// checkers for histories of one's own systems. Importing it must load neither sockets, nor LevelDB, nor the
// server's logger: tests stay light, and run where native modules do not.

export type { KvorumClient } from '../client/client.js';
export { testCluster, type TestCluster } from './testing/test-cluster.js';
export type { TestClientOptions, TestClusterOptions, WaitOptions } from './testing/arguments.js';
export type { NodeView } from './testing/check.js';

export { planOf, type PlanOptions } from './plan/draw.js';
export type { Plan } from './plan/plan.js';
export { readPlan, writePlan } from './plan/file.js';
export { runSimulation, type SimulationOptions, type SimulationResult } from './run/simulator.js';
export type { InvariantId, Violation } from './checkers/violations.js';
export { shrinkPlan, type ShrinkOptions, type ShrinkProgress, type ShrinkResult } from './run/shrink.js';

export {
  formatHistory,
  parseHistory,
  type HistoryKind,
  type HistoryOperation,
  type HistoryOutcome,
  type HistoryStatus,
} from './history/file.js';
export {
  checkLinearizability,
  type LinearizabilityResult,
  type SearchLimits,
} from './checkers/clients/linearizability.js';
export { checkByRevisions } from './checkers/clients/revisions.js';
export { checkExactlyOnce } from './checkers/clients/exactly-once.js';
export { checkDurability, type FinalState } from './checkers/raft/durability.js';
export type { Finding } from './checkers/findings.js';
