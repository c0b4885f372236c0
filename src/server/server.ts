// The outer shell of a node in a process: lock the data folder, open store and sockets, run a `ServerNode`,
// close everything in order. Promises end here.

import type { Disk, Report } from '../base/env.js';
import { KvorumError } from '../base/errors.js';
import { thisSoftware } from '../kv/format-level.js';
import { lockDataFolder, type FolderLock } from '../storage/folder/folder-lock.js';
import { makePrivateFolder } from '../storage/folder/modes.js';
import { LevelStores } from '../storage/level/stores.js';
import { Descriptors, spareDescriptors } from '../storage/disk/descriptors.js';
import { NodeDisk } from '../storage/disk/node-disk.js';
import type { TransportLimits } from '../transport/limits.js';
import { WebSocketNetwork } from '../transport/websocket-network.js';
import type { Member } from '../wire/clients/answers.js';
import type { NodeStatus } from '../wire/clients/status.js';
import { isNodeId, nodeIdRule } from '../wire/node-id.js';
import { addressFault, splitAddress } from './config/address.js';
import type { ClusterConfig } from './config/cluster-file.js';
import { changedSettings, type NodeConfig } from './config/node-config.js';
import type { NodeEvent } from './events.js';
import { EventCounts } from './operate/event-counts.js';
import { ClusterView } from './life/cluster-view.js';
import { streamTopics } from './front/topics.js';
import { createRoutes } from './operate/http.js';
import { listenOnceKnown } from './listening.js';
import type { LogLevel } from './operate/logger.js';
import { Metrics } from './operate/metrics.js';
import { NodeLog } from './operate/node-log.js';
import { ServerNode } from './node.js';
import { systemClock, systemEntropy, systemTimers } from './platform.js';
import { planDescriptors, type DescriptorPlan } from './space/descriptor-plan.js';
import { openFilesOfProcess } from './space/open-files.js';
import { packageVersion } from './version.js';

export interface ServerOptions {
  readonly nodeId: string;
  readonly cluster: ClusterConfig;
  readonly dataDirectory: string;
  /** Where the node binds, host:port. Default: what the cluster file says, else the member's address. */
  readonly listen?: string;
  /** Default `info`. */
  readonly logLevel?: LogLevel;
  /** What stands between the node and its disk; the disk itself when absent. Not under the store. */
  readonly wrapDisk?: (disk: Disk) => Disk;
}

export interface RunningServer {
  /** host:port of peers, clients and HTTP, as others are told. */
  readonly address: string;
  /** Where it is bound. */
  readonly listen: string;
  /** Resolves when the node has ended: `undefined` after `stop`, otherwise what ended it. Never rejects. */
  readonly stopped: Promise<Error | undefined>;
  /** Hands leadership over, writes what was applied and closes. Idempotent. */
  stop(): Promise<void>;
  status(): NodeStatus;
  /**
   * Takes the addresses of members from a cluster file that is read again; the rest of it waits for the next
   * start, which an event says. Never throws: a file that cannot be taken changes nothing, which an event
   * says too.
   */
  reload(read: () => ClusterConfig): void;
}

/** When it is said that the end of a node waits for its disk. */
const slowDiskMs = 5_000;

/**
 * Starts one node and resolves once it listens; forming the cluster and electing a leader go on from there.
 * Rejects with `CONFIG` (unknown node id, port in use, too few descriptors), `IDENTITY` (folder of another
 * node, or in use), `CORRUPT` or `DISK`.
 */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const { address } = findMember(options);
  const listen = listenOf(options, address);
  const log = new NodeLog(options.logLevel ?? 'info', options.nodeId);
  try {
    const plan = planOf(options.cluster, log.report);
    makePrivateFolder(options.dataDirectory, log.report);
    return await startInFolder(options, { address, listen }, plan, log);
  } catch (error) {
    await log.end();
    throw error;
  }
}

/** How the descriptors of this process are divided; says so. Throws `CONFIG`. */
function planOf({ members, node }: ClusterConfig, report: Report<NodeEvent>): DescriptorPlan {
  const openFiles = openFilesOfProcess();
  const plan = planDescriptors({
    openFiles,
    otherMembers: members.length - 1,
    clientsMax: node.limits.clientsMax,
  });
  const { clientsMax, strangersMax, reserved } = plan;
  const { limit, source: limitFrom } = openFiles;
  const isWhole = clientsMax === node.limits.clientsMax;
  report({ kind: 'descriptorsPlanned', clientsMax, isWhole, strangersMax, reserved, limit, limitFrom });
  return plan;
}

async function startInFolder(
  options: ServerOptions,
  { address, listen }: { readonly address: string; readonly listen: string },
  plan: DescriptorPlan,
  log: NodeLog,
): Promise<RunningServer> {
  const { nodeId, dataDirectory, wrapDisk = (own) => own } = options;
  const { members, node: config } = options.cluster;
  const view = new ClusterView(nodeId, members);
  const events = new EventCounts();
  // Of what is around the node, which counts its own.
  const report: Report<NodeEvent> = (event) => {
    events.count(event);
    log.report(event);
  };
  let shed = (): void => undefined;
  const folder = await openFolder(dataDirectory, plan, report, () => shed());
  const limits = transportLimits(plan, config);
  const network = new WebSocketNetwork({ ...splitAddress(listen), report, routes: () => routes, limits });
  shed = () => network.shed();
  let resolveStopped: (error: Error | undefined) => void = () => undefined;
  const ended = new Promise<Error | undefined>((resolve) => (resolveStopped = resolve));
  const node = new ServerNode({
    env: {
      clock: systemClock,
      timers: systemTimers,
      entropy: systemEntropy,
      disk: wrapDisk(folder.disk),
      network,
      report: log.report,
    },
    events,
    software: thisSoftware,
    nodeId,
    view,
    config,
    stores: folder.stores,
    topics: streamTopics,
    version: packageVersion,
    pid: process.pid,
    onStopped: (error) => resolveStopped(error),
  });
  const metrics = metricsOf(node, log);
  const routes = createRoutes(node, metrics);
  const close = (): Promise<Error | undefined> => closeAll(metrics, network, folder, report);
  network.setHandler(node.handler);
  try {
    await listenOnceKnown(() => network.listen(), listen, report);
  } catch (error) {
    const closeError = await close();
    if (closeError !== undefined) report({ kind: 'folderNotClosed', error: closeError.message });
    throw error;
  }
  node.start();
  const stopped = ended.then((error) => afterClose(error, close, log));
  report({ kind: 'nodeStarted', address, listen, dataDirectory });
  return {
    address,
    listen,
    stopped,
    stop: async () => {
      node.stop(() => undefined);
      await stopped;
    },
    status: () => node.status(),
    reload: (read) => reload({ ...options, listen }, node, read, report),
  };
}

function metricsOf(node: ServerNode, log: NodeLog): Metrics {
  return new Metrics({
    node,
    clock: systemClock,
    timers: systemTimers,
    version: packageVersion,
    lostLogLines: () => log.lostLines,
  });
}

/** What ended the node, once all is closed and its log was written. */
async function afterClose(
  error: Error | undefined,
  close: () => Promise<Error | undefined>,
  log: NodeLog,
): Promise<Error | undefined> {
  const closeError = await close();
  await log.end();
  return error ?? closeError;
}

/** Resolves with what went wrong, if anything did. */
async function closeAll(
  metrics: Metrics,
  network: WebSocketNetwork,
  folder: Folder,
  report: Report<NodeEvent>,
): Promise<Error | undefined> {
  metrics.stop();
  try {
    await network.stop();
    await giveUpFolder(folder, report);
    return undefined;
  } catch (error) {
    return error as Error;
  }
}

function transportLimits(plan: DescriptorPlan, { limits }: NodeConfig): Partial<TransportLimits> {
  const { clientsMax, membersMax, strangersMax } = plan;
  const addressClientsMax = Math.max(1, Math.floor((clientsMax * limits.addressClientsPercent) / 100));
  return { clientsMax, addressClientsMax, membersMax, strangersMax };
}

interface Folder {
  readonly lock: FolderLock;
  readonly disk: NodeDisk;
  readonly stores: LevelStores;
}

/** `shed`: gives up descriptors of connections, for those that the folder needs. */
async function openFolder(
  dataDirectory: string,
  plan: DescriptorPlan,
  report: Report<NodeEvent>,
  shed: () => void,
): Promise<Folder> {
  const descriptors = new Descriptors({ report, spares: spareDescriptors, shed });
  try {
    const lock = await lockDataFolder(dataDirectory, descriptors);
    const disk = new NodeDisk(dataDirectory, undefined, descriptors);
    const stores = new LevelStores(dataDirectory, { descriptors, filesMax: plan.storeFilesMax });
    return { lock, disk, stores };
  } catch (error) {
    descriptors.close();
    throw error;
  }
}

/** The lock goes last: by then nothing of this node's can reach the disk any more. */
async function giveUpFolder({ stores, disk, lock }: Folder, report: Report<NodeEvent>): Promise<void> {
  const stuck = setTimeout(() => report({ kind: 'diskUnanswered' }), slowDiskMs);
  try {
    await stores.closeAll();
  } finally {
    await disk.closeAll();
    clearTimeout(stuck);
    await lock.release();
  }
}

function findMember({ nodeId, cluster }: ServerOptions): Member {
  if (!isNodeId(nodeId)) {
    throw new KvorumError('CONFIG', `${JSON.stringify(nodeId)} is no node id: it must be ${nodeIdRule}`);
  }
  const own = cluster.members.find((member) => member.nodeId === nodeId);
  if (own !== undefined) return own;
  const known = cluster.members.map((member) => member.nodeId).join(', ');
  throw new KvorumError('CONFIG', `node ${nodeId} is not in the cluster file, which lists ${known}`);
}

function listenOf({ listen, nodeId, cluster }: ServerOptions, address: string): string {
  const fault = listen === undefined ? undefined : addressFault(listen);
  if (fault !== undefined) throw new KvorumError('CONFIG', `listen ${fault}, not ${JSON.stringify(listen)}`);
  return listen ?? cluster.listenOf.get(nodeId) ?? address;
}

function reload(
  started: ServerOptions,
  node: ServerNode,
  read: () => ClusterConfig,
  report: Report<NodeEvent>,
): void {
  try {
    const cluster = read();
    node.moveMembers(cluster.members);
    const settings = changedSettings(started.cluster.node, cluster.node);
    const own = findMember({ ...started, cluster });
    if (cluster.listenOf.get(started.nodeId) !== started.cluster.listenOf.get(started.nodeId))
      settings.push('listen');
    else if (started.listen === findMember(started).address && own.address !== started.listen)
      settings.push('address');
    report({ kind: 'clusterFileRead' });
    if (settings.length > 0) report({ kind: 'settingsNeedRestart', settings });
  } catch (error) {
    if (!KvorumError.is(error)) throw error;
    report({ kind: 'clusterFileRefused', error: error.message });
  }
}
