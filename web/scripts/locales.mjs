// Fails unless every catalogue holds the same keys and each plural has exactly the forms its language
// needs (Spanish and Italian have `many`, English does not), with the same placeholders.
import { readFileSync } from 'node:fs';

const LANGUAGES = ['en', 'es', 'it'];
const PLURAL = /_(zero|one|two|few|many|other)$/;

function flatten(value, prefix = '') {
  return Object.entries(value).flatMap(([key, child]) =>
    typeof child === 'string' ? [[prefix + key, child]] : flatten(child, `${prefix}${key}.`),
  );
}

const placeholders = (text) => [...text.matchAll(/\{\{\s*(\w+)/g)].map((match) => match[1]).sort();

const problems = [];
const catalogues = new Map();
for (const language of LANGUAGES) {
  const texts = ['', 'trust.'].flatMap((part) =>
    flatten(JSON.parse(readFileSync(new URL(`../src/i18n/${part}${language}.json`, import.meta.url)))),
  );
  const forms = new Intl.PluralRules(language).resolvedOptions().pluralCategories;
  const bases = new Map();
  for (const [key, text] of texts) {
    if (text.trim() === '') problems.push(`${language}: ${key} is empty`);
    const base = key.replace(PLURAL, '');
    const entry = bases.get(base) ?? { forms: [], text };
    const form = PLURAL.exec(key)?.[1];
    if (form) entry.forms.push(form);
    if (form === 'other') entry.text = text;
    bases.set(base, entry);
  }
  for (const [base, entry] of bases) {
    if (entry.forms.length === 0) continue;
    for (const form of forms) {
      if (!entry.forms.includes(form)) problems.push(`${language}: ${base} lacks the plural form ${form}`);
    }
    for (const form of entry.forms) {
      if (!forms.includes(form)) problems.push(`${language}: ${base}_${form} is no form of this language`);
    }
  }
  catalogues.set(language, bases);
}

const [first, ...others] = LANGUAGES;
for (const language of others) {
  for (const [base, entry] of catalogues.get(first)) {
    const twin = catalogues.get(language).get(base);
    if (!twin) problems.push(`${language}: ${base} is missing`);
    else if (placeholders(entry.text).join() !== placeholders(twin.text).join())
      problems.push(`${language}: ${base} has other placeholders than ${first}`);
  }
  for (const base of catalogues.get(language).keys()) {
    if (!catalogues.get(first).has(base)) problems.push(`${language}: ${base} is not in ${first}`);
  }
}

if (problems.length > 0) {
  console.error(problems.join('\n'));
  process.exit(1);
}
console.log(`locales: ${LANGUAGES.join(', ')} hold the same ${catalogues.get(first).size} texts`);
