// A list of rows with device and place, for five minutes: why, a factor shown again, what the ledger says of it.
// What was opened is in this page's memory alone, and goes with the question that it answers.

import { Button, Group, Select } from '@mantine/core';
import { useCallback, useState } from 'react';
import { rowsInClear } from '../api/oversight';
import type { Purpose, RowsInClear, RowsQuery } from '../api/types';
import { useTranslation } from '../i18n';
import { Confirm } from '../ui/Confirm';
import { Dialog } from '../ui/Dialog';
import { EmptyState } from '../ui/EmptyState';
import { PURPOSES } from '../ui/fields';
import page from '../ui/Page.module.css';
import { useProject } from '../ui/project';
import classes from './Persons.module.css';
import { Recorded, SHOWN_MS } from './Recorded';

interface Shown extends RowsInClear {
  /** The question, as text. */
  asked: string;
  until: number;
}

export interface ListInClear {
  query: RowsQuery | null;
  shown: Shown | null;
  show: (rows: Shown) => void;
  hide: () => void;
}

/** Of the list that a question asks for: what was opened of it. */
export function useInClear(query: RowsQuery | null): ListInClear {
  const [shown, show] = useState<Shown | null>(null);
  const hide = useCallback(() => show(null), []);
  // Another question is another list.
  if (shown && shown.asked !== JSON.stringify(query)) hide();
  return { query, shown, show, hide };
}

interface InClearProps {
  list: ListInClear;
  /** Whoever sees this has no other way to the list. */
  isClosed: boolean;
  /** What the button says. */
  label: string;
  /** Whether it is being asked for; whoever holds this leaves Escape to the dialog then. */
  asking: boolean;
  onAsking: (asking: boolean) => void;
}

/** Stands above the list. The button stays the same one, so that the focus finds it again. */
export function InClear({ list, isClosed, label, asking, onAsking }: InClearProps) {
  const { t } = useTranslation();
  const { query, shown, show, hide } = list;
  return (
    <>
      {isClosed && !shown && (
        <EmptyState slim title={t('in_clear.closed')}>
          {t('in_clear.closed_text')}
        </EmptyState>
      )}
      <Group
        className={shown ? classes.revealed : undefined}
        my="sm"
        wrap="nowrap"
        justify={shown ? 'space-between' : isClosed ? 'center' : 'flex-start'}
      >
        {shown && <Recorded entry={shown.entry} until={shown.until} onOver={hide} />}
        <Button size="xs" variant="default" onClick={() => (shown ? hide() : onAsking(true))}>
          {shown ? t('reveal.hide') : label}
        </Button>
      </Group>
      <Dialog opened={asking} onClose={() => onAsking(false)} title={t('in_clear.title')}>
        {asking && query && (
          <InClearForm
            query={query}
            onShown={(rows) => {
              show(rows);
              onAsking(false);
            }}
            onClose={() => onAsking(false)}
          />
        )}
      </Dialog>
    </>
  );
}

interface InClearFormProps {
  query: RowsQuery;
  onShown: (rows: Shown) => void;
  onClose: () => void;
}

function InClearForm({ query, onShown, onClose }: InClearFormProps) {
  const { t } = useTranslation();
  const project = useProject();
  const [purpose, setPurpose] = useState<Purpose | null>(null);
  return (
    <Confirm
      label={t('in_clear.show')}
      ready={purpose !== null}
      act={async () => ({
        ...(await rowsInClear(project.id, query, purpose ?? 'support')),
        asked: JSON.stringify(query),
        until: Date.now() + SHOWN_MS,
      })}
      onDone={onShown}
      onCancel={onClose}
    >
      <p className={page.lead}>{t('in_clear.text')}</p>
      <Select
        label={t('disclosed.purpose')}
        required
        data={PURPOSES.map((value) => ({ value, label: t(`purposes.${value}`) }))}
        value={purpose}
        onChange={(chosen) => setPurpose(chosen as Purpose | null)}
      />
    </Confirm>
  );
}
