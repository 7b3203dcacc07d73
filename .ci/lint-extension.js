// Runs `web-ext lint` on a folder or a package, `extension` if not said, and fails on any error, and on any warning but the one that a manifest for both browsers cannot avoid.
import { spawnSync } from 'node:child_process';

// Chromium needs background.service_worker; Firefox says that it ignores it and takes background.scripts.
const ALLOWED = new Set(['BACKGROUND_SERVICE_WORKER_IGNORED']);

const [source = 'extension'] = process.argv.slice(2);
const lint = spawnSync(
  'node_modules/.bin/web-ext',
  ['lint', '--source-dir', source, '--output', 'json', '--no-config-discovery'],
  { encoding: 'utf8' },
);
if (!lint.stdout.trimStart().startsWith('{')) {
  console.error(lint.stdout + lint.stderr);
  process.exit(1);
}
const { errors, warnings } = JSON.parse(lint.stdout);
const faults = [...errors, ...warnings.filter((warning) => !ALLOWED.has(warning.code))];
for (const { _type, code, file, line, message } of faults) {
  console.error(`${_type} ${code} ${file ?? source}${line ? `:${line}` : ''} ${message}`);
}
console.log(`${source}: ${faults.length} faults`);
process.exit(faults.length ? 1 : 0);
