// A new cohort: whoever did or did not do something, or a list of ids that is read here and sent once.

import {
  ActionIcon,
  Button,
  FileButton,
  Group,
  SegmentedControl,
  Stack,
  Text,
  Textarea,
  TextInput,
} from '@mantine/core';
import { IconPlus, IconX } from '@tabler/icons-react';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { cohortsQuery, createCohort } from '../api/queries';
import type { CohortCondition, CohortTimes, DateRange, EventMatch, NewCohort } from '../api/types';
import { useTranslation } from '../i18n';
import { ErrorNote } from '../ui/ErrorNote';
import { Picker } from '../ui/Picker';
import { useProject, useProjectFormat } from '../ui/project';
import classes from './Builder.module.css';
import { CountInput } from './CountInput';
import { EventPicker } from './EventPicker';
import { Filters } from './Filters';
import { parseIds } from './ids';
import { orNone } from './Rail';

interface Row {
  did: 'did' | 'did_not';
  matching: EventMatch;
  times: 'at_least' | 'at_most' | 'exactly';
  count: number;
  /** Days up to now; null is ever. */
  days: number | null;
}

const FIRST_ROW: Row = { did: 'did', matching: {}, times: 'at_least', count: 1, days: 30 };
const ROWS_MAX = 10;
const COUNT_MAX = 1_000_000;
const DAYS = [7, 30, 90];
const NAME_MAX = 100;

function conditionOf(row: Row): CohortCondition {
  const times: CohortTimes =
    row.did === 'did' ? { op: row.times, count: row.count } : { op: 'at_most', count: 0 };
  const window: DateRange | null = row.days === null ? null : { kind: 'last', count: row.days, unit: 'day' };
  return { kind: 'did', matching: row.matching, times, ...(window ? { window } : {}) };
}

export function CohortForm() {
  const { t } = useTranslation();
  const project = useProject();
  const format = useProjectFormat();
  const queryClient = useQueryClient();
  const [name, setName] = useState('');
  const [kind, setKind] = useState<'dynamic' | 'static'>('dynamic');
  const [join, setJoin] = useState<'all' | 'any'>('all');
  const [rows, setRows] = useState<Row[]>([FIRST_ROW]);
  const [text, setText] = useState('');
  const ids = parseIds(text);

  const made = (): NewCohort => {
    const title = name.trim();
    if (kind === 'static') return { name: title, rule: { kind: 'static' }, ids };
    const [only, ...more] = rows.map(conditionOf);
    const condition: CohortCondition =
      only && more.length === 0 ? only : { kind: join, of: rows.map(conditionOf) };
    return { name: title, rule: { kind: 'dynamic', condition } };
  };
  const create = useMutation({
    mutationFn: () => createCohort(project.id, made()),
    onSuccess: async () => {
      setName('');
      setText('');
      setRows([FIRST_ROW]);
      await queryClient.invalidateQueries({ queryKey: cohortsQuery(project.id).queryKey });
    },
  });
  const change = (at: number, changed: Partial<Row>) =>
    setRows(rows.map((row, i) => (i === at ? { ...row, ...changed } : row)));

  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        create.mutate();
      }}
    >
      <Stack gap="sm">
        <TextInput
          label={t('cohort.name')}
          value={name}
          onChange={(event) => setName(event.currentTarget.value)}
          maxLength={NAME_MAX}
          required
        />
        <SegmentedControl
          size="xs"
          aria-label={t('cohort.kind')}
          value={kind}
          onChange={(next) => setKind(next as 'dynamic' | 'static')}
          data={(['dynamic', 'static'] as const).map((value) => ({ value, label: t(`cohort.${value}`) }))}
        />
        {kind === 'dynamic' ? (
          <>
            {rows.length > 1 && (
              <Group>
                <Picker
                  label={t('cohort.join')}
                  value={join}
                  options={(['all', 'any'] as const).map((value) => ({ value, label: t(`cohort.${value}`) }))}
                  onChange={(next) => setJoin(next as 'all' | 'any')}
                />
              </Group>
            )}
            {rows.map((row, at) => (
              <div key={at} className={classes.card}>
                <div className={classes.cardHead}>
                  <Picker
                    label={t('cohort.did_label')}
                    value={row.did}
                    options={(['did', 'did_not'] as const).map((value) => ({
                      value,
                      label: t(`cohort.${value}`),
                    }))}
                    onChange={(did) => change(at, { did: did as Row['did'] })}
                  />
                  <EventPicker
                    label={t('query.event')}
                    event={row.matching.event}
                    onChange={(event) => change(at, { matching: { ...row.matching, event } })}
                  />
                  {rows.length > 1 && (
                    <ActionIcon
                      variant="subtle"
                      color="gray"
                      size={24}
                      aria-label={t('cohort.remove_condition', { number: at + 1 })}
                      onClick={() => setRows(rows.filter((_, i) => i !== at))}
                    >
                      <IconX size={14} />
                    </ActionIcon>
                  )}
                </div>
                <div className={classes.cardLine}>
                  {row.did === 'did' && (
                    <>
                      <Picker
                        label={t('cohort.times_label')}
                        value={row.times}
                        options={(['at_least', 'at_most', 'exactly'] as const).map((value) => ({
                          value,
                          label: t(`cohort.${value}`),
                        }))}
                        onChange={(times) => change(at, { times: times as Row['times'] })}
                      />
                      <CountInput
                        label={t('cohort.count')}
                        value={row.count}
                        max={COUNT_MAX}
                        onChange={(count) => change(at, { count })}
                      />
                      <span className={classes.word}>{t('cohort.times_word', { count: row.count })}</span>
                    </>
                  )}
                  <Picker
                    label={t('cohort.window')}
                    value={row.days === null ? 'ever' : String(row.days)}
                    options={[
                      ...DAYS.map((days) => ({
                        value: String(days),
                        label: t('range.day', { count: days }),
                      })),
                      { value: 'ever', label: t('cohort.ever') },
                    ]}
                    onChange={(days) => change(at, { days: days === 'ever' ? null : Number(days) })}
                  />
                </div>
                <Filters
                  filters={row.matching.filters}
                  onChange={(filters) =>
                    change(at, { matching: { ...row.matching, filters: orNone(filters) } })
                  }
                />
              </div>
            ))}
            {rows.length < ROWS_MAX && (
              <button type="button" className={classes.add} onClick={() => setRows([...rows, FIRST_ROW])}>
                <IconPlus size={15} aria-hidden="true" />
                {t('cohort.add_condition')}
              </button>
            )}
          </>
        ) : (
          <>
            <Textarea
              label={t('cohort.ids')}
              description={t('cohort.ids_text')}
              value={text}
              onChange={(event) => setText(event.currentTarget.value)}
              autosize
              minRows={4}
              maxRows={10}
            />
            <Group>
              <FileButton
                accept=".csv,.txt,text/csv,text/plain"
                onChange={async (file) => file && setText(await file.text())}
              >
                {(props) => (
                  <Button {...props} variant="default" size="xs">
                    {t('cohort.choose_file')}
                  </Button>
                )}
              </FileButton>
              <Text size="sm" role="status">
                {t('cohort.ids_read', { count: ids.length, number: format.count(ids.length) })}
              </Text>
            </Group>
          </>
        )}
        <ErrorNote error={create.error} />
        <Group>
          <Button
            type="submit"
            loading={create.isPending}
            disabled={name.trim() === '' || (kind === 'static' && ids.length === 0)}
          >
            {t('cohort.create')}
          </Button>
        </Group>
      </Stack>
    </form>
  );
}
