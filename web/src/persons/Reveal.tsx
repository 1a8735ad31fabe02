// One field of one person in clear, for five minutes: why, a factor shown again, what the ledger says of it.
// What was opened is in this component's memory alone, and goes with it.

import { Button, Group, Select, Stack } from '@mantine/core';
import { useState } from 'react';
import { requestDisclosure, revealField } from '../api/oversight';
import type { Purpose, Revealed } from '../api/types';
import { useTranslation } from '../i18n';
import { Confirm } from '../ui/Confirm';
import { Dialog } from '../ui/Dialog';
import { classOf, FIELDS, PURPOSES, type SealedField, useWords } from '../ui/fields';
import page from '../ui/Page.module.css';
import { PlainValue } from '../ui/Personal';
import { useProject } from '../ui/project';
import classes from './Persons.module.css';
import { Recorded, SHOWN_MS } from './Recorded';

interface RevealProps {
  pseudonym: string;
  /** Whether it is being asked for; whoever holds this leaves Escape to the dialog then. */
  asking: boolean;
  onAsking: (asking: boolean) => void;
}

export function Reveal({ pseudonym, asking, onAsking }: RevealProps) {
  const { t } = useTranslation();
  const [shown, setShown] = useState<Revealed | null>(null);
  return (
    <>
      <Button size="xs" variant="default" onClick={() => onAsking(true)}>
        {t('reveal.begin')}
      </Button>
      {shown && <Shown key={shown.entry} revealed={shown} onHide={() => setShown(null)} />}
      <Dialog opened={asking} onClose={() => onAsking(false)} title={t('reveal.title')}>
        {asking && (
          <RevealForm
            pseudonym={pseudonym}
            onShown={(revealed) => {
              setShown(revealed);
              onAsking(false);
            }}
            onClose={() => onAsking(false)}
          />
        )}
      </Dialog>
    </>
  );
}

interface RevealFormProps {
  pseudonym: string;
  onShown: (revealed: Revealed) => void;
  onClose: () => void;
}

/** What was opened, or that others were asked. */
type Made = { revealed: Revealed } | 'asked';

function RevealForm({ pseudonym, onShown, onClose }: RevealFormProps) {
  const { t } = useTranslation();
  const project = useProject();
  const words = useWords();
  const [field, setField] = useState<SealedField>('email');
  const [purpose, setPurpose] = useState<Purpose | null>(null);
  const [isAsked, setAsked] = useState(false);
  const isSensitive = classOf(field) === 'C4';

  const act = async (): Promise<Made> => {
    const why = purpose ?? 'support';
    if (isSensitive) {
      await requestDisclosure(project.id, {
        what: { kind: 'reveal', person: pseudonym, field },
        purpose: why,
        format: 'ndjson',
      });
      return 'asked';
    }
    return { revealed: await revealField(project.id, pseudonym, field, why) };
  };

  if (isAsked) {
    return (
      <Stack gap="md">
        <p role="status" className={page.lead}>
          {t('reveal.asked')}
        </p>
        <Group justify="flex-end">
          <Button variant="default" onClick={onClose}>
            {t('shell.close')}
          </Button>
        </Group>
      </Stack>
    );
  }
  return (
    <Confirm
      label={t(isSensitive ? 'reveal.ask' : 'reveal.show')}
      ready={purpose !== null}
      act={act}
      onDone={(made) => (made === 'asked' ? setAsked(true) : onShown(made.revealed))}
      onCancel={onClose}
    >
      <p className={page.lead}>{t(isSensitive ? 'reveal.text_sensitive' : 'reveal.text', { pseudonym })}</p>
      <Select
        label={t('reveal.field')}
        data={FIELDS.map((value) => ({ value, label: `${words.field(value)} (${classOf(value)})` }))}
        value={field}
        allowDeselect={false}
        onChange={(chosen) => setField((chosen as SealedField | null) ?? field)}
      />
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

function Shown({ revealed, onHide }: { revealed: Revealed; onHide: () => void }) {
  const { t } = useTranslation();
  const [until] = useState(() => Date.now() + SHOWN_MS);
  return (
    <section className={classes.revealed} aria-label={t('reveal.shown')}>
      <Group justify="space-between" wrap="nowrap" align="flex-start">
        <Recorded entry={revealed.entry} until={until} onOver={onHide} />
        <Button size="compact-xs" variant="default" onClick={onHide}>
          {t('reveal.hide')}
        </Button>
      </Group>
      {revealed.values.length === 0 && <p>{t('reveal.nothing')}</p>}
      <dl className={classes.facts}>
        {revealed.values.map(({ property, value }, at) => (
          <div key={at}>
            <dt>{property}</dt>
            <dd>
              <PlainValue value={value} />
            </dd>
          </div>
        ))}
      </dl>
    </section>
  );
}
