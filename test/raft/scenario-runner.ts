// Runs a scenario file: blocks of commands, a line `----`, and below it the trace that they gave. The runner
// keeps the commands and writes the traces anew; a test compares the two. Regenerate with `vitest -u`, and
// only commit a changed trace if you understand why it changed.
//
//   log NODE TERM... [term T] [commit C] [base B] before `cluster`: a log on disk, truncated and applied
//   through B
//   cluster NODE... [learner NODE] [KEY=N]  starts the members; KEY is a field of RaftConfig
//   disks slow | fast                       units wait for `persist`, or are durable when all comes to rest
//   timeout NODE                            time passes until its deadline; only this one is told
//   wait MS | pass MS                       time passes; nobody is told | everybody is, and all comes to rest
//   propose NODE TEXT... | read NODE ID | transfer NODE [TO] | down NODE PEER | up NODE PEER      inputs
//   deliver | drop | duplicate [A->B] [KIND] [all]     the oldest such message, or all that are there now
//   persist NODE [COUNT|all] | apply NODE | fetch NODE   the disk, the state machine, a read of entries
//   truncate NODE INDEX                     its store has everything through there: the log forgets it
//   snapshots slow | fast                   sendings wait for `snapshot`, or are done when all comes to rest
//   snapshot FROM->TO [lost]                the oldest such sending that was asked for ends
//   damage NODE [store]                     its log is lost, and its store with it unless it is named
//   hello NODE PEER... | recover NODE       it hears the others' terms, and takes part again, without a vote
//   catchup NODE ID asks how far it must come (read ID), or votes again if it has come there
//   cut A->B... | isolate NODE | heal       links that drop everything from now on
//   crash NODE | restart NODE | stabilize
//   quiet on | off                          no trace of the steps
//   status | network | logs                 logs: the terms of the entries of each running member

import type { RaftConfig } from '../../src/raft/config.js';
import type { Message } from '../../src/raft/messages.js';
import type { NodeId, Term } from '../../src/raft/types.js';
import { inputText, messageText, outputLines } from './trace.js';
import { VirtualCluster, type PresetLogs, type VirtualInput, type VirtualMember } from './virtual-cluster.js';
import type { Output } from '../../src/raft/io.js';

/** The file's text with every trace written anew. */
export function runScenario(text: string): string {
  const runner = new ScenarioRunner();
  const blocks = text.trimEnd().split(/\n\n+/);
  return `${blocks.map((block) => runner.block(block)).join('\n\n')}\n`;
}

class ScenarioRunner {
  private readonly presets: Record<NodeId, PresetLogs[NodeId]> = {};
  private readonly cuts = new Set<string>();
  private readonly standings = new Map<NodeId, string>();
  private current: VirtualCluster | undefined;
  private isQuiet = false;
  private lines: string[] = [];

  block(block: string): string {
    const commands = block.split('\n----')[0] ?? '';
    const isProse = commands.split('\n').every((line) => line.startsWith('#'));
    if (isProse) return block;
    this.lines = [];
    for (const line of commands.split('\n')) {
      const words = line.split('#')[0]?.trim().split(/\s+/) ?? [];
      const [command, ...rest] = words;
      if (command === undefined || command === '') continue;
      try {
        this.run(command, rest);
      } catch (error) {
        throw new Error(
          `scenario line '${line}': ${error instanceof Error ? error.message : String(error)}`,
          {
            cause: error,
          },
        );
      }
    }
    return [commands, '----', ...this.lines].join('\n');
  }

  private get cluster(): VirtualCluster {
    if (this.current === undefined) throw new Error('no cluster yet');
    return this.current;
  }

  private run(command: string, words: string[]): void {
    const [first = '', second = ''] = words;
    const actions: Record<string, () => void> = {
      log: () => this.presetLog(words),
      cluster: () => this.start(words),
      disks: () => (this.cluster.slowDisks = first === 'slow'),
      timeout: () => this.cluster.timeout(first),
      wait: () => (this.cluster.now += Number(first)),
      pass: () => this.cluster.pass(Number(first)),
      propose: () => this.cluster.propose(first, ...words.slice(1)),
      read: () => this.cluster.step(first, { kind: 'readIndex', requestId: Number(second) }),
      transfer: () =>
        this.input(first, { kind: 'transferLeadership', ...(second === '' ? {} : { to: second }) }),
      down: () => this.input(first, { kind: 'peerDown', peer: second }),
      up: () => this.input(first, { kind: 'peerUp', peer: second }),
      deliver: () => this.onMessages(words, (position) => this.cluster.deliver(position)),
      duplicate: () => this.onMessages(words, (position) => this.cluster.deliver(position, { keep: true })),
      drop: () => this.onMessages(words, (position) => this.cluster.network.splice(position, 1)),
      persist: () => this.persist(first, second === 'all' ? Infinity : Number(second || 1)),
      apply: () => this.cluster.apply(first),
      fetch: () => this.cluster.answerRead(first),
      truncate: () => this.cluster.truncate(first, Number(second)),
      snapshots: () => (this.cluster.slowSendings = first === 'slow'),
      snapshot: () => this.snapshot(first, second === 'lost'),
      damage: () => this.cluster.damage(first, { keepsStore: second === 'store' }),
      hello: () => words.slice(1).forEach((peer) => this.cluster.hello(first, peer)),
      recover: () => this.recover(first),
      catchup: () => this.cluster.catchUp(first, Number(second)),
      cut: () => words.forEach((link) => this.cuts.add(link)),
      isolate: () => this.isolate(first),
      heal: () => this.cuts.clear(),
      crash: () => this.cluster.crash(first),
      restart: () => this.cluster.restart(first),
      stabilize: () => this.cluster.stabilize(),
      quiet: () => (this.isQuiet = first === 'on'),
      status: () => this.status(),
      network: () => this.lines.push(...this.cluster.network.map(messageText)),
      logs: () => this.logs(),
    };
    const action = actions[command];
    if (action === undefined) throw new Error(`unknown command ${command}`);
    action();
  }

  private presetLog(words: string[]): void {
    const [nodeId = '', ...rest] = words;
    const terms: Term[] = [];
    let currentTerm = 0;
    let commitIndex = 0;
    let baseIndex = 0;
    for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
      if (word === 'term') currentTerm = Number(rest.shift());
      else if (word === 'commit') commitIndex = Number(rest.shift());
      else if (word === 'base') baseIndex = Number(rest.shift());
      else terms.push(Number(word));
    }
    const termLeast = Math.max(currentTerm, terms.at(-1) ?? 0);
    this.presets[nodeId] = { terms, currentTerm: termLeast, commitIndex, baseIndex };
  }

  private start(words: string[]): void {
    const voters: NodeId[] = [];
    const learners: NodeId[] = [];
    const config: Record<string, number> = {};
    for (let position = 0; position < words.length; position++) {
      const word = words[position] as string;
      const [key = '', value] = word.split('=');
      if (word === 'learner') learners.push(words[++position] as string);
      else if (value === undefined) voters.push(word);
      else config[key] = Number(value);
    }
    const options = { voters, learners, config: config as Partial<RaftConfig> };
    this.current = new VirtualCluster(options, this.presets);
    this.current.passes = ({ from, to }) => !this.cuts.has(`${from}->${to}`);
    this.current.onStep = (member, input, output) => this.trace(member, input, output);
  }

  private input(nodeId: NodeId, input: VirtualInput): void {
    this.cluster.step(nodeId, input);
  }

  private onMessages(words: string[], act: (position: number) => unknown): void {
    const link = words.find((word) => word.includes('->'));
    const kind = words.find((word) => !word.includes('->') && word !== 'all');
    const matches = (message: Message) =>
      (link === undefined || link === `${message.from}->${message.to}`) &&
      (kind === undefined || kind === message.kind);
    const chosen = this.cluster.network.filter(matches);
    if (chosen.length === 0 && !words.includes('all')) throw new Error('no such message in the network');
    for (const message of words.includes('all') ? chosen : chosen.slice(0, 1)) {
      act(this.cluster.network.indexOf(message));
    }
  }

  private persist(nodeId: NodeId, count: number): void {
    for (let unit = 0; unit < count && this.cluster.persist(nodeId); unit++);
  }

  private snapshot(link: string, isLost: boolean): void {
    const position = this.cluster.sendings.findIndex(({ from, to }) => link === `${from.nodeId}->${to}`);
    if (position < 0) throw new Error('no such snapshot');
    this.lines.push(`${link} snapshot: ${this.cluster.finishSending(position, { isLost })}`);
  }

  private recover(nodeId: NodeId): void {
    if (!this.cluster.recover(nodeId)) throw new Error(`${nodeId} cannot recover yet`);
    this.lines.push(`${nodeId} has recovered`);
  }

  private isolate(nodeId: NodeId): void {
    for (const peer of this.cluster.members.keys()) {
      this.cuts.add(`${peer}->${nodeId}`);
      this.cuts.add(`${nodeId}->${peer}`);
    }
  }

  private trace({ nodeId, raft }: VirtualMember, input: VirtualInput, output: Output): void {
    if (raft === undefined) return;
    const standing = `${raft.role} in term ${raft.currentTerm}`;
    const lines = outputLines(output);
    if (standing !== this.standings.get(nodeId)) lines.unshift(`is ${standing}`);
    this.standings.set(nodeId, standing);
    if (this.isQuiet || (input.kind === 'applied' && lines.length === 0)) return;
    this.lines.push(`${nodeId} ${inputText(input)}`, ...lines.map((line) => `  ${line}`));
  }

  private status(): void {
    for (const { nodeId, raft } of this.cluster.members.values()) {
      if (raft === undefined) {
        this.lines.push(`${nodeId} is down`);
        continue;
      }
      const { role, currentTerm, votedFor, leaderId, commitIndex, lastIndex, durableIndex } = raft;
      const election = `${role} term ${currentTerm} vote ${votedFor ?? 'none'} leader ${leaderId ?? 'none'}`;
      this.lines.push(`${nodeId} ${election} log ${lastIndex} durable ${durableIndex} commit ${commitIndex}`);
    }
  }

  private logs(): void {
    for (const { nodeId, raft } of this.cluster.members.values()) {
      if (raft === undefined) continue;
      const { baseIndex, baseTerm, lastIndex } = raft;
      const terms = Array.from({ length: lastIndex - baseIndex }, (_, position) =>
        raft.termAt(baseIndex + 1 + position),
      );
      const base = baseIndex === 0 ? '' : `after ${baseIndex}/${baseTerm} `;
      this.lines.push(`${nodeId} ${base}| ${terms.join(' ')}`.trimEnd());
    }
  }
}
