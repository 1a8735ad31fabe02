// Languages of the console. One catalogue is loaded at a time, and that of the trust pages when one is opened; the build checks that all three hold the
// same keys, so there is no fallback language to ship. Names of events and properties are never translated.
import i18n, { type TFunction } from 'i18next';
import { useSyncExternalStore } from 'react';
import type catalogue from './en.json';
import type trustCatalogue from './trust.en.json';

declare module 'i18next' {
  interface CustomTypeOptions {
    defaultNS: 'translation';
    resources: { translation: typeof catalogue & typeof trustCatalogue };
  }
}

export const LANGUAGES = { en: 'English', es: 'Español', it: 'Italiano' } as const;
export type Language = keyof typeof LANGUAGES;

const translators = new Map<Language, TFunction>();
const STORAGE_KEY = 'cofferdam-language';

const catalogues: Record<Language, () => Promise<{ default: object }>> = {
  en: () => import('./en.json'),
  es: () => import('./es.json'),
  it: () => import('./it.json'),
};

/** What only the trust pages say; whoever shows it loads it first. */
const trustCatalogues: typeof catalogues = {
  en: () => import('./trust.en.json'),
  es: () => import('./trust.es.json'),
  it: () => import('./trust.it.json'),
};
const trustLoaded = new Set<Language>();
let needsTrust = false;

async function addTrust(language: Language): Promise<void> {
  if (trustLoaded.has(language)) return;
  const { default: catalogue } = await trustCatalogues[language]();
  i18n.addResourceBundle(language, 'translation', catalogue, true);
  trustLoaded.add(language);
}

/** For the loader of every route that shows such texts: they are there when it is drawn, in whatever language. */
export async function loadTrustTexts(): Promise<void> {
  needsTrust = true;
  await addTrust(i18n.language as Language);
}

function isLanguage(candidate: string | null | undefined): candidate is Language {
  return candidate !== null && candidate !== undefined && candidate in LANGUAGES;
}

function preferredLanguage(): Language {
  const stored = window.localStorage.getItem(STORAGE_KEY);
  if (isLanguage(stored)) return stored;
  const spoken = navigator.languages.map((tag) => tag.split('-')[0]).find(isLanguage);
  return spoken ?? 'en';
}

export async function startI18n(): Promise<void> {
  const language = preferredLanguage();
  const { default: catalogue } = await catalogues[language]();
  await i18n.init({
    lng: language,
    resources: { [language]: { translation: catalogue } },
    fallbackLng: false,
    // React escapes; a second time would show the entities.
    interpolation: { escapeValue: false },
    returnNull: false,
  });
  document.documentElement.lang = language;
}

function subscribe(listener: () => void): () => void {
  i18n.on('languageChanged', listener);
  return () => i18n.off('languageChanged', listener);
}

/** The translator of the language on screen; whoever uses it is drawn again when that changes. */
export function useTranslation(): { t: TFunction; language: Language } {
  const language = useSyncExternalStore(subscribe, () => i18n.language) as Language;
  // Another language is another function, so that whatever was worked out with the old one is worked out anew.
  let t = translators.get(language);
  if (!t) {
    t = i18n.getFixedT(language);
    translators.set(language, t);
  }
  return { t, language };
}

export async function changeLanguage(language: Language): Promise<void> {
  if (!i18n.hasResourceBundle(language, 'translation')) {
    const { default: catalogue } = await catalogues[language]();
    i18n.addResourceBundle(language, 'translation', catalogue);
  }
  if (needsTrust) await addTrust(language);
  await i18n.changeLanguage(language);
  window.localStorage.setItem(STORAGE_KEY, language);
  document.documentElement.lang = language;
}

/** Translates a code the server sent (an error, a reason, …); a code it does not know comes back as given. */
export function translateCode(
  group:
    | 'errors'
    | 'reasons'
    | 'outcomes'
    | 'types'
    | 'fields'
    | 'field_groups'
    | 'notice_reasons'
    | 'audiences',
  code: string,
  fallback = code,
): string {
  const key = `${group}.${code}`;
  return i18n.exists(key) ? i18n.t(key as never) : fallback;
}
