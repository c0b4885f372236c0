// The package's version, read from its package.json so that it is written down once.

import { createRequire } from 'node:module';

const packageJson = createRequire(import.meta.url)('../../package.json') as { readonly version: string };

export const packageVersion = packageJson.version;
