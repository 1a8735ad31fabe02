// "What people do after Sign up, three steps on": the question of a Flows report.

import { ActionIcon } from '@mantine/core';
import { IconPlus, IconX } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import { eventNamesQuery } from '../api/queries';
import type { Count, FlowsQuery } from '../api/types';
import { useTranslation } from '../i18n';
import { Picker } from '../ui/Picker';
import { useProject, useProjectFormat } from '../ui/project';
import classes from './Builder.module.css';
import { CountInput } from './CountInput';
import { COUNTS, FLOW_AFTER_MAX, FLOW_BEFORE_MAX, FLOW_NODES, FLOW_NODES_MAX } from './codec';
import { EventPicker } from './EventPicker';
import { Filters } from './Filters';
import { Clause, orNone, Rail, WhereClause } from './Rail';
import { countsSessions, SessionClause } from './SessionClause';
import { WindowPicker } from './WindowPicker';

interface FlowsRailProps {
  query: FlowsQuery;
  onChange: (query: FlowsQuery) => void;
}

export function FlowsRail({ query, onChange }: FlowsRailProps) {
  const { t } = useTranslation();
  const before = query.before ?? 0;
  return (
    <Rail>
      <Clause name={t('query.anchor')}>
        <div className={classes.card}>
          <EventPicker
            label={t('query.anchor')}
            event={query.anchor.event}
            onChange={(event) => onChange({ ...query, anchor: { ...query.anchor, event } })}
          />
          <Filters
            filters={query.anchor.filters}
            onChange={(filters) =>
              onChange({ ...query, anchor: { ...query.anchor, filters: orNone(filters) } })
            }
          />
        </div>
      </Clause>
      <Clause name={t('query.steps')}>
        <div className={classes.cardLine}>
          <CountInput
            label={t('query.steps_after')}
            value={query.after}
            min={before > 0 ? 0 : 1}
            max={FLOW_AFTER_MAX}
            onChange={(after) => onChange({ ...query, after })}
          />
          <span className={classes.word}>{t('query.steps_after')}</span>
        </div>
        <div className={classes.cardLine}>
          <CountInput
            label={t('query.steps_before')}
            value={before}
            min={query.after > 0 ? 0 : 1}
            max={FLOW_BEFORE_MAX}
            onChange={(steps) => onChange({ ...query, before: steps })}
          />
          <span className={classes.word}>{t('query.steps_before')}</span>
        </div>
        <div className={classes.cardLine}>
          <CountInput
            label={t('query.nodes')}
            value={query.nodes ?? FLOW_NODES}
            max={FLOW_NODES_MAX}
            onChange={(nodes) => onChange({ ...query, nodes })}
          />
          <span className={classes.word}>{t('query.nodes')}</span>
        </div>
        <div className={classes.cardLine}>
          <Picker
            label={t('query.repeats')}
            value={query.collapse_repeats ? 'once' : 'each'}
            options={(['each', 'once'] as const).map((value) => ({ value, label: t(`repeats.${value}`) }))}
            onChange={(value) => onChange({ ...query, collapse_repeats: value === 'once' })}
          />
        </div>
      </Clause>
      <Clause name={t('query.counting')}>
        <div className={classes.cardLine}>
          <Picker
            label={t('query.counting')}
            value={query.count ?? 'unique'}
            options={COUNTS.map((value) => ({ value, label: t(`counts.${value}`) }))}
            onChange={(count) => onChange({ ...query, count: count as Count })}
          />
        </div>
      </Clause>
      <Clause name={t('query.within')}>
        <WindowPicker
          label={t('query.reach')}
          window={query.window ?? { count: 30, unit: 'day' }}
          words={t('query.of_anchor')}
          onChange={(window) => onChange({ ...query, window })}
        />
      </Clause>
      {countsSessions(query) && (
        <SessionClause rule={query.sessions} onChange={(sessions) => onChange({ ...query, sessions })} />
      )}
      <Clause name={t('query.hidden')}>
        <HiddenEvents hidden={query.hidden ?? []} onChange={(hidden) => onChange({ ...query, hidden })} />
      </Clause>
      <WhereClause
        filters={query.filters}
        onChange={(filters) => onChange({ ...query, filters: orNone(filters) })}
      />
    </Rail>
  );
}

function HiddenEvents({ hidden, onChange }: { hidden: string[]; onChange: (hidden: string[]) => void }) {
  const { t } = useTranslation();
  const project = useProject();
  const format = useProjectFormat();
  const { data: events = [] } = useQuery(eventNamesQuery(project.id));
  return (
    <>
      {hidden.map((name) => (
        <div key={name} className={classes.filterHead}>
          <span className={classes.word}>{name}</span>
          <ActionIcon
            variant="subtle"
            color="gray"
            size={24}
            ml="auto"
            aria-label={t('query.unhide', { event: name })}
            onClick={() => onChange(hidden.filter((one) => one !== name))}
          >
            <IconX size={14} />
          </ActionIcon>
        </div>
      ))}
      <Picker
        variant="add"
        label={t('query.hide_event')}
        placeholder={t('query.hide_event')}
        icon={<IconPlus size={15} aria-hidden="true" />}
        value={null}
        options={events
          .filter(({ name }) => !hidden.includes(name))
          .map(({ name, count }) => ({ value: name, label: name, note: format.compact(count) }))}
        onChange={(name) => onChange([...hidden, name])}
      />
    </>
  );
}
