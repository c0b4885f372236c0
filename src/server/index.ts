// Entry point `kvorum/server`: a node inside your own process.

export { loadClusterFile, parseClusterConfig, type ClusterConfig } from './config/cluster-file.js';
export { defaultNodeConfig, type NodeConfig } from './config/node-config.js';
export { startServer, type RunningServer, type ServerOptions } from './server.js';
export type { LogLevel } from './operate/logger.js';
export { KvorumError, errorCodes, type ErrorCode, type Outcome } from '../base/errors.js';
