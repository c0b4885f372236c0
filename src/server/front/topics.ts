// What streams of a node can be of: each topic is declared here, once, under the name that clients call it.

import type { StreamTopic } from './streams.js';

/** The names of all topics. */
export type StreamTopicName = never;

export const streamTopics = {} as const satisfies { readonly [Name in StreamTopicName]: StreamTopic };
