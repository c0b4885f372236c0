// A client behind proxies stays behind them: it uses no address that the nodes give for each other.

import { expect, test } from 'vitest';
import { ClientEngine } from '../../src/client/engine/engine.js';
import { FakeCluster } from '../client/fake-cluster.js';
import { FakeWorld } from '../client/fake-world.js';
import { getRequest } from '../client/harness.js';

test.each([true, false])('endpointsOnly %s', (endpointsOnly) => {
  const world = new FakeWorld(1);
  const cluster = new FakeCluster(world, 3);
  const endpoints = cluster.endpoints.slice(0, 1);
  const engine = new ClientEngine(world.env, { endpoints, endpointsOnly });
  world.handler = engine.handler;
  engine.start();
  world.run(500);
  const addresses = engine.nodes().map(({ address }) => address);
  expect(addresses).toEqual(endpointsOnly ? endpoints : cluster.endpoints);
  const dialed = cluster.nodes.map((node) => world.links.some((link) => link.address === node.address));
  expect(dialed).toEqual(endpointsOnly ? [true, false, false] : [true, true, true]);
  let answers = 0;
  engine.submit(getRequest('a'), 1_000, () => (answers += 1));
  world.run(2_000);
  expect(answers).toBe(1);
});
