// The workers of these tests, by their file here.

import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker } from '../../support/workers.mjs';

const here = dirname(fileURLToPath(import.meta.url));

export const startWorker = (file, settings) => new Worker(join(here, file), settings);
