// The "where" of a question: rows of property, operator, value. A row joins the query as soon as it is
// complete; until then it lives here, so that a half-typed filter never empties a report.
import { ActionIcon, TagsInput, TextInput } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { IconPlus, IconX } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import { useEffect, useRef, useState } from 'react';
import { cohortsQuery, propertiesQuery, propertyValuesQuery } from '../api/queries';
import type { Cohort, Filter, Holder, Property } from '../api/types';
import { translateCode, useTranslation } from '../i18n';
import { ClassChip } from '../ui/Personal';
import { Picker } from '../ui/Picker';
import { useProject } from '../ui/project';
import classes from './Builder.module.css';
import { encodeFilter } from './codec';
import { arity, comparesNumbers, complete, draftOf, type FilterDraft, operatorsFor } from './filters';

interface FiltersProps {
  filters: Filter[] | undefined;
  onChange: (filters: Filter[]) => void;
  /** The filters over everything answer to the `/` key. */
  main?: boolean;
}

const spelled = (filters: Filter[]) => filters.map(encodeFilter).join('\n');

export function Filters({ filters = [], onChange, main }: FiltersProps) {
  const { t } = useTranslation();
  const project = useProject();
  const { data: properties = [] } = useQuery(propertiesQuery(project.id));
  const { data: cohorts = [] } = useQuery(cohortsQuery(project.id));
  const [drafts, setDrafts] = useState<FilterDraft[]>(() => filters.map(draftOf));
  const [fresh, setFresh] = useState<number | null>(null);

  const wholeOf = (rows: FilterDraft[]) =>
    rows.map((row) => complete(row, properties)).filter((filter) => filter !== null);

  // The address changed under us (Back, a link): it wins over what was being typed.
  const outside = spelled(filters);
  const [seen, setSeen] = useState(outside);
  if (outside !== seen) {
    setSeen(outside);
    if (outside !== spelled(wholeOf(drafts))) setDrafts(filters.map(draftOf));
  }

  const edit = (next: FilterDraft[]) => {
    setDrafts(next);
    const whole = wholeOf(next);
    if (spelled(whole) !== outside) onChange(whole);
  };

  const add = (name: string, on?: Holder) => {
    if (on === 'cohort') {
      edit([...drafts, { on, property: name, op: 'is_set', values: [] }]);
      return;
    }
    const [op = 'equals'] = operatorsFor(properties.find((one) => one.name === name)?.types);
    setFresh(drafts.length);
    edit([...drafts, { property: name, op, values: [] }]);
  };

  return (
    <div className={classes.filters}>
      {drafts.map((draft, at) => (
        <FilterRow
          key={`${at} ${draft.property}`}
          draft={draft}
          properties={properties}
          cohorts={cohorts}
          fresh={at === fresh}
          onChange={(changed) => edit(drafts.map((one, i) => (i === at ? changed : one)))}
          onRemove={() => edit(drafts.filter((_, i) => i !== at))}
        />
      ))}
      <PropertyPicker
        label={t('query.add_filter')}
        properties={properties}
        cohorts={cohorts}
        value={null}
        onChange={add}
        dataKey={main ? '/' : undefined}
      />
    </div>
  );
}

interface PropertyPickerProps {
  label: string;
  properties: Property[];
  /** Offered after the properties, where persons can be told apart by them. */
  cohorts?: Cohort[];
  value: string | null;
  /** Whose `value` is. */
  on?: Holder | undefined;
  onChange: (property: string, on?: Holder) => void;
  dataKey?: string;
}

// Cohorts share the list with properties; what precedes an id keeps it apart from a property of that name.
const COHORT = 'cohort ';
const NAMED = 'property ';

/** Sealed properties are listed but cannot be chosen: that they exist is no secret, what they hold is. */
export function PropertyPicker(props: PropertyPickerProps) {
  const { label, properties, cohorts = [], value, on, onChange, dataKey } = props;
  const { t } = useTranslation();
  // A saved question may name what is no longer there; it must still read right.
  const known =
    value === null ||
    (on === 'cohort'
      ? cohorts.some(({ id }) => id === value)
      : properties.some(({ name }) => name === value));
  const missing = known ? [] : [{ value: (on === 'cohort' ? COHORT : NAMED) + value, label: value }];
  return (
    <Picker
      label={label}
      variant={value === null ? 'add' : 'quiet'}
      icon={value === null ? <IconPlus size={15} aria-hidden="true" /> : undefined}
      placeholder={label}
      value={value === null ? null : (on === 'cohort' ? COHORT : NAMED) + value}
      dataKey={dataKey}
      onChange={(chosen) =>
        chosen.startsWith(COHORT)
          ? onChange(chosen.slice(COHORT.length), 'cohort')
          : onChange(chosen.slice(NAMED.length))
      }
      options={[
        ...missing,
        ...properties.map((property) => {
          const closed = property.types.length === 0;
          return {
            value: NAMED + property.name,
            label: property.name,
            disabled: closed,
            note: closed ? (
              <ClassChip class={property.class} action={property.action} />
            ) : (
              property.types.map((type) => translateCode('types', type)).join(', ')
            ),
          };
        }),
        ...cohorts.map(({ id, name }) => ({ value: COHORT + id, label: name, note: t('query.cohort') })),
      ]}
    />
  );
}

interface FilterRowProps {
  draft: FilterDraft;
  properties: Property[];
  cohorts: Cohort[];
  /** Just added: its value is what the typist wants next. */
  fresh: boolean;
  onChange: (draft: FilterDraft) => void;
  onRemove: () => void;
}

function FilterRow({ draft, properties, cohorts, fresh, onChange, onRemove }: FilterRowProps) {
  const { t } = useTranslation();
  const types = properties.find(({ name }) => name === draft.property)?.types;
  const member = draft.on === 'cohort';
  const operators = member ? (['is_set', 'is_not_set'] as const) : operatorsFor(types);
  const named = cohorts.find(({ id }) => member && id === draft.property)?.name ?? draft.property;
  return (
    <div className={classes.filter}>
      <div className={classes.filterHead}>
        <PropertyPicker
          label={t('query.property')}
          properties={properties}
          cohorts={cohorts}
          value={draft.property}
          on={draft.on}
          onChange={(property, on) => {
            if (on === 'cohort') {
              onChange({ on, property, op: 'is_set', values: [] });
              return;
            }
            const offered = operatorsFor(properties.find(({ name }) => name === property)?.types);
            const op = offered.includes(draft.op) ? draft.op : (offered[0] ?? 'equals');
            onChange({ property, op, values: [] });
          }}
        />
        <Picker
          label={t('query.operator')}
          value={draft.op}
          options={operators.map((op) => ({
            value: op,
            label: member && (op === 'is_set' || op === 'is_not_set') ? t(`member.${op}`) : t(`ops.${op}`),
          }))}
          onChange={(op) => onChange({ ...draft, op: op as FilterDraft['op'] })}
        />
        <ActionIcon
          variant="subtle"
          color="gray"
          size={24}
          ml="auto"
          aria-label={t('query.remove_filter', { property: named })}
          onClick={onRemove}
        >
          <IconX size={14} />
        </ActionIcon>
      </div>
      {arity(draft.op) === 'many' && types?.length === 1 && types[0] === 'boolean' ? (
        <Picker
          label={t('query.value')}
          value={draft.values[0] ?? null}
          placeholder={t('query.choose_value')}
          options={['true', 'false'].map((value) => ({ value, label: value }))}
          onChange={(value) => onChange({ ...draft, values: [value] })}
        />
      ) : (
        <FilterValues draft={draft} fresh={fresh} onChange={onChange} />
      )}
    </div>
  );
}

function FilterValues({ draft, fresh, onChange }: Pick<FilterRowProps, 'draft' | 'fresh' | 'onChange'>) {
  const { t } = useTranslation();
  const set = (at: number, value: string) => {
    const values = [...draft.values];
    values[at] = value;
    onChange({ ...draft, values: values.map((one) => one ?? '') });
  };
  switch (arity(draft.op)) {
    case 'none':
      return null;
    case 'many':
      return <ValueTags draft={draft} fresh={fresh} onChange={(values) => onChange({ ...draft, values })} />;
    case 'one':
      return (
        <CommittedInput
          label={t('query.value')}
          numeric={comparesNumbers(draft.op)}
          value={draft.values[0] ?? ''}
          onCommit={(value) => set(0, value)}
        />
      );
    case 'two':
      return (
        <div className={classes.pair}>
          <CommittedInput
            label={t('query.low')}
            numeric
            value={draft.values[0] ?? ''}
            onCommit={(value) => set(0, value)}
          />
          <span>{t('query.and')}</span>
          <CommittedInput
            label={t('query.high')}
            numeric
            value={draft.values[1] ?? ''}
            onCommit={(value) => set(1, value)}
          />
        </div>
      );
  }
}

const SEARCH_REST_MS = 200;

function ValueTags(props: { draft: FilterDraft; fresh: boolean; onChange: (values: string[]) => void }) {
  const { draft, fresh, onChange } = props;
  const input = useRef<HTMLInputElement>(null);
  // Once, when it appears; a field that grabs the focus later would be a nuisance.
  useEffect(() => {
    if (fresh) input.current?.focus();
  }, [fresh]);
  const { t } = useTranslation();
  const project = useProject();
  const [search, setSearch] = useState('');
  const [rested] = useDebouncedValue(search, SEARCH_REST_MS);
  const { data: suggested = [] } = useQuery({
    ...propertyValuesQuery(project.id, draft.property, rested),
    placeholderData: (before) => before,
  });
  return (
    <TagsInput
      ref={input}
      size="xs"
      aria-label={t('query.value')}
      placeholder={draft.values.length === 0 ? t('query.choose_value') : undefined}
      data={[...new Set(suggested.map(({ value }) => value))]}
      value={draft.values}
      onChange={onChange}
      searchValue={search}
      onSearchChange={setSearch}
      maxDropdownHeight={240}
      acceptValueOnBlur
    />
  );
}

const COMMIT_REST_MS = 500;

/** A text field that speaks when the typist pauses, so that each letter is not a step of the history. */
function CommittedInput(props: {
  label: string;
  value: string;
  numeric: boolean;
  onCommit: (value: string) => void;
}) {
  const { label, value, numeric, onCommit } = props;
  const [text, setText] = useState(value);
  const [seen, setSeen] = useState(value);
  if (value !== seen) {
    setSeen(value);
    setText(value);
  }
  useEffect(() => {
    if (text === value) return;
    const timer = window.setTimeout(() => onCommit(text), COMMIT_REST_MS);
    return () => window.clearTimeout(timer);
  }, [text, value, onCommit]);
  return (
    <TextInput
      size="xs"
      aria-label={label}
      placeholder={label}
      inputMode={numeric ? 'decimal' : 'text'}
      value={text}
      onChange={(event) => setText(event.currentTarget.value)}
      onBlur={() => text !== value && onCommit(text)}
    />
  );
}
