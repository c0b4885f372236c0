// Chromium without a window, for tests that look at a page: driven over its own debugging protocol, because
// that is the only way to a width of 390 pixels. Started with a profile of its own, and ended by its process.

import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { WebSocket } from 'ws';
import { until } from '../waiting.js';

const candidates = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

/** Where a browser is installed (or KVORUM_BROWSER says it is); `undefined`: nowhere. */
export function findBrowser(): string | undefined {
  return [process.env['KVORUM_BROWSER'] ?? '', ...candidates].find((path) => path !== '' && existsSync(path));
}

export interface PageView {
  /** What a script says in the page, as JSON. */
  evaluate(script: string): Promise<unknown>;
  /** PNG of the whole page. */
  screenshot(): Promise<Buffer>;
  /** What the page complained about. */
  readonly complaints: readonly string[];
}

export class Browser {
  private readonly socket: WebSocket;
  private readonly end: () => Promise<void>;
  private readonly waiting = new Map<number, (answer: Record<string, unknown>) => void>();
  private readonly complaints: string[] = [];
  private next = 1;

  private constructor(socket: WebSocket, end: () => Promise<void>) {
    this.socket = socket;
    this.end = end;
    socket.on('message', (data: Buffer) => this.hear(JSON.parse(data.toString()) as Record<string, unknown>));
  }

  static async start(path: string): Promise<Browser> {
    const profile = mkdtempSync(join(tmpdir(), 'kvorum-browser-'));
    const flags = [
      '--headless=new',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-dev-shm-usage',
      '--no-first-run',
    ];
    const child = spawn(
      path,
      [...flags, '--remote-debugging-port=0', `--user-data-dir=${profile}`, 'about:blank'],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    );
    const closed = new Promise((resolve) => child.once('close', resolve));
    const end = async (): Promise<void> => {
      child.kill('SIGKILL');
      await closed;
      rmSync(profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
    };
    const address = await new Promise<string>((resolve, reject) => {
      createInterface({ input: child.stderr }).on('line', (line) => {
        const found = /DevTools listening on (ws:\S+)/.exec(line)?.[1];
        if (found !== undefined) resolve(found);
      });
      child.once('close', () => reject(new Error(`${path} ended before it was ready`)));
    });
    const socket = new WebSocket(address, { maxPayload: 256 * 1_048_576 });
    await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
    return new Browser(socket, end);
  }

  /** Opens a page at a size, in the light or the dark. Resolves when it has loaded. */
  async open(url: string, width: number, height: number, scheme: 'light' | 'dark'): Promise<PageView> {
    this.complaints.length = 0;
    const target = await this.send('Target.createTarget', { url: 'about:blank' });
    const attached = await this.send('Target.attachToTarget', {
      targetId: target['targetId'],
      flatten: true,
    });
    const session = String(attached['sessionId']);
    const send = (method: string, parameters: object = {}): Promise<Record<string, unknown>> =>
      this.send(method, parameters, session);
    await send('Runtime.enable');
    await send('Log.enable');
    await send('Network.enable');
    await send('Emulation.setDeviceMetricsOverride', {
      width,
      height,
      deviceScaleFactor: 1,
      mobile: width < 600,
    });
    const features = [{ name: 'prefers-color-scheme', value: scheme }];
    await send('Emulation.setEmulatedMedia', { features });
    await send('Page.navigate', { url });
    const evaluate = async (expression: string): Promise<unknown> => {
      const answer = await send('Runtime.evaluate', { expression, returnByValue: true, awaitPromise: true });
      return (answer['result'] as { value?: unknown }).value;
    };
    const ready = `location.href !== 'about:blank' && document.readyState === 'complete'`;
    await until(() => evaluate(ready), `the page ${url}`);
    const screenshot = async (): Promise<Buffer> => {
      const answer = await send('Page.captureScreenshot', { format: 'png', captureBeyondViewport: true });
      return Buffer.from(String(answer['data']), 'base64');
    };
    return { evaluate, screenshot, complaints: this.complaints };
  }

  async stop(): Promise<void> {
    this.socket.terminate();
    await this.end();
  }

  private send(method: string, parameters: object, sessionId?: string): Promise<Record<string, unknown>> {
    const id = this.next++;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, (answer) => {
        if (answer['error'] === undefined) resolve((answer['result'] ?? {}) as Record<string, unknown>);
        else reject(new Error(`${method}: ${JSON.stringify(answer['error'])}`));
      });
      this.socket.send(JSON.stringify({ id, method, params: parameters, ...(sessionId && { sessionId }) }));
    });
  }

  private hear(message: Record<string, unknown>): void {
    if (typeof message['id'] === 'number') {
      this.waiting.get(message['id'])?.(message);
      this.waiting.delete(message['id']);
      return;
    }
    const words = JSON.stringify(message['params']);
    if (message['method'] === 'Runtime.exceptionThrown' || message['method'] === 'Log.entryAdded') {
      this.complaints.push(words);
    }
    // A page that is complete in itself asks for nothing but itself.
    const request = message['params'] as { request?: { url?: string } } | undefined;
    const url = request?.request?.url ?? 'file:';
    if (message['method'] === 'Network.requestWillBeSent' && !/^(file|about|data):/.test(url)) {
      this.complaints.push(`asks for ${url}`);
    }
  }
}
