// "What was exposed by … from … to …": the question as a sentence. Whoever has one cause adds the next.

import { ActionIcon, Button, Select, Switch, TextInput } from '@mantine/core';
import { IconX } from '@tabler/icons-react';
import { useState } from 'react';
import { useTranslation } from '../i18n';
import { InstantInput } from '../ui/InstantInput';
import { useMemberName, useMembers } from '../ui/members';
import {
  CAUSE_KINDS,
  type CauseKind,
  decodeCauses,
  type ExposureSearch,
  encodeCause,
  isCause,
  isNumbered,
  type NamedCause,
} from './search';
import classes from './Trust.module.css';

interface ExposureQuestionProps {
  search: ExposureSearch;
  onSearch: (change: Partial<ExposureSearch>) => void;
}

export function ExposureQuestion({ search, onSearch }: ExposureQuestionProps) {
  const { t } = useTranslation();
  const name = useCauseName();
  const causes = decodeCauses(search.by);
  const put = (next: NamedCause[]) => onSearch({ by: next.length > 0 ? next.map(encodeCause) : undefined });
  return (
    <search aria-label={t('exposure.question')}>
      <div className={classes.sentence}>
        <span className={`${classes.words} ${classes.unlabelled}`}>{t('exposure.by')}</span>
        {causes.length === 0 && (
          <span className={`${classes.words} ${classes.unlabelled}`}>{t('exposure.anybody')}</span>
        )}
        {causes.map((cause, at) => (
          <span key={encodeCause(cause)} className={`${classes.chosen} ${classes.unlabelled}`}>
            <span title={cause.value}>{name(cause)}</span>
            <ActionIcon
              variant="subtle"
              size={28}
              aria-label={t('exposure.without', { name: name(cause) })}
              onClick={() => put(causes.filter((_, other) => other !== at))}
            >
              <IconX size={14} />
            </ActionIcon>
          </span>
        ))}
        <AddCause
          onAdd={(cause) => {
            const is = encodeCause(cause);
            if (!causes.some((one) => encodeCause(one) === is)) put([...causes, cause]);
          }}
        />
      </div>
      <div className={classes.sentence}>
        <InstantInput
          label={t('exposure.from')}
          value={search.from}
          onChange={(from) => onSearch({ from })}
        />
        <InstantInput label={t('exposure.to')} value={search.to} onChange={(to) => onSearch({ to })} />
        <Switch
          className={classes.unlabelled}
          label={t('disclosed.all')}
          checked={search.all === 'yes'}
          onChange={(event) => onSearch({ all: event.currentTarget.checked ? 'yes' : undefined })}
        />
      </div>
    </search>
  );
}

/** A cause in words: a member by name, everything else by its kind and the beginning of its pseudonym. */
export function useCauseName(): (cause: NamedCause) => string {
  const { t } = useTranslation();
  const memberName = useMemberName();
  return ({ kind, value }) => {
    if (kind === 'member') return memberName(Number(value));
    return t('causes.one', {
      kind: t(`causes.${kind}`),
      value: isNumbered(kind) ? value : `${value.slice(0, 8)}…`,
    });
  };
}

function AddCause({ onAdd }: { onAdd: (cause: NamedCause) => void }) {
  const { t } = useTranslation();
  const members = useMembers();
  const [kind, setKind] = useState<CauseKind>('member');
  const [typed, setTyped] = useState('');
  const value = typed.trim();
  const isReady = isCause({ kind, value });
  return (
    <form
      className={classes.sentence}
      style={{ margin: 0 }}
      onSubmit={(event) => {
        event.preventDefault();
        if (!isReady) return;
        onAdd({ kind, value });
        setTyped('');
      }}
    >
      <Select
        label={t('exposure.kind')}
        data={CAUSE_KINDS.map((one) => ({ value: one, label: t(`causes.${one}`) }))}
        value={kind}
        allowDeselect={false}
        onChange={(chosen) => {
          setKind((chosen as CauseKind | null) ?? kind);
          setTyped('');
        }}
      />
      {kind === 'member' && members.length > 0 ? (
        <Select
          label={t('exposure.which')}
          searchable
          data={members.map(({ id, name }) => ({ value: String(id), label: name }))}
          value={value || null}
          onChange={(chosen) => setTyped(chosen ?? '')}
        />
      ) : (
        <TextInput
          label={t('exposure.which')}
          description={isNumbered(kind) ? t('exposure.number') : t('exposure.pseudonym')}
          inputWrapperOrder={['label', 'input', 'description', 'error']}
          autoComplete="off"
          spellCheck={false}
          value={typed}
          onChange={(event) => setTyped(event.currentTarget.value)}
        />
      )}
      <Button type="submit" variant="default" className={classes.unlabelled} disabled={!isReady}>
        {t('exposure.add')}
      </Button>
    </form>
  );
}
