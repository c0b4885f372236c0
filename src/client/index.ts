// The package's entry point for applications: connect, the client's classes, and the types of its calls.
// Nothing of the engine is reachable from here: what is exported is a contract, what is not may change.
// Importing it must not load the server's modules.

export { KvorumError, type ErrorCode, type KvorumErrorOptions, type Outcome } from '../base/errors.js';
export { KvorumClient } from './client.js';
export { connect } from './connect.js';
export { Entry } from './entry.js';
export { ConflictError } from './errors.js';
export type { ClientLimits } from './engine/limits.js';
export type {
  CallOptions,
  ClusterStatus,
  ConnectOptions,
  ConsistencyLevel,
  CountOptions,
  DeleteOptions,
  DeleteResult,
  NodeReport,
  PutOptions,
  PutResult,
  RangeOptions,
  RangeSelection,
  ReadOptions,
} from './options.js';
export type { EntryRange } from './range.js';
