// One machine of the virtual cluster: its disk and store, which last, and the production node that runs on
// them, which comes and goes. It starts the node, takes it down in the ways a plan knows, and judges how a
// node ended by itself: a node may stop because its disk failed, never for another reason.

import { assertNever } from '../../../base/assert.js';
import { KvorumError } from '../../../base/errors.js';
import type { Software } from '../../../kv/format-level.js';
import type { StoreRecord } from '../../../kv/store.js';
import type { NodeConfig } from '../../../server/config/node-config.js';
import type { NodeEvent, NodeEventKind, ServerEnv } from '../../../server/events.js';
import type { StreamTopics } from '../../../server/front/streams.js';
import { ClusterView } from '../../../server/life/cluster-view.js';
import { ServerNode } from '../../../server/node.js';
import { EventLog } from '../../../server/operate/event-log.js';
import type { Member } from '../../../wire/clients/answers.js';
import type { Violations } from '../../checkers/violations.js';
import { roll32, streamOf } from '../dice.js';
import { damageOutcomes } from '../../plan/fault-rules.js';
import {
  type CrashFault,
  type CrashPhase,
  type DamageFault,
  type DiskOperation,
  nextOf,
} from '../../plan/faults.js';
import { damageDisk, type RottenRecord } from './damage.js';
import type { MachinePlan, Plan } from '../../plan/plan.js';
import type { ScheduledEvent, Scheduler } from '../scheduler.js';
import { type DiskCrash, VirtualDisk } from '../disk/disk.js';
import type { VirtualFolders } from '../disk/folders.js';
import type { VirtualNetwork } from '../network/network.js';
import { type LogSink, type ResumeOrder, VirtualProcess, virtualLogger } from './process.js';
import { nodeConfigOf } from './config.js';
import { newerLevel, softwareOf } from './software.js';
import { VirtualStores } from '../disk/stores.js';

/** The world around a machine. */
export interface MachineContext {
  readonly scheduler: Scheduler;
  readonly network: VirtualNetwork;
  readonly violations: Violations;
  readonly members: readonly Member[];
  readonly plan: Plan;
  /** What streams of the nodes can be of. */
  readonly topics: StreamTopics;
  readonly log: LogSink;
  /** A process starts with software that knows levels up to this. */
  processStarts(machine: Machine, formatLevelMax: number): void;
  /** Of any state or entry so far. */
  highestLevel(): number;
  /** A node told what happens in it. */
  event(machine: Machine, event: NodeEvent): void;
  count(mark: string): void;
}

type StoresCopy = ReturnType<VirtualStores['copy']>;

/** By what a node begins something that a crash may be planned into. */
const phaseBegins: Readonly<Record<CrashPhase, NodeEventKind>> = {
  install: 'snapshotArrived',
  recovery: 'repairBegins',
  // Of its own snapshot, at another node, which is about to put it in place.
  delivery: 'snapshotDelivered',
};

/** After a node stopped by itself, an operator starts it again. */
const operatorDelayMs = 700;

export class Machine {
  readonly name: string;
  readonly address: string;
  readonly ordinal: number;
  readonly disk: VirtualDisk;
  readonly stores: VirtualStores;
  /** Starts so far. */
  incarnation = 0;
  process: VirtualProcess | undefined;
  node: ServerNode | undefined;
  private readonly context: MachineContext;
  private readonly plan: MachinePlan;
  private readonly config: NodeConfig;
  private wallOffsetMs: number;
  private software: Software;
  private startEvent: ScheduledEvent | undefined;
  /** A crash in the middle of an event: how many effects are still let through before it. */
  private effectsLeft = 0;
  /** An orderly stop was asked of this process. */
  private isStopping = false;
  private midwayCrash: CrashFault | undefined;
  /** A crash that waits for the node to begin something. */
  private phaseCrash: CrashFault | undefined;
  /** A crash loop: the crash, and before which effect of each of the next starts it comes again. */
  private loop: { readonly fault: CrashFault; readonly nextStarts: number[] } | undefined;
  private olderDisk: { readonly disk: VirtualFolders; readonly stores: StoresCopy } | undefined;
  /** Something other than a crash befell its disk. */
  private wasDamaged = false;
  /** It lost its disk, and with it its identity. */
  isWiped = false;
  /** Records that rotted in its store, as they were written; the rot shows when one is read. */
  readonly rotten: RottenRecord[] = [];
  /** It ended by itself as it must, and is not started again. */
  isGone = false;
  /** Since it was wiped, its disk was why it ended by itself last. */
  isStoppedByDisk = false;
  /** It was a member of a formed cluster once. */
  wasMember = false;

  constructor(context: MachineContext, plan: MachinePlan, ordinal: number, address: string) {
    const { scheduler } = context;
    const { seed, disk, store } = context.plan;
    this.context = context;
    this.plan = plan;
    this.name = plan.name;
    this.ordinal = ordinal;
    this.address = address;
    this.wallOffsetMs = plan.wallOffsetMs;
    this.config = nodeConfigOf(context.plan.knobs, plan.snapshotLogEntriesMax);
    this.software = softwareOf(plan.formatLevelMax);
    this.disk = new VirtualDisk(scheduler, seed, plan.name, disk);
    this.stores = new VirtualStores(scheduler, seed, plan.name, store);
    this.disk.onEffect = () => this.onEffect();
    this.stores.onEffect = () => this.onEffect();
  }

  get isUp(): boolean {
    return this.process !== undefined;
  }

  /** What the node's own store holds, ascending; nothing when it is down. */
  records(): StoreRecord[] {
    return this.node === undefined ? [] : this.stores.records(this.node.storeName);
  }

  /** `Infinity`: stays down until somebody starts it. */
  startIn(delayMs: number): void {
    if (this.startEvent !== undefined) this.startEvent.cancelled = true;
    if (delayMs === Infinity) return;
    this.startEvent = this.context.scheduler.schedule(delayMs * 1000, 'fault', undefined, () => this.start());
  }

  /** Starts the node on what the disk and the store hold; without effect when it runs. */
  start(): void {
    if (this.startEvent !== undefined) this.startEvent.cancelled = true;
    this.startEvent = undefined;
    if (this.process !== undefined || this.isGone) return;
    const { scheduler, network, plan, members, log } = this.context;
    this.incarnation++;
    const process = new VirtualProcess(scheduler, {
      ...this.plan,
      ordinal: this.ordinal,
      wallOffsetMs: this.wallOffsetMs,
      // A restarted process has another monotonic clock.
      clockStartMs: this.plan.clockStartMs + 7_919 * this.incarnation,
      seed: roll32(plan.seed, streamOf(`process ${this.name}`), this.incarnation),
    });
    const nodeNetwork = network.attachNode(
      process,
      this.address,
      () => node.handler,
      () => this.onEffect(),
    );
    const { clock, timers } = process;
    const eventLog = new EventLog({ logger: virtualLogger(this.name, log), clock, timers });
    const env: ServerEnv = {
      clock,
      timers,
      entropy: process.entropy,
      disk: this.disk.attach(process),
      network: nodeNetwork,
      report: (event) => {
        eventLog.write(event);
        this.onEvent(event);
      },
    };
    const node: ServerNode = new ServerNode({
      env,
      nodeId: this.name,
      view: new ClusterView(this.name, members),
      config: this.config,
      stores: this.stores.attach(process),
      topics: this.context.topics,
      software: this.software,
      version: 'simulated',
      pid: this.incarnation,
      onStopped: (error) => this.onStopped(process, error),
    });
    this.process = process;
    this.node = node;
    log(this.name, 'world', `starts, for the ${this.incarnation}. time`, {});
    this.context.processStarts(this, this.software.formatLevelMax);
    const again = this.loop?.nextStarts.shift();
    if (again === undefined) this.loop = undefined;
    else if (this.loop !== undefined) this.arm(this.loop.fault, again);
    node.start();
  }

  /** The plan's crash; one that is to come midway waits for its effect. */
  crash(fault: CrashFault): void {
    if (this.process === undefined) return;
    const { nextStarts } = fault;
    if (nextStarts !== undefined) this.loop = { fault: nextOf(fault), nextStarts: [...nextStarts] };
    if (fault.during !== undefined) this.phaseCrash = fault;
    else if (fault.afterEffects === 0) this.crashNow(fault);
    else this.arm(fault, fault.afterEffects);
  }

  /**
   * Damage that no crash does: the machine goes down, and starts on what is left of its disk. Without effect
   * before it was a member: nothing is there yet.
   */
  damage({ damage, position, downMs }: DamageFault): void {
    if (!this.wasMember || this.isWiped) return;
    // In some runs nobody tells the others, who still hear what is on its way from before.
    this.takeDown({ kind: 'kill' }, Math.floor(position * 64) % 2 === 1);
    const done = damageDisk(damage, position, this.disk, this.stores);
    this.context.log(this.name, 'world', done?.words ?? 'there is nothing to damage', {});
    if (done !== undefined) {
      this.wasDamaged = true;
      this.context.count(`damage: ${damage}`);
    }
    if (done?.rotten !== undefined) this.rotten.push(done.rotten);
    this.isWiped = damageOutcomes[damage] === 'stops';
    this.isStoppedByDisk = false;
    this.startIn(downMs);
  }

  /** Remembers what the disk holds now, for `rollBack`. */
  keepCopy(): void {
    if (this.wasMember) this.olderDisk = { disk: this.disk.copy(), stores: this.stores.copy() };
  }

  /** The machine goes down, and starts on the disk that it had at `keepCopy`. False: there is no copy. */
  rollBack(downMs: number): boolean {
    const { olderDisk } = this;
    if (olderDisk === undefined || this.isWiped) return false;
    this.takeDown({ kind: 'kill' });
    this.disk.restore(olderDisk.disk);
    this.stores.restore(olderDisk.stores);
    this.olderDisk = undefined;
    this.wasDamaged = true;
    this.context.log(this.name, 'world', 'its disk is what it was some time ago', {});
    this.context.count('rolled back');
    this.startIn(downMs);
    return true;
  }

  /** The machine goes down and does not come back. */
  bury(): void {
    this.isGone = true;
    this.startIn(Infinity);
    this.takeDown({ kind: 'power', unsynced: 'none', entries: 'none' });
    this.context.log(this.name, 'world', 'is down for ever', {});
  }

  /** To be called after each event of the machine: completes a crash that came in the middle of it. */
  afterEvent(): void {
    if (this.node?.raft !== undefined) {
      this.wasMember = true;
      if (this.isWiped)
        this.context.violations.add('identity', this.name, 'takes part again after its disk was wiped');
    }
    if (this.process?.doomed === true && this.midwayCrash !== undefined) this.crashNow(this.midwayCrash);
  }

  restart(downMs: number): void {
    const { process, node } = this;
    if (process?.state !== 'running' || node === undefined) return;
    this.context.log(this.name, 'world', 'is asked to stop', {});
    this.isStopping = true;
    node.stop(() => {
      if (this.process !== process) return;
      this.takeDown({ kind: 'kill' });
      this.context.count('stopped in order');
      this.startIn(downMs);
    });
  }

  /** The machine goes on with software that knows levels up to this. */
  replaceSoftware(formatLevelMax: number, downMs: number): void {
    this.software = softwareOf(formatLevelMax);
    this.context.log(this.name, 'world', `gets software for format level ${formatLevelMax}`, {});
    if (this.isUp) this.restart(downMs);
    else this.startIn(downMs);
  }

  /** In a run in which versions meet, it is of the newest one from here on. */
  private renewSoftware(): void {
    const isOld = this.plan.formatLevelMax !== undefined && this.software.formatLevelMax < newerLevel;
    if (!isOld) return;
    this.software = softwareOf(newerLevel);
    this.takeDown({ kind: 'kill' });
  }

  pause(): void {
    this.context.log(this.name, 'world', 'is paused', {});
    this.process?.pause();
  }

  resume(order: ResumeOrder): void {
    this.context.log(this.name, 'world', `goes on, ${order}`, {});
    this.process?.resume(order);
  }

  jumpWallClock(byMs: number): void {
    this.wallOffsetMs += byMs;
    if (this.process !== undefined) this.process.wallOffsetMs = this.wallOffsetMs;
  }

  failDisk(operation: DiskOperation): void {
    switch (operation) {
      case 'write':
        this.disk.failNextWrite = 'none';
        return;
      case 'shortWrite':
        this.disk.failNextWrite = 'part';
        return;
      case 'sync':
        this.disk.failNextSync = true;
        return;
      case 'read':
        this.disk.failNextRead = true;
        return;
      case 'batch':
        this.stores.failNextBatch = true;
        return;
      default:
        assertNever(operation);
    }
  }

  /** Each event takes so much more processor time; 0: as little as ever. */
  slowProcessor(byUs: number): void {
    if (this.process !== undefined) this.process.eventCostUs = this.plan.eventCostUs + byUs;
  }

  /** Nothing that is given to its disk or store is completed for so long. */
  stickDisk(forMs: number): void {
    this.disk.stuckUntilUs = this.context.scheduler.nowUs + forMs * 1000;
    this.stores.stuckUntilUs = this.disk.stuckUntilUs;
  }

  limitDisk(freeBytes: number): void {
    this.disk.capacityBytes = this.disk.usedBytes() + freeBytes;
  }

  freeDisk(): void {
    this.disk.capacityBytes = Number.POSITIVE_INFINITY;
  }

  /** Everything about the machine works from now on, and the node runs. */
  heal(): void {
    this.midwayCrash = undefined;
    this.phaseCrash = undefined;
    this.loop = undefined;
    this.disk.failNextSync = false;
    this.disk.failNextWrite = undefined;
    this.disk.failNextRead = false;
    this.disk.spikes = undefined;
    this.stores.failNextBatch = false;
    this.disk.slowness = 1;
    this.stores.slowness = 1;
    this.disk.stuckUntilUs = 0;
    this.stores.stuckUntilUs = 0;
    this.freeDisk();
    this.slowProcessor(0);
    this.resume('messagesFirst');
    this.renewSoftware();
    this.start();
  }

  private crashNow(fault: CrashFault): void {
    const { machine, unsynced, entries, downMs } = fault;
    this.context.log(this.name, 'world', machine === 'kill' ? 'is killed' : 'loses power', {
      unsynced,
      entries,
    });
    this.context.count(fault.afterEffects > 0 ? `${machine} midway` : machine);
    if (this.node?.raft === undefined) this.context.count('crash during start');
    if (fault.during !== undefined) this.context.count(`crash during ${fault.during}`);
    this.takeDown(machine === 'kill' ? { kind: 'kill' } : { kind: 'power', unsynced, entries });
    this.startIn(downMs);
  }

  private onStopped(process: VirtualProcess, error: Error | undefined): void {
    if (!process.effective || this.process !== process || error === undefined) return;
    // Only faults of the plan raise these two; every other refusal of the disk is a wrong use of it.
    const errno = KvorumError.is(error, 'DISK') ? error.details['errno'] : undefined;
    // One that is asked to stop while its log waits for room may say so; nothing of that was acknowledged.
    const isShortOfSpace = this.isStopping && KvorumError.is(error, 'NO_SPACE');
    const isRobbed = this.isWiped && KvorumError.is(error, 'IDENTITY');
    const isCorrupt = this.rotten.length > 0 && KvorumError.is(error, 'CORRUPT');
    // Not its fault, and not that of its disk: it stays as it is until it gets newer software.
    const isTooOld =
      KvorumError.is(error, 'FORMAT') && this.software.formatLevelMax < this.context.highestLevel();
    const expected =
      errno === 'EIO' || errno === 'ENOSPC' || isShortOfSpace || isRobbed || isCorrupt || isTooOld;
    if (isRobbed) this.isGone = true;
    this.isStoppedByDisk = KvorumError.is(error, 'DISK');
    if (!expected) this.context.violations.add('unexpectedStop', this.name, error.stack ?? error.message);
    const reason = isTooOld
      ? 'by a newer format'
      : isRobbed
        ? 'without its identity'
        : isCorrupt
          ? 'by what it read'
          : 'by its disk';
    this.context.count(`stopped ${expected ? reason : 'by an error'}`);
    // The call comes from inside the node; the process ends with the event, and nothing more leaves it.
    process.doomed = true;
    this.midwayCrash = {
      kind: 'crash',
      atMs: 0,
      node: this.ordinal,
      downMs: operatorDelayMs,
      // After a failed sync the kernel may have dropped pages that the program believes written: worst
      // case, all.
      machine: expected ? 'power' : 'kill',
      unsynced: 'none',
      entries: 'all',
      afterEffects: 0,
    };
  }

  /** `isSilent`: its links do not break at once, as if there were no power; the disk loses nothing by it. */
  private takeDown(crash: DiskCrash, isSilent = crash.kind === 'power'): void {
    const { process } = this;
    if (process === undefined) return;
    this.midwayCrash = undefined;
    this.isStopping = false;
    process.kill();
    this.context.network.detach(process, this.address, isSilent ? 'power' : 'kill');
    this.disk.crash(crash);
    this.stores.crash();
    this.process = undefined;
    this.node = undefined;
  }

  private arm(fault: CrashFault, afterEffects: number): void {
    this.midwayCrash = fault;
    this.effectsLeft = afterEffects;
  }

  private onEvent(event: NodeEvent): void {
    this.context.event(this, event);
    if (event.kind === 'damageFound' && !this.wasDamaged) {
      // Nobody would miss what the others give back, but a crash must never cost a member its log.
      const { message } = event.damage;
      this.context.violations.add('falseDamage', this.name, `nothing damaged its disk: ${message}`);
    }
    const fault = this.phaseCrash;
    if (fault?.during === undefined || phaseBegins[fault.during] !== event.kind) return;
    this.phaseCrash = undefined;
    this.arm(fault, fault.afterEffects);
  }

  private onEffect(): void {
    if (this.midwayCrash === undefined || this.process === undefined || this.process.doomed) return;
    this.effectsLeft--;
    if (this.effectsLeft < 0) this.process.doomed = true;
  }
}
