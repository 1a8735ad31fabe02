// Fails when what a visitor must load grows past its budget: the scripts that the page names, with the largest
// catalogue; its style sheets; and any single piece that is fetched later. Sizes are gzipped.
import { readdirSync, readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';

const KB = 1_000;
const BUDGETS = { first: 260 * KB, styles: 45 * KB, piece: 60 * KB };

const dist = new URL('../dist/', import.meta.url);
const page = readFileSync(new URL('index.html', dist), 'utf8');
const sizeOf = (path) => gzipSync(readFileSync(new URL(path, dist)), { level: 9 }).length;
const named = (ending) =>
  [...page.matchAll(/(?:src|href)="\/(assets\/[^"]+)"/g)]
    .map(([, path]) => path)
    .filter((path) => path.endsWith(ending));
const sum = (paths) => paths.reduce((total, path) => total + sizeOf(path), 0);

const scripts = named('.js');
const others = readdirSync(new URL('assets/', dist))
  .filter((name) => name.endsWith('.js'))
  .map((name) => `assets/${name}`)
  .filter((path) => !scripts.includes(path));
const catalogues = others.filter((path) => /\/(en|es|it)-[^/]+\.js$/.test(path));
const figures = {
  first: sum(scripts) + Math.max(0, ...catalogues.map(sizeOf)),
  styles: sum(named('.css')),
  piece: Math.max(0, ...others.map(sizeOf)),
};

const over = Object.keys(BUDGETS).filter((name) => figures[name] > BUDGETS[name]);
const said = Object.keys(BUDGETS)
  .map((name) => `${name} ${(figures[name] / KB).toFixed(1)} of ${BUDGETS[name] / KB} kB`)
  .join(', ');
if (scripts.length === 0 || catalogues.length !== 3) {
  console.error(
    'budget: the page names no scripts, or a catalogue is missing: is the build laid out otherwise?',
  );
  process.exit(1);
}
console.log(`budget: ${said}`);
if (over.length > 0) {
  console.error(`budget: too large: ${over.join(', ')}`);
  process.exit(1);
}
