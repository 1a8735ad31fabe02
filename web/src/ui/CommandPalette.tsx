// ⌘K: one field to go to a page, look at an event, or do something. Opens at once, Esc returns exactly.

import { Spotlight, type SpotlightActionGroupData, spotlight } from '@mantine/spotlight';
import { IconBolt, IconKeyboard, IconPlus, IconSearch } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { useEffect } from 'react';
import { eventNamesQuery } from '../api/queries';
import { useTranslation } from '../i18n';
import classes from './CommandPalette.module.css';
import { useMay } from './may';
import { usePages } from './pages';
import { useProject, useProjectFormat } from './project';

interface PaletteProps {
  /** Grows each time somebody calls for the palette. */
  calls: number;
  onKeys: () => void;
  onNewProject: () => void;
  onEvent: (name: string) => void;
}

const EVENTS_MAX = 200;

export default function CommandPalette({ calls, onKeys, onNewProject, onEvent }: PaletteProps) {
  const { t } = useTranslation();
  const project = useProject();
  const format = useProjectFormat();
  const navigate = useNavigate();
  const { data: events = [] } = useQuery(eventNamesQuery(project.id));
  useEffect(() => {
    if (calls > 0) spotlight.open();
  }, [calls]);
  const pages = usePages();
  const may = useMay();
  const params = { project: String(project.id) };

  const groups: SpotlightActionGroupData[] = [
    {
      group: t('palette.pages'),
      actions: pages.map(({ path, name, icon: Icon, key }) => ({
        id: path,
        label: t(name),
        leftSection: <Icon size={18} stroke={1.75} />,
        rightSection: <kbd className={classes.kbd}>G {key.toUpperCase()}</kbd>,
        onClick: () => navigate({ to: path, params }),
      })),
    },
    {
      group: t('palette.acts'),
      actions: [
        ...(may('manage_projects')
          ? [
              {
                id: 'new-project',
                label: t('project.new'),
                leftSection: <IconPlus size={18} stroke={1.75} />,
                onClick: onNewProject,
              },
            ]
          : []),
        {
          id: 'keys',
          label: t('keys.title'),
          leftSection: <IconKeyboard size={18} stroke={1.75} />,
          rightSection: <kbd className={classes.kbd}>?</kbd>,
          onClick: onKeys,
        },
      ],
    },
    {
      group: t('palette.events'),
      actions: events.slice(0, EVENTS_MAX).map(({ name, count }) => ({
        id: `event ${name}`,
        label: name,
        leftSection: <IconBolt size={18} stroke={1.75} />,
        rightSection: <span className={classes.count}>{format.compact(count)}</span>,
        onClick: () => onEvent(name),
      })),
    },
  ];

  return (
    <Spotlight
      actions={groups.filter(({ actions }) => actions.length > 0)}
      shortcut={null}
      overlayProps={{ backgroundOpacity: 0.45, blur: 0 }}
      nothingFound={t('palette.nothing')}
      limit={12}
      scrollable
      maxHeight={420}
      transitionProps={{ duration: 0 }}
      searchProps={{
        leftSection: <IconSearch size={18} stroke={1.75} />,
        placeholder: t('palette.placeholder'),
        'aria-label': t('palette.placeholder'),
      }}
    />
  );
}
