// Stopping it, with one button: whatever the scope names is locked at once, and it says beforehand what that
// is. Afterwards it says what was done, how long that took, and how two people open it again.

import { MultiSelect, Stack, Switch, TextInput } from '@mantine/core';
import { IconLock } from '@tabler/icons-react';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { contain, incidentsQuery, suspectsQuery } from '../api/oversight';
import { alarmsQuery, locksQuery } from '../api/queries';
import type { Containing, Containment, Incident, LeftOut, LockTarget } from '../api/types';
import { useTranslation } from '../i18n';
import { Confirm } from '../ui/Confirm';
import { DataTable } from '../ui/DataTable';
import { ErrorNote } from '../ui/ErrorNote';
import { instantOfMicros } from '../ui/instant';
import { LockTable, useTargetText } from '../ui/Locks';
import { useMay } from '../ui/may';
import { useMemberName, useMembers } from '../ui/members';
import { NotAllowed } from '../ui/NotAllowed';
import page from '../ui/Page.module.css';
import { useProjectFormat } from '../ui/project';
import classes from './Incidents.module.css';

interface ContainProps {
  incident: Incident;
  /** Whom an exposure was asked about when the incident was opened from it. */
  asked: { member?: string };
}

/** What was meant and is not locked. */
type Spared = { target: LockTarget; why: LeftOut }[];

/** An ending in `many` would be a plural's. */
const leftOutText = (why: LeftOut) => `contain.left_out.${why === 'too_many' ? 'crowd' : why}` as const;

export function Contain({ incident, asked }: ContainProps) {
  const { t } = useTranslation();
  const format = useProjectFormat();
  const may = useMay();
  const [spared, setSpared] = useState<Spared>([]);
  const isOpen = incident.stage !== 'closed';
  const { contained_us } = incident.times;
  return (
    <Stack gap="md">
      {incident.containments.length > 0 ? (
        <Contained containments={incident.containments} spared={spared} />
      ) : (
        contained_us && (
          <p className={page.lead}>
            {t('contain.since', { time: format.dateTime(instantOfMicros(contained_us)) })}
          </p>
        )
      )}
      {isOpen && !may('lock') && <NotAllowed slim control="lock" />}
      {isOpen && may('lock') && <Stop incident={incident} asked={asked} onDone={setSpared} />}
    </Stack>
  );
}

/** What was done, the newest first, and what of it is still locked. */
function Contained({ containments, spared }: { containments: Containment[]; spared: Spared }) {
  const { t } = useTranslation();
  const may = useMay();
  const textOf = useTargetText();
  const { data: locks = [] } = useQuery({ ...locksQuery(), enabled: may('read_locks') });
  const made = new Set(containments.flatMap((one) => one.locks));
  const held = locks.filter(({ id }) => made.has(id));
  return (
    <>
      {[...containments].reverse().map((one, at) => (
        <Done key={one.entry} containment={one} isNewest={at === 0} />
      ))}
      {spared.length > 0 && (
        <ul className={classes.spared}>
          {spared.map(({ target, why }) => (
            <li key={JSON.stringify(target)}>
              {textOf(target)}: {t(leftOutText(why))}
            </li>
          ))}
        </ul>
      )}
      {held.length > 0 && (
        <>
          <h3 className={page.subtitle}>{t('contain.held')}</h3>
          <LockTable locks={held} />
          <p className={page.lead}>{t('contain.open_again')}</p>
        </>
      )}
    </>
  );
}

function Done({ containment, isNewest }: { containment: Containment; isNewest: boolean }) {
  const { t } = useTranslation();
  const format = useProjectFormat();
  const nameOf = useMemberName();
  const { by, contained_us, took_us, entry, locks } = containment;
  const counts = (['streams', 'sessions', 'tokens', 'recovery_codes', 'passkeys'] as const)
    .filter((what) => containment[what] > 0)
    .map((what) =>
      t(`contain.ended.${what}`, {
        count: containment[what],
        number: format.count(containment[what]),
      }),
    );
  return (
    <div className={classes.done} role={isNewest ? 'status' : undefined}>
      <strong>
        <IconLock size={16} aria-hidden="true" />{' '}
        {t('contain.done', { count: locks.length, time: format.duration(took_us / 1_000) })}
      </strong>
      {counts.length > 0 && <span>{t('contain.also', { what: format.list(counts) })}</span>}
      <span className={classes.by}>
        {t('contain.by', {
          time: format.dateTime(instantOfMicros(contained_us)),
          name: typeof by === 'number' ? nameOf(by) : t('contain.server'),
          entry: format.count(entry),
        })}
      </span>
    </div>
  );
}

interface StopProps extends ContainProps {
  onDone: (spared: Spared) => void;
}

function Stop({ incident, asked, onDone }: StopProps) {
  const { t } = useTranslation();
  const format = useProjectFormat();
  const queryClient = useQueryClient();
  const members = useMembers();
  const textOf = useTargetText();
  const { data, error } = useQuery(suspectsQuery(incident.id));
  const [chosen, setChosen] = useState<string[]>(asked.member ? [asked.member] : []);
  const [places, setPlaces] = useState('');
  const [keys, setKeys] = useState<string[]>([]);
  const [isStaff, setStaff] = useState(false);

  const suspects = data?.suspects ?? [];
  const taken = suspects.filter(({ left_out }) => !left_out);
  const targets: LockTarget[] = [
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
  const count = taken.length + targets.length;
  const what: Containing = {
    from_scope: taken.length > 0,
    targets,
    reset: isStaff ? { who: 'everybody' } : { who: 'nobody' },
    suspect_passkeys: keys.map(Number),
  };
  const people = members.map(({ id, name }) => ({ value: String(id), label: name }));

  return (
    <Confirm
      label={t('contain.contain')}
      color="red"
      ready={data !== undefined && (count > 0 || isStaff || keys.length > 0)}
      act={() => contain(incident.id, what)}
      onDone={({ left_out }) => {
        onDone(left_out);
        setChosen([]);
        setPlaces('');
        setKeys([]);
        setStaff(false);
        for (const { queryKey } of [incidentsQuery(), locksQuery(), alarmsQuery()])
          queryClient.invalidateQueries({ queryKey });
      }}
    >
      <p className={page.lead}>{t('contain.text')}</p>
      <ErrorNote error={error} />
      {data && suspects.length === 0 && <p className={page.lead}>{t('contain.no_scope')}</p>}
      {suspects.length > 0 && (
        <DataTable
          texts
          caption={t('contain.names')}
          head={[t('contain.names'), t('contain.then'), t('contain.kind'), t('contain.disclosures')]}
          rows={suspects.map(({ target, name, disclosures, left_out }) => ({
            key: JSON.stringify(target),
            name: name ?? textOf(target),
            cells: [
              left_out ? t(leftOutText(left_out)) : t('contain.is_locked'),
              t(`contain.kinds.${target.kind}`),
              format.count(disclosures),
            ],
          }))}
        />
      )}
      <details className={classes.more}>
        <summary>{t('contain.more')}</summary>
        <div className={classes.grid}>
          <MultiSelect
            label={t('contain.members')}
            searchable
            data={people}
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
          <MultiSelect
            label={t('contain.passkeys')}
            description={t('contain.passkeys_text')}
            inputWrapperOrder={['label', 'input', 'description', 'error']}
            searchable
            data={people}
            value={keys}
            onChange={setKeys}
          />
        </div>
      </details>
      <Switch
        label={t('contain.staff')}
        description={t('contain.staff_text', {
          count: data?.staff ?? 0,
          number: format.count(data?.staff ?? 0),
        })}
        checked={isStaff}
        onChange={(event) => setStaff(event.currentTarget.checked)}
      />
      <p className={classes.sum} role="status">
        {t('contain.sum', { count, number: format.count(count) })}
        {isStaff && ` ${t('contain.staff')}.`}
      </p>
    </Confirm>
  );
}
