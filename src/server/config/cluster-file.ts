// The cluster file: who the members are at the first start, and the numbers a node is tuned by. It only
// forms a cluster; afterwards the data folder is the truth. Errors name the file and the field.

import { readFileSync } from 'node:fs';
import { z } from 'zod';
import type { NodeId } from '../../base/env.js';
import { KvorumError } from '../../base/errors.js';
import type { Settings, ValuesOf } from '../../base/settings.js';
import type { Member } from '../../wire/clients/answers.js';
import { isNodeId, nodeIdRule } from '../../wire/node-id.js';
import { addressFault } from './address.js';
import { membersMax } from './members.js';
import {
  defaultNodeConfig,
  nodeSettings,
  validateNodeConfig,
  type NodeConfig,
  type SettingGroup,
} from './node-config.js';

export interface ClusterConfig {
  readonly members: readonly Member[];
  /** Where a member binds, host:port, when that is not the address that others are told. */
  readonly listenOf: ReadonlyMap<NodeId, string>;
  readonly node: NodeConfig;
}

const positive = z.number().positive();

/** All the file may say of a group of settings: the same names, each optional. */
function fieldsOf<S extends Settings>(settings: S): z.ZodType<Partial<ValuesOf<S>>> {
  const fields = Object.keys(settings).map((name) => [name, positive.optional()] as const);
  return z.strictObject(Object.fromEntries(fields)) as unknown as z.ZodType<Partial<ValuesOf<S>>>;
}

const groups = {
  raft: fieldsOf(nodeSettings.raft).optional(),
  wal: fieldsOf(nodeSettings.wal).optional(),
  limits: fieldsOf(nodeSettings.limits).optional(),
  store: fieldsOf(nodeSettings.store).optional(),
  snapshot: fieldsOf(nodeSettings.snapshot).optional(),
} satisfies Record<SettingGroup, z.ZodType>;

const address = z.string().superRefine((text, context) => {
  const fault = addressFault(text);
  if (fault !== undefined) context.addIssue({ code: 'custom', message: fault });
});

const clusterFile = z.strictObject({
  members: z
    .array(
      z.strictObject({
        id: z.string().refine(isNodeId, `must be ${nodeIdRule}`),
        address,
        listen: address.optional(),
      }),
    )
    .min(1)
    .max(membersMax),
  ...groups,
});

/** What is wrong with a field, to follow its name in a sentence. What a schema says itself comes first. */
function describeIssue(issue: z.core.$ZodRawIssue): string | undefined {
  switch (issue.code) {
    case 'invalid_type': {
      const expected = withArticle(issue.expected);
      if (issue.input === undefined) return `is missing: it must be ${expected}`;
      return `must be ${expected}, not ${typeOf(issue.input)}`;
    }
    case 'unrecognized_keys': {
      const unknown = issue.keys.map((key) => JSON.stringify(key)).join(', ');
      return `has no field ${unknown}; the fields are ${fieldsAt(issue.path ?? []).join(', ')}`;
    }
    case 'too_small':
      return issue.origin === 'array'
        ? `must have at least ${issue.minimum} entry`
        : `must be above ${issue.minimum}`;
    case 'too_big':
      return `must have at most ${issue.maximum} entries`;
    default:
      return undefined;
  }
}

/** The fields that an object at this place of the file has. */
function fieldsAt(path: readonly PropertyKey[]): string[] {
  const [part] = path;
  if (part === undefined) return Object.keys(clusterFile.shape);
  if (part === 'members') return Object.keys(clusterFile.shape.members.element.shape);
  const settings = Object.entries(nodeSettings).find(([group]) => group === part)?.[1];
  return settings === undefined ? [] : Object.keys(settings);
}

function typeOf(value: unknown): string {
  if (value === null) return 'null';
  return withArticle(Array.isArray(value) ? 'array' : typeof value);
}

function withArticle(noun: string): string {
  return `${/^[aeiou]/.test(noun) ? 'an' : 'a'} ${noun}`;
}

/** Reads and checks a cluster file. Throws `CONFIG` naming the file and the field or the place. */
export function loadClusterFile(path: string): ClusterConfig {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    throw new KvorumError('CONFIG', `cannot read the cluster file ${path}: ${(cause as Error).message}`, {
      cause,
    });
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new KvorumError('CONFIG', `the cluster file ${path} is not JSON: ${(cause as Error).message}`, {
      cause,
    });
  }
  return parseClusterConfig(json, path);
}

/** As `loadClusterFile`, from a value; `source` names it in errors. */
export function parseClusterConfig(json: unknown, source: string): ClusterConfig {
  const parsed = clusterFile.safeParse(json, { error: describeIssue });
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    const field = issue === undefined || issue.path.length === 0 ? 'the file' : issue.path.join('.');
    throw new KvorumError('CONFIG', `${source}: ${field} ${issue?.message ?? 'is no cluster file'}`);
  }
  const { members, raft, wal, limits, store, snapshot } = parsed.data;
  for (const name of ['id', 'address'] as const) {
    const seen = new Map<string, number>();
    members.forEach((member, position) => {
      const earlier = seen.get(member[name]);
      if (earlier !== undefined) {
        const message =
          `${source}: members.${position}.${name}: ` +
          `"${member[name]}" is already that of members.${earlier}`;
        throw new KvorumError('CONFIG', message);
      }
      seen.set(member[name], position);
    });
  }
  const walConfig = { ...defaultNodeConfig.wal, ...wal };
  const logBytesMax = Math.min(defaultNodeConfig.snapshot.logBytesMax, Math.floor(walConfig.quotaBytes / 2));
  const node: NodeConfig = {
    ...defaultNodeConfig,
    raft: { ...defaultNodeConfig.raft, ...raft },
    wal: walConfig,
    limits: { ...defaultNodeConfig.limits, ...limits },
    store: { ...defaultNodeConfig.store, ...store },
    // A log that is cut only beyond its quota would refuse writes for ever.
    snapshot: { ...defaultNodeConfig.snapshot, logBytesMax, ...snapshot },
  };
  try {
    validateNodeConfig(node);
  } catch (error) {
    if (!KvorumError.is(error)) throw error;
    throw new KvorumError('CONFIG', `${source}: ${error.message}`);
  }
  const listens = members.flatMap(({ id, listen }) => (listen === undefined ? [] : [[id, listen] as const]));
  return {
    members: members.map(({ id, address: at }) => ({ nodeId: id, address: at })),
    listenOf: new Map(listens),
    node,
  };
}
