// Stopping it: accounts are locked, or everybody is signed out, or addresses are shut out, at once. Typed out
// before it happens, and afterwards said what it did and how long that took.

import { MultiSelect, Stack, Switch, TextInput } from '@mantine/core';
import { IconLock } from '@tabler/icons-react';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { incidentsQuery, type Locked, lock, locksQuery, updateIncident } from '../api/oversight';
import type { Incident, IncidentMeasure, Lock, LockTarget } from '../api/types';
import { useTranslation } from '../i18n';
import { Confirm } from '../ui/Confirm';
import { DataTable } from '../ui/DataTable';
import { instantOfMicros } from '../ui/instant';
import { useMay } from '../ui/may';
import { useMemberName, useMembers } from '../ui/members';
import { NotAllowed } from '../ui/NotAllowed';
import page from '../ui/Page.module.css';
import { useProjectFormat } from '../ui/project';
import classes from './Incidents.module.css';

/** What was shut out, and that the incident does not know of it yet. */
interface Done extends Locked {
  isMembers: boolean;
  isEverybody: boolean;
  isNoted: boolean;
}

interface ContainProps {
  incident: Incident;
  asked: { member?: string };
}

export function Contain({ incident, asked }: ContainProps) {
  const { t } = useTranslation();
  const format = useProjectFormat();
  const queryClient = useQueryClient();
  const may = useMay();
  const members = useMembers();
  const { data: locks = [] } = useQuery({ ...locksQuery(), enabled: may('read_locks') });
  const [chosen, setChosen] = useState<string[]>(asked.member ? [asked.member] : []);
  const [isEverybody, setEverybody] = useState(false);
  const [places, setPlaces] = useState('');
  const [typed, setTyped] = useState('');
  const [done, setDone] = useState<Done | null>(null);

  const targets: LockTarget[] = [
    ...(isEverybody ? [{ kind: 'everybody' } as const] : []),
    ...chosen.map((member) => ({ kind: 'member', member: Number(member) }) as const),
    ...places
      .split(/[\s,]+/)
      .filter(Boolean)
      .map((place) =>
        place.includes('/')
          ? ({ kind: 'network', network: place } as const)
          : ({ kind: 'address', address: place } as const),
      ),
  ];

  const note = (locked: Done) => {
    const measures = new Set<IncidentMeasure>(incident.measures);
    if (locked.isMembers) measures.add('locked');
    if (locked.isEverybody) measures.add('sessions');
    return updateIncident(incident.id, {
      ...(incident.times.contained_us ? {} : { contained_us: locked.at_ms * 1_000 }),
      measures: [...measures],
    });
  };

  return (
    <Stack gap="md">
      {incident.times.contained_us && (
        <p className={page.lead}>
          {t('contain.since', { time: format.dateTime(instantOfMicros(incident.times.contained_us)) })}
        </p>
      )}
      {done && (
        <p className={page.lead} role="status">
          <IconLock size={16} aria-hidden="true" />{' '}
          {t('contain.done', { count: done.locks, time: format.duration(done.took_ms) })}
        </p>
      )}
      {done && !done.isNoted && may('declare_incident') && (
        <Confirm
          label={t('contain.note')}
          act={() => note(done)}
          onDone={() => {
            setDone({ ...done, isNoted: true });
            queryClient.invalidateQueries({ queryKey: incidentsQuery().queryKey });
          }}
        >
          <p className={page.lead}>{t('contain.note_text')}</p>
        </Confirm>
      )}
      <Locks locks={locks} />
      {incident.stage !== 'closed' && !may('lock') && <NotAllowed slim control="lock" />}
      {incident.stage !== 'closed' && may('lock') && (
        <Confirm
          label={t('contain.contain')}
          color="red"
          ready={targets.length > 0 && typed.trim() === incident.service}
          act={() => lock(targets, incident.cause === 'drill' ? 'drill' : 'incident')}
          onDone={(made) => {
            setDone({ ...made, isMembers: chosen.length > 0, isEverybody, isNoted: false });
            setTyped('');
            queryClient.invalidateQueries({ queryKey: locksQuery().queryKey });
          }}
        >
          <p className={page.lead}>{t('contain.text')}</p>
          <div className={classes.grid}>
            <MultiSelect
              label={t('contain.members')}
              searchable
              data={members.map(({ id, name }) => ({ value: String(id), label: name }))}
              value={chosen}
              onChange={setChosen}
            />
            <TextInput
              label={t('contain.places')}
              placeholder="192.0.2.7, 198.51.100.0/24"
              autoComplete="off"
              spellCheck={false}
              value={places}
              onChange={(event) => setPlaces(event.currentTarget.value)}
            />
          </div>
          <Switch
            label={t('contain.everybody')}
            description={t('contain.everybody_text')}
            checked={isEverybody}
            onChange={(event) => setEverybody(event.currentTarget.checked)}
          />
          <TextInput
            label={t('scan.type_name', { name: incident.service })}
            autoComplete="off"
            spellCheck={false}
            value={typed}
            onChange={(event) => setTyped(event.currentTarget.value)}
          />
        </Confirm>
      )}
    </Stack>
  );
}

function Locks({ locks }: { locks: Lock[] }) {
  const { t } = useTranslation();
  const format = useProjectFormat();
  const name = useMemberName();
  if (locks.length === 0) return null;
  const text = (target: LockTarget): string => {
    switch (target.kind) {
      case 'member':
        return name(target.member);
      case 'reset':
        return t('lock.reset', { name: name(target.member) });
      case 'everybody':
        return t('contain.everybody');
      case 'seen_address':
        return t('lock.seen_address', { ip: target.ip });
      case 'address':
        return target.address;
      case 'network':
        return target.network;
      case 'session':
        return t('causes.one', { kind: t('causes.session'), value: target.session });
      case 'token':
        return t('causes.one', { kind: t('causes.token'), value: target.token });
      case 'grant':
        return t('causes.one', { kind: t('causes.grant'), value: target.grant });
    }
  };
  return (
    <DataTable
      texts
      caption={t('contain.locks')}
      head={[t('contain.locks'), t('contain.reason'), t('contain.by'), t('disclosed.when')]}
      rows={locks.map((one) => ({
        key: String(one.id),
        name: text(one.target),
        cells: [
          t(`lock_reasons.${one.reason}`),
          one.locked_by ? name(one.locked_by) : t('contain.by_rule'),
          format.dateTime(one.locked_at),
        ],
      }))}
    />
  );
}
