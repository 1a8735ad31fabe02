// One person: what is known without opening the vault, what can be done about it, and what they did.

import { Button, Drawer, Group } from '@mantine/core';
import { Link } from '@tanstack/react-router';
import { useState } from 'react';
import type { DateRange, PersonRow } from '../api/types';
import { useTranslation } from '../i18n';
import { CopyButton } from '../ui/CopyButton';
import { type PersonDeed, useMay } from '../ui/may';
import { PlainValue, SealedValue } from '../ui/Personal';
import { useProject, useProjectFormat } from '../ui/project';
import { ErasePerson } from './ErasePerson';
import { Fact } from './Fact';
import { OwnData } from './OwnData';
import { PersonEvents } from './PersonEvents';
import classes from './Persons.module.css';
import { Reveal } from './Reveal';

/** What is done about the person, in a dialog above the drawer. */
type Deed = PersonDeed | 'rows';

interface PersonDrawerProps {
  pseudonym: string | undefined;
  /** The row it was opened from; a link may open somebody who is not on this page. */
  row: PersonRow | undefined;
  range: DateRange;
  onClose: () => void;
}

export function PersonDrawer({ pseudonym, row, range, onClose }: PersonDrawerProps) {
  const { t } = useTranslation();
  const [deed, setDeed] = useState<Deed | null>(null);
  const [of, setOf] = useState(pseudonym);
  // Whoever goes back while something is being asked for is not asked for it of the next person.
  if (of !== pseudonym) {
    setOf(pseudonym);
    setDeed(null);
  }
  return (
    <Drawer
      opened={pseudonym !== undefined}
      onClose={onClose}
      // What stands above it is closed first.
      closeOnEscape={deed === null}
      position="right"
      size="lg"
      title={<span className={classes.drawerTitle}>{pseudonym}</span>}
      classNames={{ content: classes.drawer, header: classes.drawer }}
      closeButtonProps={{ 'aria-label': t('shell.close') }}
    >
      {pseudonym && (
        <>
          <PersonDetails
            // Keyed, so that nothing opened of one person stands under another's name.
            key={pseudonym}
            pseudonym={pseudonym}
            row={row}
            range={range}
            deed={deed}
            onDeed={setDeed}
          />
          <OwnData opened={deed === 'own_data'} pseudonym={pseudonym} onClose={() => setDeed(null)} />
        </>
      )}
      <ErasePerson
        opened={deed === 'erase'}
        pseudonym={pseudonym}
        onClose={(isErased) => {
          setDeed(null);
          if (isErased) onClose();
        }}
      />
    </Drawer>
  );
}

interface PersonDetailsProps {
  pseudonym: string;
  row: PersonRow | undefined;
  range: DateRange;
  deed: Deed | null;
  onDeed: (deed: Deed | null) => void;
}

function PersonDetails({ pseudonym, row, range, deed, onDeed }: PersonDetailsProps) {
  const { t } = useTranslation();
  const project = useProject();
  const format = useProjectFormat();
  const may = useMay();
  const masked = row?.masked ?? [];
  return (
    <div className={classes.details}>
      <Group gap="xs">
        <CopyButton value={pseudonym} label={t('persons.copy')} />
        {may('own_data') && (
          <Button size="xs" variant="default" onClick={() => onDeed('own_data')}>
            {t('own_data.begin')}
          </Button>
        )}
        {may('erase') && (
          <Button size="xs" variant="default" onClick={() => onDeed('erase')}>
            {t('erasure.begin')}
          </Button>
        )}
        {may('reveal') && (
          <Reveal
            pseudonym={pseudonym}
            asking={deed === 'reveal'}
            onAsking={(asking) => onDeed(asking ? 'reveal' : null)}
          />
        )}
      </Group>
      {row && (
        <>
          <dl className={classes.facts}>
            <Fact name={t('persons.first_seen')}>{format.dateTime(row.first_seen)}</Fact>
            <Fact name={t('persons.last_seen')}>{format.dateTime(row.last_seen)}</Fact>
            <Fact name={t('persons.events')}>{format.count(row.events)}</Fact>
          </dl>
          <h3 className={classes.heading}>{t('persons.profile')}</h3>
          {row.properties.length + masked.length + row.sealed.length === 0 && (
            <p className={classes.soft}>{t('persons.no_profile')}</p>
          )}
          <dl className={classes.facts}>
            {row.properties.map(({ name, value }) => (
              <Fact key={name} name={name}>
                <PlainValue value={value} />
              </Fact>
            ))}
            {masked.map((name) => (
              <Fact key={name} name={name}>
                <SealedValue class="C2" action="masked" />
              </Fact>
            ))}
            {row.sealed.map((sealed) => (
              <Fact key={sealed.name} name={sealed.name}>
                <SealedValue class={sealed.class} />
              </Fact>
            ))}
          </dl>
          {row.sealed.length > 0 && <p className={classes.soft}>{t('persons.sealed_note')}</p>}
        </>
      )}
      <p className={classes.soft}>
        <Link
          to="/p/$project/disclosures"
          params={{ project: String(project.id) }}
          search={{ person: pseudonym }}
          className={classes.open}
        >
          {t('reveal.history')}
        </Link>
      </p>
      <h3 className={classes.heading}>{t('persons.timeline')}</h3>
      <PersonEvents
        pseudonym={pseudonym}
        range={range}
        asking={deed === 'rows'}
        onAsking={(asking) => onDeed(asking ? 'rows' : null)}
      />
    </div>
  );
}
