// Lets Node load the TypeScript of this folder as it is: `node --import ./test/mutants/loader.js file.ts`.

import { register } from 'node:module';

register('./loader-hooks.js', import.meta.url);
