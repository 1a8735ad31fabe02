// Asking for an export: what, of whom, why, and for whose eyes. What the policy says about exactly this stands
// beneath before anybody asks for it.

import { Group, Loader, MultiSelect, SegmentedControl, Select, Stack, TextInput } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { type ReactNode, useMemo, useState } from 'react';
import { disclosurePlanQuery, requestDisclosure } from '../api/oversight';
import { cohortsQuery, disclosuresQuery, eventNamesQuery } from '../api/queries';
import type {
  Cohort,
  CohortCondition,
  DateRange,
  Disclosure,
  DisclosureRequest,
  Purpose,
} from '../api/types';
import { useTranslation } from '../i18n';
import { Confirm } from '../ui/Confirm';
import { ErrorNote } from '../ui/ErrorNote';
import { classOf, FIELDS, PURPOSES, type SealedField, useWords } from '../ui/fields';
import classes from '../ui/Page.module.css';
import { useProject, useProjectFormat } from '../ui/project';
import { isRecipient } from '../ui/recipient';

const EVERYBODY = 'everybody';
const PLAN_AFTER_MS = 250;

interface ExportFormProps {
  range: DateRange;
  /** The choice of dates, which is the reports'. */
  dates: ReactNode;
  onDone: (made: Disclosure) => void;
  onCancel: () => void;
}

export function ExportForm({ range, dates, onDone, onCancel }: ExportFormProps) {
  const { t } = useTranslation();
  const project = useProject();
  const words = useWords();
  const queryClient = useQueryClient();
  const { data: cohorts = [] } = useQuery(cohortsQuery(project.id));
  const { data: events = [] } = useQuery(eventNamesQuery(project.id));
  const [kind, setKind] = useState<'events' | 'persons'>('persons');
  const [fields, setFields] = useState<SealedField[]>(['email']);
  const [who, setWho] = useState(EVERYBODY);
  const [event, setEvent] = useState<string | null>(null);
  const [purpose, setPurpose] = useState<Purpose | null>(null);
  const [format, setFormat] = useState<'csv' | 'ndjson'>('csv');
  const [typed, setTyped] = useState('');
  const recipient = typed.trim();
  const isKey = isRecipient(recipient);

  const request = useMemo<DisclosureRequest | null>(() => {
    const cohort = cohorts.find(({ id }) => id === who);
    const isWhole =
      purpose !== null && (kind === 'persons' ? fields.length > 0 && isKey : recipient === '' || isKey);
    if (!isWhole || purpose === null) return null;
    return {
      what:
        kind === 'persons'
          ? {
              kind,
              fields,
              ...(cohort ? { who: conditionOf(cohort) } : {}),
            }
          : { kind, range, matching: event ? { event } : {} },
      purpose,
      format,
      ...(recipient ? { recipient } : {}),
    };
  }, [kind, fields, who, cohorts, event, purpose, format, recipient, isKey, range]);

  return (
    <Confirm
      label={t('exports.ask')}
      ready={request !== null}
      act={() => requestDisclosure(project.id, request as DisclosureRequest)}
      onDone={(made) => {
        queryClient.invalidateQueries({ queryKey: disclosuresQuery().queryKey });
        onDone(made);
      }}
      onCancel={onCancel}
    >
      <SegmentedControl
        aria-label={t('exports.what')}
        fullWidth
        data={[
          { value: 'persons', label: t('exports.persons') },
          { value: 'events', label: t('exports.events') },
        ]}
        value={kind}
        onChange={(next) => setKind(next as typeof kind)}
      />
      {kind === 'persons' ? (
        <>
          <MultiSelect
            label={t('exports.fields')}
            description={t('exports.fields_text')}
            required
            data={FIELDS.map((field) => ({
              value: field,
              label: `${words.field(field)} (${classOf(field)})`,
            }))}
            value={fields}
            onChange={(next) => setFields(FIELDS.filter((field) => next.includes(field)))}
          />
          <Select
            label={t('exports.who')}
            data={[
              { value: EVERYBODY, label: t('exports.everybody') },
              ...cohorts.map(({ id, name }) => ({ value: id, label: name })),
            ]}
            value={who}
            allowDeselect={false}
            onChange={(next) => setWho(next ?? EVERYBODY)}
          />
        </>
      ) : (
        <>
          <Group gap="xs">{dates}</Group>
          <Select
            label={t('query.event')}
            placeholder={t('query.any_event')}
            searchable
            clearable
            clearButtonProps={{ 'aria-label': t('query.any_event') }}
            data={events.map(({ name }) => name)}
            value={event}
            onChange={setEvent}
          />
        </>
      )}
      <Select
        label={t('disclosed.purpose')}
        required
        data={PURPOSES.map((value) => ({ value, label: t(`purposes.${value}`) }))}
        value={purpose}
        onChange={(next) => setPurpose(next as Purpose | null)}
      />
      <TextInput
        label={t('exports.recipient')}
        description={t(kind === 'persons' ? 'exports.recipient_text' : 'exports.recipient_optional')}
        placeholder="age1…"
        required={kind === 'persons'}
        autoComplete="off"
        spellCheck={false}
        error={recipient !== '' && !isKey && t('exports.recipient_form')}
        value={typed}
        onChange={(change) => setTyped(change.currentTarget.value)}
      />
      <SegmentedControl
        aria-label={t('exports.format')}
        data={[
          { value: 'csv', label: 'CSV' },
          { value: 'ndjson', label: 'NDJSON' },
        ]}
        value={format}
        onChange={(next) => setFormat(next as typeof format)}
      />
      {request ? <Plan request={request} /> : <p className={classes.lead}>{t('exports.plan_later')}</p>}
    </Confirm>
  );
}

/** A rule as it stands, so that whoever approves reads it; a list by its name. */
function conditionOf({ id, rule }: Cohort): CohortCondition {
  if (rule.kind === 'dynamic') return rule.condition;
  return { kind: 'is', filter: { property: id, on: 'cohort', condition: { op: 'is_set' } } };
}

/** What the policy says of exactly this request, before it is made. */
function Plan({ request }: { request: DisclosureRequest }) {
  const { t } = useTranslation();
  const format = useProjectFormat();
  const project = useProject();
  const [asked] = useDebouncedValue(request, PLAN_AFTER_MS);
  const { data: plan, error, isFetching } = useQuery(disclosurePlanQuery(project.id, asked));
  if (error) return <ErrorNote error={error} />;
  return (
    <Stack gap={4} role="status" aria-busy={isFetching}>
      {!plan && <Loader size="xs" />}
      {plan && (
        <>
          <strong>
            {plan.approvals_needed === 0
              ? t('exports.plan_free', { class: plan.opens })
              : t('exports.plan_needs', { class: plan.opens, count: plan.approvals_needed })}
          </strong>
          {plan.approvals_needed > 0 && (
            <span>
              {plan.approvers >= plan.approvals_needed
                ? t('exports.plan_others', { count: plan.approvers })
                : t('exports.plan_nobody')}
            </span>
          )}
          {plan.waits_until && (
            <span>{t('exports.plan_waits', { time: format.dateTime(plan.waits_until) })}</span>
          )}
          <span className={classes.lead}>{t('exports.plan_limits')}</span>
        </>
      )}
    </Stack>
  );
}
