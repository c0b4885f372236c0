// The package's entry point for tests, `kvorum/testing`: a cluster inside a test, the simulator, and the
// checkers for histories of one's own systems. Importing it must load neither sockets, nor LevelDB, nor the
// server's logger: tests stay light, and run where native modules do not.

export type { KvorumClient } from '../client/client.js';
export { testCluster, type TestCluster } from './test-cluster.js';
export type { TestClientOptions, TestClusterOptions, WaitOptions } from './test-cluster-arguments.js';
export type { NodeView } from './test-cluster-check.js';

export { planOf, type Plan, type PlanOptions } from './plan.js';
export { readPlan, writePlan } from './plan-file.js';
export { runSimulation, type SimulationOptions, type SimulationResult } from './simulator.js';
export type { InvariantId, Violation } from './checkers/violations.js';
export { shrinkPlan, type ShrinkOptions, type ShrinkProgress, type ShrinkResult } from './shrink.js';

export {
  formatHistory,
  parseHistory,
  type HistoryKind,
  type HistoryOperation,
  type HistoryOutcome,
  type HistoryStatus,
} from './history-file.js';
export {
  checkLinearizability,
  type LinearizabilityResult,
  type SearchLimits,
} from './checkers/linearizability.js';
export { checkByRevisions } from './checkers/revisions.js';
export { checkExactlyOnce } from './checkers/exactly-once.js';
export { checkDurability, type FinalState } from './checkers/durability.js';
export type { Finding } from './checkers/findings.js';
