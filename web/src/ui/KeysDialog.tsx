// Every key the console listens to, and the switch that turns the single ones off.

import { Kbd, Switch } from '@mantine/core';
import { useTranslation } from '../i18n';
import { Dialog } from './Dialog';
import classes from './KeysDialog.module.css';
import { useSingleKeysEnabled } from './keys';
import { usePages } from './pages';

export default function KeysDialog({ onClose }: { onClose: () => void }) {
  const { t } = useTranslation();
  const pages = usePages();
  const [enabled, setEnabled] = useSingleKeysEnabled();
  const rows: [string[], string][] = [
    [['Ctrl / ⌘', 'K'], t('keys.palette')],
    ...pages.map(({ key, name }): [string[], string] => [['g', key], t(name)]),
    [['/'], t('keys.filter')],
    [['t'], t('keys.table')],
    [['←', '→'], t('keys.cursor')],
    [['?'], t('keys.title')],
  ];
  return (
    <Dialog opened onClose={onClose} title={t('keys.title')}>
      <dl className={classes.list}>
        {rows.map(([keys, what]) => (
          <div key={keys.join()} className={classes.row}>
            <dt>
              {keys.map((key) => (
                <Kbd key={key} size="sm">
                  {key}
                </Kbd>
              ))}
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
      <Switch
        mt="md"
        checked={enabled}
        onChange={(event) => setEnabled(event.currentTarget.checked)}
        label={t('keys.single')}
      />
    </Dialog>
  );
}
