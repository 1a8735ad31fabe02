// Single-key shortcuts. `g` then a letter goes to a page; the others press the one element on the page
// that carries the matching `data-key`, so a page offers a key by marking a button. They keep out of text
// fields and can be switched off, as WCAG 2.1.4 asks.
import { useLocalStorage } from '@mantine/hooks';
import { useEffect, useRef } from 'react';
import { PAGES, type PagePath } from './pages';

const SEQUENCE_MS = 1_200;

function isTyping(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  return (
    target.isContentEditable || target.matches('input, textarea, select, [role="listbox"], [role="dialog"] *')
  );
}

export function useSingleKeysEnabled() {
  return useLocalStorage({
    key: 'cofferdam-single-keys',
    defaultValue: true,
    getInitialValueInEffect: false,
  });
}

interface KeyHandlers {
  goTo: (path: PagePath) => void;
  showKeys: () => void;
}

export function useSingleKeys({ goTo, showKeys }: KeyHandlers): void {
  const [enabled] = useSingleKeysEnabled();
  const pending = useRef(0);

  useEffect(() => {
    if (!enabled) return;
    const onKeyDown = (event: KeyboardEvent) => {
      if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target))
        return;
      const follows = Date.now() - pending.current < SEQUENCE_MS;
      pending.current = 0;
      const page = follows && PAGES.find(({ key }) => key === event.key);
      if (page) {
        event.preventDefault();
        goTo(page.path);
      } else if (event.key === 'g') {
        pending.current = Date.now();
      } else if (event.key === '?') {
        event.preventDefault();
        showKeys();
      } else if (event.key === '/' || event.key === 't') {
        const pressed = document.querySelector<HTMLElement>(`[data-key="${event.key}"]`);
        if (!pressed) return;
        event.preventDefault();
        pressed.focus();
        pressed.click();
      }
    };
    document.addEventListener('keydown', onKeyDown);
    return () => document.removeEventListener('keydown', onKeyDown);
  }, [enabled, goTo, showKeys]);
}
